"""A search, and what it is compared with, whose archs race: what is recorded, how it goes on."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ofa_pose.errors import WeightsError, WorkerLostError
from ofa_pose.search import (
    Archive,
    Limit,
    Progress,
    Race,
    SearchResult,
    best_uniform,
    search,
    to_csv,
    uniform_baseline,
)
from ofa_pose.search.plot import CostAxis, plot_front
from ofa_pose.space import FrozenDict, uniform_archs

PARTS = 4
EVERYTHING = {"L": Limit("macs", 1e12)}


@pytest.fixture
def land(make_landscape):
    return make_landscape(3, 4, 3, 3, 3)


@pytest.fixture
def two_races(land, race_over, marks_of, tmp_path):
    """A search whose archs raced, what races them, and the marks of every arch."""
    marks = marks_of(land.scores * 2, seed=2)
    members = {"S": land.macs <= 1.2e8, "L": land.macs <= 2.5e8}
    limits = {"S": Limit("macs", 1.2e8), "L": Limit("macs", 2.5e8)}
    uniform = [land.space.index(arch) for arch in uniform_archs(land.space)]

    def opened(*among: int) -> Race:
        masks = {
            name: mask & (np.isin(np.arange(len(mask)), among) if among else True)
            for name, mask in members.items()
        }
        return race_over(marks, tiers=masks)

    result = search(
        land.space, land, budgets=limits, costs={"macs": land.macs}, evaluations=7, workers=opened()
    )

    def compare(name: str, progress: Callable[[int, int], None] | None = None) -> Archive:
        return uniform_baseline(
            result,
            lambda: nullcontext(opened(*uniform)),
            costs={"macs": land.macs},
            path=tmp_path / name,
            progress=progress,
        )

    return result, compare, marks, members, uniform


def test_uniform_archs_race_each_other_and_the_best_of_them_is_found(two_races):
    result, compare, marks, members, uniform = two_races
    baseline = compare("baseline.csv")
    best = best_uniform(result, baseline)
    whole = marks.mean(axis=1)
    for name, inside in members.items():
        index = max((i for i in uniform if inside[i]), key=lambda i: whole[i])
        assert best[name].index == index
        assert best[name].scores["parts"] == PARTS
        assert best[name].score("AP") == pytest.approx(whole[index], abs=1e-12)
    assert {row.index for row in baseline} == {i for i in uniform if members["L"][i]}
    assert any(row.scores["parts"] < PARTS for row in baseline if not row.failed)


def test_a_baseline_of_other_rivals_begins_anew_even_if_killed_meanwhile(two_races, monkeypatch):
    result, compare, marks, *_ = two_races
    compare("baseline.csv")
    seen = next(row for row in result.archive if row.scores["parts"] == PARTS)
    lost = next(
        row
        for row in compare("baseline.csv")
        if row.scores.get("parts", 9) < PARTS and not result.archive.has(row.index)
    )
    whole = {"AP": float(marks[lost.index].mean()), "parts": float(PARTS)}
    result.archive.add(replace(lost, order=99, tier=seen.tier, scores=FrozenDict(whole)))
    unlink = Path.unlink

    def unlink_and_die(path: Path, *, missing_ok: bool = False) -> None:
        unlink(path, missing_ok=missing_ok)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink_and_die)
        with pytest.raises(KeyboardInterrupt):
            compare("baseline.csv")
    again = {row.index: row for row in compare("baseline.csv")}
    assert again[lost.index].scores == whole


def test_a_comparison_that_was_stopped_gives_what_one_in_one_go_gives(two_races, tmp_path):
    _, compare, *_ = two_races
    compare("whole.csv")

    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            compare("stopped.csv", stop)
    compare("stopped.csv")
    assert (tmp_path / "stopped.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_what_failed_in_the_search_is_not_raced_again(land, race_over, marks_of):
    marks = marks_of(land.scores * 2, seed=2)
    broken = land.space.index(uniform_archs(land.space)[-1])
    asked = []

    def opened() -> Race:
        return race_over(marks, errors={(broken, 0): WeightsError("NaN")}, asked=asked)

    costs = {"macs": land.macs}
    result = search(
        land.space, land, budgets=EVERYTHING, costs=costs, evaluations=20, workers=opened()
    )
    assert result.archive.has(broken)
    baseline = uniform_baseline(result, lambda: nullcontext(opened()), costs=costs)
    assert asked.count((broken, 0)) == 1
    assert {row.error for row in baseline if row.index == broken} == {"NaN"}


@pytest.fixture
def searched(land, race_over, tmp_path) -> Callable[..., SearchResult]:
    """A search that races over marks and goes on with the archive of a name."""

    def go_on(
        name: str, marks: np.ndarray, *, evaluations: int, stop_at: int = -1, **how: object
    ) -> SearchResult:
        def stop(state: Progress) -> None:
            if state.done == stop_at:
                raise KeyboardInterrupt

        return search(
            land.space,
            land,
            budgets=EVERYTHING,
            costs={"macs": land.macs},
            evaluations=evaluations,
            archive_path=tmp_path / name,
            resume=True,
            progress=stop,
            workers=race_over(marks, **how),
        )

    return go_on


@pytest.fixture
def first(searched, land, marks_of) -> list[int]:
    """The archs of the first generation, whatever they score."""
    marks = marks_of(land.scores, seed=2)
    return [row.index for row in searched("dry.csv", marks, evaluations=50).archive
            if row.generation == 0]  # fmt: skip


def test_a_race_holds_what_is_recorded_even_if_a_later_one_of_the_batch_says_otherwise(
    land, first, searched, marks_of, tmp_path
):
    marks = marks_of(land.scores, seed=2)
    size, best, last = len(first), first[0], first[-1]
    marks[best] += 2 - marks[best].mean()  # nobody is better,
    marks[last] = marks[best] - 0.1
    marks[last, :16] += 0.2  # but the last of the generation seems to be, at first
    for name in ("whole.csv", "killed.csv"):
        searched(name, marks, evaluations=size - 1)  # without the last
    whole = searched("whole.csv", marks, evaluations=size + 16)
    assert whole.tiers["L"].evaluation.index == best
    with pytest.raises(KeyboardInterrupt):
        searched("killed.csv", marks, evaluations=size + 16, stop_at=size)
    searched("killed.csv", marks, evaluations=size + 16)
    assert (tmp_path / "killed.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.parametrize("more", [0, 16])
def test_what_failed_in_a_race_that_goes_on_is_not_raced_again(
    land, first, searched, marks_of, tmp_path, more
):
    """Though its worker would live this time, and it would win."""
    marks = marks_of(land.scores, seed=2)
    size, failing = len(first), first[1]
    marks[failing] += 2 - marks[failing].mean()  # nobody is better
    dies = {(failing, 0): WorkerLostError("its worker died 3 times")}
    for name in ("whole.csv", "later.csv"):
        searched(name, marks, evaluations=size - 1, errors=dies)  # without the last
    whole = searched("whole.csv", marks, evaluations=size + more, errors=dies)
    asked: list[tuple[int, int]] = []
    later = searched("later.csv", marks, evaluations=size + more, asked=asked)
    assert failing not in {index for index, _ in asked}
    errors = [row.error for row in later.archive if row.index == failing]
    assert errors == ["its worker died 3 times"]
    assert list(later.archive) == list(whole.archive)
    assert (tmp_path / "later.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.parametrize("stop_at", [1, 6, -1])
def test_a_kill_among_the_outcomes_of_a_race_changes_nothing(
    land, first, searched, marks_of, tmp_path, stop_at
):
    """Though others had lost to one that failed later, which is not known of a recorded failure."""
    marks = marks_of(land.scores, seed=2)
    size, failing = len(first), first[0]
    marks[failing] += 2 - marks[failing].mean()  # nobody is better
    fails = {(failing, 1): WeightsError("NaN")}
    whole = searched("whole.csv", marks, evaluations=size + 8, errors=fails)
    assert {row.scores.get("parts") for row in whole.archive} > {2.0}  # who had lost to it
    with pytest.raises(KeyboardInterrupt):
        searched("killed.csv", marks, evaluations=size + 8, errors=fails, stop_at=stop_at % size)
    searched("killed.csv", marks, evaluations=size + 8, errors=fails)
    assert (tmp_path / "killed.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_an_error_that_says_nothing_of_an_arch_decides_no_race(
    land, first, searched, marks_of, tmp_path
):
    marks = marks_of(land.scores, seed=2)
    size, best = len(first), first[-1]
    marks[best] += 2 - marks[best].mean()  # all others lose to it on the first part
    searched("whole.csv", marks, evaluations=size)
    with pytest.raises(OSError, match="disk"):
        searched("broken.csv", marks, evaluations=size, errors={(best, 1): OSError("no disk")})
    searched("broken.csv", marks, evaluations=size)
    assert (tmp_path / "broken.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.fixture
def raced(land, race_over, marks_of) -> Callable[..., SearchResult]:
    """A search of archs of qualities up to `quality`, with noise of their own, or all the first."""

    def run(quality: float, own: float = 1.0) -> SearchResult:
        marks = marks_of(land.scores * quality)
        marks = own * marks + (1 - own) * marks[0]
        return search(
            land.space,
            land,
            budgets=EVERYTHING,
            costs={"macs": land.macs},
            evaluations=30,
            workers=race_over(marks),
        )

    return run


def test_archs_of_which_a_race_has_dropped_some_do_not_score_alike(raced):
    """Though the best one's own interval, which other images widen, reaches down to the worst."""
    result = raced(0.15)
    rows = [row for row in result.archive if not row.failed]
    assert any(row.scores["parts"] < PARTS for row in rows)
    assert result.tiers["L"].scores["AP_low"] < min(row.score("AP") for row in rows)
    assert not any("score alike" in note for note in result.notes)
    result = raced(0.15, own=0.0)
    assert any("score alike" in note for note in result.notes)


