"""A whole search: how good its winners are, and what happens when something goes wrong."""

import logging
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ofa_pose.errors import DataError, OfaPoseError, RunFolderError, UsageError, WeightsError
from ofa_pose.search import Archive, Limit, Progress, SearchResult, search, to_csv
from ofa_pose.space import Arch, uniform_archs

COUNTS = (5, 3, 4, 4, 4, 4, 4)  # 15,360 archs


def run(land: Any, limits: Mapping[str, float], **options: Any) -> SearchResult:
    budgets = {tier: Limit("macs", float(value)) for tier, value in limits.items()}
    return search(land.space, land, budgets=budgets, costs={"macs": land.macs}, **options)


def test_it_finds_the_optimum_where_random_search_does_not(
    make_landscape: Callable[..., Any],
) -> None:
    regrets, random_regrets = [], []
    for seed in range(3):
        land = make_landscape(seed, *COUNTS)
        limit = float(np.quantile(land.macs, 0.4))
        result = run(land, {"M": limit}, seed=seed, evaluations=120)
        assert len(land.asked) == len(set(land.asked)) == 120
        assert (land.macs[land.asked] <= limit).all()
        best = land.optimum(limit)
        regrets.append(best - result.tiers["M"].scores["AP"])
        within = np.flatnonzero(land.macs <= limit)
        drawn = np.random.default_rng(seed).choice(within, 120, replace=False)
        random_regrets.append(best - land.scores[drawn].max())
    # Scores span 0..1. Random search is 0.07 short on average.
    assert np.mean(random_regrets) > 0.04
    assert np.mean(regrets) < 0.015
    assert np.median(regrets) == 0


def test_one_archive_serves_every_tier(make_landscape: Callable[..., Any]) -> None:
    regrets = []
    for seed in range(2):
        land = make_landscape(seed, *COUNTS)
        names = {"XS": 0.15, "S": 0.4, "M": 0.8}
        limits = {tier: float(np.quantile(land.macs, q)) for tier, q in names.items()}
        result = run(land, limits, seed=seed)
        assert list(result.tiers) == ["XS", "S", "M"]
        for tier, limit in limits.items():
            found = result.tiers[tier]
            assert found.costs["macs"] <= limit
            assert land.macs[land.space.index(found.arch)] == found.costs["macs"]
            assert found.limits == (Limit("macs", limit),)
            within = [row for row in result.archive if row.costs["macs"] <= limit]
            assert found.scores["AP"] == max(row.scores["AP"] for row in within)
            regrets.append(land.optimum(limit) - found.scores["AP"])
    assert np.mean(regrets) < 0.05


def test_a_small_space_is_enumerated_and_the_last_generation_counts(
    make_landscape: Callable[..., Any],
) -> None:
    for seed in range(5):
        land = make_landscape(seed, 3, 3, 3, 3)
        limit = float(np.median(land.macs))
        result = run(land, {"S": limit}, seed=seed)
        assert result.tiers["S"].scores["AP"] == land.optimum(limit)
        assert sorted(land.asked) == np.flatnonzero(land.macs <= limit).tolist()
        assert "every arch within the budgets was evaluated (4" in result.message
        assert result.logbook[-1]["evaluations"] == len(land.asked)


def test_a_winner_of_the_very_last_evaluation_wins(make_landscape: Callable[..., Any]) -> None:
    land = make_landscape(0, 4, 4, 4)
    run(land, {"L": 1e12}, evaluations=30)
    last = land.asked[-1]
    land.scores[last] = 2.0
    result = run(land, {"L": 1e12}, evaluations=30)
    assert land.space.index(result.tiers["L"].arch) == last
    assert result.front[-1].index == last


def test_the_front_and_the_reason(make_landscape: Callable[..., Any]) -> None:
    land = make_landscape(1, *COUNTS)
    result = run(land, {"L": 1e12}, evaluations=50)
    assert result.message == "stopped because all 50 evaluations were made"
    assert result.objective == "AP"
    for row in result.front:
        assert not any(
            other.costs["macs"] < row.costs["macs"] and other.scores["AP"] > row.scores["AP"]
            for other in result.archive
        )


