"""The uniformly scaled networks are scored once, within the budgets, apart from the search."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ofa_pose.errors import RunFolderError, UnknownNameError, WeightsError
from ofa_pose.search import (
    InProcess,
    Limit,
    SearchResult,
    Workers,
    best_uniform,
    search,
    uniform_baseline,
)
from ofa_pose.search.workers import OfArch
from ofa_pose.space import uniform_archs

LIMITS = {"S": Limit("macs", 1.2e8), "L": Limit("macs", 2.5e8)}


@pytest.fixture
def land(make_landscape: Callable[..., Any]) -> Any:
    return make_landscape(3, 4, 3, 3, 3)


def run(land: Any, path: Path | None = None) -> SearchResult:
    # So short that it comes to only a few of the uniformly scaled ones itself.
    return search(
        land.space, land, budgets=LIMITS, costs={"macs": land.macs}, evaluations=7,
        archive_path=path,
    )  # fmt: skip


def here(land: Any, evaluate: Any = None) -> Any:
    @contextmanager
    def opened() -> Iterator[Workers[int, Mapping[str, float]]]:
        yield InProcess(OfArch(land.space, evaluate or land))

    return opened


def test_those_within_a_budget_are_scored_and_none_twice(land: Any, tmp_path: Path) -> None:
    result = run(land)
    searched = set(land.asked)
    uniform = {land.space.index(arch) for arch in uniform_archs(land.space)}
    within = {index for index in uniform if land.macs[index] <= 2.5e8}
    assert within != uniform
    assert within & searched != within
    steps = []
    baseline = uniform_baseline(
        result,
        here(land),
        costs={"macs": land.macs},
        path=tmp_path / "baseline.csv",
        progress=lambda done, total: steps.append((done, total)),
    )
    assert {row.index for row in baseline} == within
    assert {row.tier for row in baseline} == {"uniform"}
    assert sorted(land.asked[len(searched) :]) == sorted(within - searched)
    assert steps[0] == (len(within & searched), len(within))
    assert steps[-1] == (len(within), len(within))
    for row in baseline:
        assert row.scores["AP"] == land.scores[row.index]
    best = best_uniform(result, baseline)
    for name, limit in LIMITS.items():
        inside = [index for index in within if land.macs[index] <= limit.value]
        assert best[name].score("AP") == max(land.scores[index] for index in inside)


def test_a_search_of_some_length_leaves_nothing_to_score(land: Any) -> None:
    result = search(land.space, land, budgets=LIMITS, costs={"macs": land.macs}, evaluations=40)
    forbidden: Any = None  # workers would be opened to score
    baseline = uniform_baseline(result, forbidden, costs={"macs": land.macs})
    for name, rival in best_uniform(result, baseline).items():
        winner = result.tiers[name].evaluation
        assert winner is not None
        assert winner.score("AP") >= rival.score("AP")


def test_it_goes_on_where_it_was_stopped(land: Any, tmp_path: Path) -> None:
    result = run(land)
    whole = uniform_baseline(
        result, here(land), costs={"macs": land.macs}, path=tmp_path / "whole.csv"
    )
    calls = []

    def stopping(arch: Any) -> Mapping[str, float]:
        if len(calls) == 1:
            raise KeyboardInterrupt
        calls.append(arch)
        return land(arch)

    path = tmp_path / "baseline.csv"
    with pytest.raises(KeyboardInterrupt):
        uniform_baseline(result, here(land, stopping), costs={"macs": land.macs}, path=path)
    before = len(land.asked)
    uniform_baseline(result, here(land), costs={"macs": land.macs}, path=path)
    assert path.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert len(land.asked) - before == len(whole) - len(calls) - sum(
        result.archive.has(row.index) for row in whole
    )
    forbidden: Any = None  # nothing is left to score: no workers are opened
    uniform_baseline(result, forbidden, costs={"macs": land.macs}, path=path)


def test_a_network_that_gives_nan_is_recorded_and_another_error_passes(land: Any) -> None:
    result = run(land)

    def broken(_arch: Any) -> Mapping[str, float]:
        raise WeightsError("NaN in\nthe outputs")

    baseline = uniform_baseline(result, here(land, broken), costs={"macs": land.macs})
    errors = {row.error for row in baseline if not result.archive.has(row.index)}
    assert errors == {"NaN in the outputs"}
    assert all(not row.failed for row in best_uniform(result, baseline).values())
    with pytest.raises(UnknownNameError, match="score to search for"):
        uniform_baseline(result, here(land, lambda _arch: {"mAP": 1.0}), costs={"macs": land.macs})


def test_archs_that_lost_a_race_early_are_scored_on_all_images(land: Any) -> None:
    def raced(arch: Any) -> Mapping[str, float]:
        return {**land(arch), "parts": 1.0 if land.space.index(arch) % 2 else 3.0}

    result = search(land.space, raced, budgets=LIMITS, costs={"macs": land.macs}, evaluations=60)
    early = {row.index for row in result.archive if row.scores["parts"] == 1.0}
    before = len(land.asked)
    baseline = uniform_baseline(result, here(land), costs={"macs": land.macs})
    again = set(land.asked[before:])
    assert again == {row.index for row in baseline} & (
        early | {row.index for row in baseline if not result.archive.has(row.index)}
    )
    assert again & early


@pytest.mark.parametrize("parts", [{}, {"parts": 3.0}])
def test_a_search_is_not_deleted_for_a_baseline(
    land: Any, tmp_path: Path, parts: Mapping[str, float]
) -> None:
    def scored(arch: Any) -> Mapping[str, float]:
        return {**land(arch), **parts}

    path = tmp_path / "archive.csv"
    result = search(
        land.space, scored, budgets=LIMITS, costs={"macs": land.macs}, evaluations=7,
        archive_path=path,
    )  # fmt: skip
    before = {file.name: file.read_bytes() for file in tmp_path.glob("archive.*")}
    with pytest.raises(RunFolderError, match=r"archive\.csv holds a search, not a baseline"):
        uniform_baseline(result, here(land), costs={"macs": land.macs}, path=path)
    assert {file.name: file.read_bytes() for file in tmp_path.glob("archive.*")} == before