def test_what_reads_scores_leaves_the_interval_of_dropped_archs_empty(raced, tmp_path):
    result = raced(0.3)
    whole = [row for row in result.archive if row.scores.get("parts") == PARTS]
    frame = pd.read_csv(io.StringIO(to_csv(result.archive, result.archive.space)))
    assert 0 < len(whole) < frame["score.AP"].notna().sum()
    for end in ("low", "high"):
        assert frame[f"score.AP_{end}"].notna().sum() == len(whole)
    plot_front(tmp_path / "front.png", result, [CostAxis("macs", "MACs", 1e6)])


@pytest.mark.parametrize("seed", range(4))
def test_the_winner_of_a_tier_that_is_added_later_sees_everything(
    make_landscape, race_over, marks_of, tmp_path, seed
):
    land = make_landscape(seed, 4, 3, 3, 3)
    marks = marks_of(land.scores * 2, seed=seed)
    budgets = {"L": Limit("macs", 1e12), "S": Limit("macs", float(np.median(land.macs)))}

    def run_with(*tiers: str) -> SearchResult:
        masks = {name: land.macs <= budgets[name].value for name in tiers}
        return search(
            land.space,
            land,
            budgets={name: budgets[name] for name in tiers},
            costs={"macs": land.macs},
            evaluations=20,
            archive_path=tmp_path / "archive.csv",
            resume=len(tiers) > 1,
            workers=race_over(marks, tiers=masks),
        )

    run_with("L")
    result = run_with("L", "S")
    for tier in result.tiers.values():
        assert tier.scores["parts"] == PARTS
        own = marks[tier.evaluation.index].mean()
        assert tier.scores["AP"] == pytest.approx(own, abs=1e-12)
    assert run_with("L", "S").tiers == result.tiers