def test_another_objective(make_landscape: Callable[..., Any]) -> None:
    land = make_landscape(1, 4, 4, 4)
    land.scores *= -1
    result = run(land, {"L": 1e12}, objective="AP50")
    best = max(row.scores["AP50"] for row in result.archive)
    assert result.tiers["L"].scores["AP50"] == best


def test_a_budget_above_the_largest_network_is_said_and_searched(
    make_landscape: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    land = make_landscape(1, 4, 4, 4)
    with caplog.at_level(logging.WARNING):
        result = run(land, {"XXL": 1e12}, evaluations=5)
    assert "budget XXL (macs 1,000,000,000,000) excludes no arch" in result.notes[0]
    assert caplog.messages == list(result.notes)
    assert "XXL" in result.tiers


def test_failures_are_recorded_and_cannot_win(make_landscape: Callable[..., Any]) -> None:
    land = make_landscape(2, 4, 4, 4)
    best, second, third = np.argsort(-land.scores)[:3].tolist()
    land.scores[second] = np.nan

    def evaluate(arch: Arch) -> dict[str, float]:
        if land.space.index(arch) == best:
            raise WeightsError("NaN heatmaps")
        return land(arch)

    budgets = {"L": Limit("macs", 1e12)}
    result = search(land.space, evaluate, budgets=budgets, costs={"macs": land.macs})
    assert land.space.index(result.tiers["L"].arch) == third
    errors = {row.index: row.error for row in result.archive if row.failed}
    assert errors == {best: "NaN heatmaps", second: "AP is nan"}
    assert not {best, second} & {row.index for row in result.front}
    assert "2 of 64 evaluations failed" in result.notes


def test_archs_that_all_score_alike_are_said_to(make_landscape: Callable[..., Any]) -> None:
    land = make_landscape(0, 4, 4, 3)
    limits: dict[str, Any] = {"budgets": {"L": Limit("macs", 1e12)}, "costs": {"macs": land.macs}}

    def said(low: float) -> bool:
        def score(arch: Arch) -> dict[str, float]:
            ap = 0.1 + 0.01 * (arch.resolution == land.space[0].resolution)
            return {"AP": ap, "AP_low": ap - low}

        notes = search(land.space, score, evaluations=9, **limits).notes
        return any("all archs score alike (AP 0.100 to 0.110," in note for note in notes)

    assert said(0.02)
    assert not said(0.001)
    assert not said(float("nan"))  # not known


def test_a_first_generation_that_is_cut_short_is_said(make_landscape: Callable[..., Any]) -> None:
    land = make_landscape(0, 4, 4, 4)

    def notes(evaluations: int) -> str:
        return " ".join(run(land, {"L": 1e12}, evaluations=evaluations).notes)

    assert "3 evaluations end within the first generation" in notes(3)
    assert "first generation" not in notes(len(land.space))


def test_evaluations_below_those_made_are_said(
    make_landscape: Callable[..., Any], tmp_path: Path
) -> None:
    land = make_landscape(0, 4, 4, 4)
    path = tmp_path / "archive.csv"
    run(land, {"L": 1e12}, evaluations=12, archive_path=path)
    resumed = run(land, {"L": 1e12}, evaluations=5, archive_path=path, resume=True)
    assert resumed.message == "stopped because 12 evaluations were made, and 5 asked for"


def test_a_tier_without_a_success_is_said(make_landscape: Callable[..., Any]) -> None:
    land = make_landscape(2, 4, 4, 4)
    smallest = float(land.macs.min())
    land.scores[land.macs <= smallest] = np.nan
    result = run(land, {"tiny": smallest, "L": 1e12})
    assert list(result.tiers) == ["L"]
    assert "budget tiny has no winner: no evaluation within it succeeded" in result.notes


def test_an_evaluator_that_never_works_stops_the_search_early(
    make_landscape: Callable[..., Any], tmp_path: Path
) -> None:
    land = make_landscape(2, *COUNTS)
    land.scores[:] = np.nan
    path = tmp_path / "archive.csv"
    for resume in (False, True):
        with pytest.raises(OfaPoseError, match="evaluations so far failed.*AP is nan") as caught:
            run(land, {"L": 1e12}, archive_path=path, resume=resume)
        assert f"all {len(land.asked)} evaluations" in str(caught.value)
    uniform = len(uniform_archs(land.space))
    assert 16 <= len(land.asked) <= 16 + uniform < 200


@pytest.mark.parametrize("raised", [KeyboardInterrupt, ZeroDivisionError, DataError])
def test_interrupted_after_any_evaluation_it_resumes_to_the_same_bytes(
    make_landscape: Callable[..., Any], tmp_path: Path, raised: type[BaseException]
) -> None:
    land = make_landscape(3, 4, 3, 4)
    land.scores[::7] = np.nan
    limits = {"S": float(np.quantile(land.macs, 0.3)), "L": 1e12}
    sizes: dict[str, Any] = {"evaluations": 20, "population": 6}
    whole = run(land, limits, archive_path=tmp_path / "whole.csv", **sizes)
    expected = (tmp_path / "whole.csv").read_bytes()
    assert expected.decode() == to_csv(whole.archive, land.space)
    for stop in range(0, 20, 1 if raised is KeyboardInterrupt else 9):
        path = tmp_path / f"{stop}.csv"
        land.asked.clear()

        def evaluate(arch: Arch, stop: int = stop) -> dict[str, float]:
            if len(land.asked) == stop:
                raise raised
            return land(arch)

        budgets = {tier: Limit("macs", value) for tier, value in limits.items()}
        with pytest.raises(raised):
            search(
                land.space,
                evaluate,
                budgets=budgets,
                costs={"macs": land.macs},
                archive_path=path,
                **sizes,
            )
        assert len(Archive.load(path, land.space)) == stop
        result = run(land, limits, archive_path=path, resume=True, **sizes)
        assert path.read_bytes() == expected
        journal = path.with_suffix(".jsonl").read_bytes()
        assert journal == (tmp_path / "whole.jsonl").read_bytes()
        assert len(land.asked) == len(set(land.asked)) == 20
        assert str(result.logbook) == str(whole.logbook)
        assert {t: r.arch for t, r in result.tiers.items()} == {
            t: r.arch for t, r in whole.tiers.items()
        }


def test_a_finished_search_resumes_without_evaluating(
    make_landscape: Callable[..., Any], tmp_path: Path
) -> None:
    land = make_landscape(4, 4, 4, 4)
    path = tmp_path / "archive.csv"
    first = run(land, {"L": 1e12}, evaluations=20, archive_path=path)
    land.asked.clear()
    again = run(land, {"L": 1e12}, evaluations=20, archive_path=path, resume=True)
    assert land.asked == []
    assert (again.message, again.tiers) == (first.message, first.tiers)


def test_what_resume_refuses(make_landscape: Callable[..., Any], tmp_path: Path) -> None:
    land = make_landscape(4, 4, 4, 4)
    path = tmp_path / "archive.csv"
    run(land, {"L": 1e12}, evaluations=5, archive_path=path)
    before = path.read_bytes()
    with pytest.raises(RunFolderError, match="exists; resume"):
        run(land, {"L": 1e12}, evaluations=5, archive_path=path)
    with pytest.raises(RunFolderError, match="seed was 0, is 1"):
        run(land, {"L": 1e12}, archive_path=path, resume=True, seed=1)
    with pytest.raises(RunFolderError, match="strategy was 'steady', is 'aging'"):
        run(land, {"L": 1e12}, archive_path=path, resume=True, strategy="aging", population=16)
    land.macs[0] += 1
    with pytest.raises(RunFolderError, match="the costs called macs were others"):
        run(land, {"L": 1e12}, archive_path=path, resume=True)
    with pytest.raises(RunFolderError, match="belongs to space"):
        run(make_landscape(4, 4, 4, 3), {"L": 1e12}, archive_path=path, resume=True)
    assert path.read_bytes() == before


def test_a_search_goes_on_only_with_what_its_scores_depend_on(
    make_landscape: Callable[..., Any], tmp_path: Path
) -> None:
    land = make_landscape(4, 4, 4, 4)

    class Weighed:
        def __init__(self, weights: str) -> None:
            self.weights = weights

        def __call__(self, arch: Arch) -> dict[str, float]:
            return land(arch)

        def identity(self) -> dict[str, str]:
            return {"weights": self.weights, "scenes": "the same"}

    def go_on(weights: str, evaluations: int) -> SearchResult:
        return search(
            land.space,
            Weighed(weights),
            budgets={"L": Limit("macs", 1e12)},
            costs={"macs": land.macs},
            evaluations=evaluations,
            archive_path=tmp_path / "archive.csv",
            resume=True,
        )

    go_on("these", 5)
    with pytest.raises(RunFolderError, match=r"archive\.csv: weights was 'these', is 'others'"):
        go_on("others", 10)
    assert len(go_on("these", 10).archive) == 10


def test_a_new_tier_is_read_off_an_old_archive_and_given_its_share(
    make_landscape: Callable[..., Any], tmp_path: Path
) -> None:
    land = make_landscape(4, *COUNTS)
    small, large = (float(np.quantile(land.macs, q)) for q in (0.3, 0.8))
    path = tmp_path / "archive.csv"
    first = run(land, {"S": small}, evaluations=60, archive_path=path)
    assert len(first.archive) == 60
    assert not any(row.costs["macs"] > small for row in first.archive)
    land.asked.clear()
    both = {"S": small, "L": large}
    second = run(land, both, evaluations=60, archive_path=path, resume=True)
    # Half of 60 is a new tier's share, if it needs all of it.
    assert 0 < len(land.asked) <= 30
    assert land.macs[land.asked].max() > small
    assert {row.tier for row in list(second.archive)[60:]} == {"L"}
    assert second.tiers["L"].scores["AP"] > first.tiers["S"].scores["AP"]
    assert land.optimum(large) - second.tiers["L"].scores["AP"] < 0.1
    expected = path.read_bytes()
    land.asked.clear()
    again = run(land, both, evaluations=60, archive_path=path, resume=True)
    assert (land.asked, again.message, path.read_bytes()) == ([], second.message, expected)


def test_several_new_tiers_look_round_with_a_third_of_their_share(
    make_landscape: Callable[..., Any], tmp_path: Path
) -> None:
    land = make_landscape(4, *COUNTS)
    limits = {f"T{q}": float(np.quantile(land.macs, q / 10)) for q in (2, 4, 6, 8, 9)}
    path = tmp_path / "archive.csv"
    run(land, {"T2": limits["T2"]}, evaluations=60, archive_path=path)
    result = run(land, limits, evaluations=60, archive_path=path, resume=True)
    later = list(result.archive)[60:]
    assert 16 < len(later) <= 48  # four fifths of 60, if they are worth it
    looked = [row for row in later if row.generation == later[0].generation]
    assert len(looked) <= 16


def test_a_tier_inside_the_old_ones_ends_when_nothing_is_worth_an_evaluation(
    make_landscape: Callable[..., Any], tmp_path: Path
) -> None:
    land = make_landscape(4, 5, 4, 4, ruggedness=0.0)
    path = tmp_path / "archive.csv"
    large, less = (float(np.quantile(land.macs, q)) for q in (0.9, 0.8))
    run(land, {"L": large}, evaluations=50, archive_path=path)
    land.asked.clear()
    result = run(
        land, {"L": large, "M": less}, evaluations=50, archive_path=path, resume=True, worth=0.001
    )
    assert len(land.asked) < 25
    assert "no arch left is expected to improve M by 0.001" in result.message
    assert land.optimum(less) - result.tiers["M"].scores["AP"] < 0.01
    made = len(result.archive)
    more: dict[str, Any] = {"archive_path": path, "resume": True, "worth": 0.001}
    longer = run(land, {"L": large, "M": less}, evaluations=made + 12, **more)
    assert longer.message == f"stopped because all {made + 12} evaluations were made"
    assert {row.tier for row in list(longer.archive)[made:]} == {"L", "M"}
    fewer = run(land, {"L": large, "M": less}, evaluations=20, **more)
    assert f"{made + 12} evaluations were made, and 20 asked for" in fewer.message


def test_a_phase_that_was_interrupted_goes_on_to_the_same_bytes(
    make_landscape: Callable[..., Any], tmp_path: Path
) -> None:
    land = make_landscape(5, *COUNTS)
    small, large = (float(np.quantile(land.macs, q)) for q in (0.3, 0.8))
    both = {"S": small, "L": large}

    def start(path: Path, stop: int | None) -> None:
        land.asked.clear()

        def evaluate(arch: Arch) -> dict[str, float]:
            if len(land.asked) == stop:
                raise KeyboardInterrupt
            return land(arch)

        budgets = {tier: Limit("macs", value) for tier, value in both.items()}
        options: dict[str, Any] = {"costs": {"macs": land.macs}, "archive_path": path}
        search(land.space, evaluate, budgets=budgets, evaluations=30, resume=True, **options)

    run(land, {"S": small}, evaluations=30, archive_path=tmp_path / "first.csv")
    for stop in (None, 1, 6, 9):
        path = tmp_path / f"{stop}.csv"
        for suffix in (".csv", ".jsonl"):
            shutil.copy(tmp_path / f"first{suffix}", path.with_suffix(suffix))
        if stop is not None:
            with pytest.raises(KeyboardInterrupt):
                start(path, stop)
        start(path, None)
        for suffix in (".csv", ".jsonl"):
            whole = (tmp_path / f"None{suffix}").read_bytes()
            assert path.with_suffix(suffix).read_bytes() == whole


def test_an_old_archive_learns_a_cost_that_a_new_budget_limits(
    make_landscape: Callable[..., Any], tmp_path: Path
) -> None:
    land = make_landscape(6, 4, 4, 4)
    path = tmp_path / "archive.csv"
    run(land, {"L": 1e12}, evaluations=20, archive_path=path)
    params = np.arange(64, 0, -1)
    result = search(
        land.space,
        land,
        budgets={"L": Limit("macs", 1e12), "light": Limit("params", 20)},
        costs={"macs": land.macs, "params": params},
        evaluations=20,
        archive_path=path,
        resume=True,
    )
    assert result.tiers["light"].costs["params"] <= 20
    assert all(row.costs["params"] == params[row.index] for row in result.archive)
    assert len(land.asked) == len(set(land.asked)) == len(result.archive)


def test_progress_is_told_after_every_evaluation(
    make_landscape: Callable[..., Any], tmp_path: Path
) -> None:
    land = make_landscape(5, 4, 4, 4)
    seen: list[Progress] = []
    path = tmp_path / "archive.csv"
    run(land, {"L": 1e12}, evaluations=20, progress=seen.append, archive_path=path)
    assert [(step.done, step.total) for step in seen] == [(i, 20) for i in range(1, 21)]
    best = [step.best["L"].scores["AP"] for step in seen]
    assert best == np.maximum.accumulate([step.evaluation.scores["AP"] for step in seen]).tolist()
    seen.clear()
    options = {"progress": seen.append, "archive_path": path, "resume": True}
    run(land, {"L": 1e12}, evaluations=22, **options)
    assert [(step.done, step.total) for step in seen] == [(20, 22), (21, 22), (22, 22)]


def test_nothing_is_drawn_from_global_randomness(make_landscape: Callable[..., Any]) -> None:
    land = make_landscape(6, 4, 4, 4)
    before = random.getstate(), repr(np.random.get_state())  # noqa: NPY002
    run(land, {"L": 1e12}, evaluations=40)
    assert before == (random.getstate(), repr(np.random.get_state()))  # noqa: NPY002


def test_an_unknown_keyword_is_named(make_landscape: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'generations'"):
        run(make_landscape(6, 4, 4, 4), {"L": 1e12}, generations=3)


def test_workers_may_be_a_number(make_landscape: Callable[..., Any]) -> None:
    land = make_landscape(0, 4, 4, 4)
    here, there = (
        run(land, {"L": 1e12}, evaluations=5, workers=count) for count in (1, np.int64(2))
    )
    assert list(here.archive) == list(there.archive)
    with pytest.raises(UsageError, match="workers are a number above 0"):
        run(land, {"L": 1e12}, workers=0)
    with pytest.raises(UsageError, match="workers is a number, a text .*, not True"):
        run(land, {"L": 1e12}, workers=True)
