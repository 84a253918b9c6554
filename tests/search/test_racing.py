"""A race drops what cannot win, keeps what can, and does not depend on who works for it."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ofa_pose.errors import UsageError, WeightsError, WorkerLostError
from ofa_pose.search import (
    Archive,
    Limit,
    Progress,
    SearchResult,
    best_uniform,
    search,
    to_csv,
    uniform_baseline,
)
from ofa_pose.search.plot import CostAxis, plot_front
from ofa_pose.search.racing import Race, RaceProgress, RaceSettings
from ofa_pose.search.workers import InProcess
from ofa_pose.space import FrozenDict, uniform_archs

PARTS = (16, 32, 64, 128)
"""Where each part of the images ends."""


@dataclass(frozen=True)
class Marks:
    """A mark for each image; the score is their mean."""

    values: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def join(self, other: Marks) -> Marks:
        return Marks(np.concatenate([self.values, other.values]))

    def take(self, pictures: Sequence[int]) -> Marks:
        return Marks(self.values[list(pictures)])

    def scores_of(self, weights: np.ndarray) -> np.ndarray:
        return weights @ self.values / weights.sum(axis=1)


def marks_of(quality: Sequence[float], seed: int = 0) -> np.ndarray:
    """Marks (archs, images) about the archs' quality: images differ more than archs do."""
    rng = np.random.default_rng(seed)
    hardness = rng.normal(0, 1, PARTS[-1])
    own = rng.normal(0, 0.05, (len(quality), PARTS[-1]))
    return np.array(quality)[:, None] + hardness + own


def measure(marks: np.ndarray) -> Callable[[tuple[int, int]], Marks]:
    def one(task: tuple[int, int]) -> Marks:
        index, part = task
        if index == 13:
            raise WeightsError("NaN")
        return Marks(marks[index, (0, *PARTS)[part] : PARTS[part]])

    return one


class Backwards(InProcess[tuple[int, int], Marks]):
    """Workers that end in reverse order."""

    def evaluate(
        self, tasks: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[tuple[int, int], Marks | Exception]]:
        yield from reversed(list(super().evaluate(tasks)))


def race_over(
    marks: np.ndarray, workers: type[InProcess] = InProcess, **tiers: Sequence[int]
) -> Race:
    masks = {}
    for name, members in (tiers or {"all": range(len(marks))}).items():
        masks[name] = np.isin(np.arange(len(marks)), list(members))
    return Race(workers(measure(marks)), masks, RaceSettings(parts=len(PARTS)))


def run(race: Race, indices: Sequence[int]) -> dict[int, Mapping[str, float]]:
    """Race, and return the scores of those that did not fail."""
    outcomes = race.evaluate(indices)
    return {index: row for index, row in outcomes if not isinstance(row, Exception)}


def test_progress_is_told_while_a_batch_is_raced():
    race, told = race_over(marks_of([0.5, 0.6, 0.1])), []
    race.progress = told.append
    next(race.evaluate([0, 1, 2]))  # the first outcome comes when all have raced
    parts = len(PARTS)
    assert told[:3] == [RaceProgress(16 * seen, 1, parts, seen, 3) for seen in (1, 2, 3)]
    assert told[-1] == RaceProgress(race.images, parts, parts, 1, 1)  # two were dropped before
    images = [state.images for state in told]
    assert (images[-1], sorted(images)) == (race.images, images)


def test_a_race_by_another_objective_is_the_same_race():
    marks = marks_of([0.1, 0.5, 0.2, 0.49])
    by_ap = run(race_over(marks), range(4))
    race = Race(
        InProcess(measure(marks)),
        {"all": np.ones(4, dtype=bool)},
        RaceSettings(parts=len(PARTS)),
        objective="accuracy",
    )
    for index, scores in run(race, range(4)).items():
        assert scores == {k.replace("AP", "accuracy"): v for k, v in by_ap[index].items()}
    race.recall((index, scores) for index, scores in run(race, range(4)).items())
    assert race.standings()["all"].winner == 1


def test_an_arch_whose_score_is_nan_never_wins():
    """Whatever the objective's range: all others score -10."""
    marks = marks_of([0.1, 0.5, 0.2]) - 10
    marks[1] = np.nan
    for objective in ("minus_loss", "AP"):
        race = Race(
            InProcess(measure(marks)),
            {"all": np.ones(3, dtype=bool)},
            RaceSettings(parts=len(PARTS)),
            objective=objective,
        )
        scores = run(race, range(3))
        expected = -1 if objective == "AP" else -math.inf  # AP: as where nobody is to be found
        assert scores[1][objective] == expected
        assert not scores[1].keys() & {f"{objective}_low", f"{objective}_high"}  # not known
    race = Race(
        InProcess(measure(marks)),
        {"all": np.ones(3, dtype=bool)},
        RaceSettings(parts=len(PARTS)),
        objective="minus_loss",
    )
    run(race, range(3))
    assert race.standings()["all"].winner == 2


def test_no_objective_is_called_like_the_count_of_parts():
    with pytest.raises(UsageError, match="'parts'"):
        Race(
            InProcess(measure(marks_of([0.1]))),
            {"all": np.ones(1, dtype=bool)},
            RaceSettings(parts=1),
            objective="parts",
        )


def test_the_winner_sees_everything_and_the_poor_see_little():
    quality = [0.1, 0.5, 0.2, 0.49, 0.3, 0.0, 0.25, 0.15]
    marks = marks_of(quality)
    race = race_over(marks)
    scores = run(race, range(8))
    assert list(scores) == list(range(8))
    assert scores[1] == {
        "AP": pytest.approx(marks[1].mean(), abs=1e-12),
        "AP_low": pytest.approx(marks[1].mean() - 2 * marks[1].std() / 128**0.5, abs=0.08),
        "AP_high": pytest.approx(marks[1].mean() + 2 * marks[1].std() / 128**0.5, abs=0.08),
        "parts": 4,
    }
    assert {index for index, row in scores.items() if row["parts"] == 1} == {0, 2, 4, 5, 6, 7}
    assert race.images < 8 * 128 / 2
    assert race.images == 8 * 16 + 2 * 112


def test_what_is_dropped_scores_relative_to_whom_it_lost_to():
    marks = marks_of([0.5, 0.2])
    scores = run(race_over(marks), [0, 1])
    deficit = marks[0, :16].mean() - marks[1, :16].mean()
    assert scores[1]["AP"] == pytest.approx(marks[0].mean() - deficit, abs=1e-12)
    assert set(scores[1]) == {"AP", "parts"}  # its leader's interval would have to be in its own
    # The hard first images would otherwise make the two incomparable.
    assert abs(scores[1]["AP"] - marks[1].mean()) < 0.05 < abs(marks[:, :16].mean() - marks.mean())


def test_an_arch_races_on_while_it_may_win_one_tier():
    marks = marks_of([0.5, 0.3, 0.1])
    scores = run(race_over(marks, small=[1, 2], large=[0, 1, 2]), [0, 1, 2])
    assert [scores[index]["parts"] for index in range(3)] == [4, 4, 1]
    assert scores[2]["AP"] < scores[1]["AP"] < scores[0]["AP"]


def test_batches_before_are_raced_against_and_can_be_recalled():
    marks = marks_of([0.5, 0.1, 0.2, 0.3])
    race = race_over(marks)
    first = run(race, [0, 1])
    second = run(race, [2, 3])
    assert [row["parts"] for row in second.values()] == [1, 1]
    resumed = race_over(marks)
    resumed.recall(first.items())
    assert run(resumed, [2, 3]) == second


def test_the_order_of_completion_is_no_matter():
    marks = marks_of([0.5, 0.1, 0.48, 0.3, 0.49, 0.47], seed=3)
    expected = list(race_over(marks).evaluate(range(6)))
    assert list(race_over(marks, Backwards).evaluate(range(6))) == expected


def test_a_failure_is_an_outcome():
    marks = marks_of([0.1 * (index % 5) for index in range(14)])
    outcomes = dict(race_over(marks).evaluate([12, 13, 4]))
    assert isinstance(outcomes[13], WeightsError)
    assert not isinstance(outcomes[4], Exception)
    assert outcomes[4]["parts"] == 4


def test_ties_are_said_to_be_ties():
    same = marks_of([0.5, 0.5, 0.3], seed=1)
    race = race_over(same)
    list(race.evaluate(range(3)))
    standing = race.standings()["all"]
    assert {standing.winner, *standing.ties} == {0, 1}
    resumed = race_over(same)
    resumed.recall((index, {"AP": same[index].mean(), "parts": 4}) for index in (0, 1))
    assert resumed.standings()["all"] == standing
    apart = race_over(marks_of([0.5, 0.3]))
    list(apart.evaluate([0, 1]))
    assert apart.standings()["all"].ties == ()
    assert race_over(same).standings() == {}


@pytest.mark.parametrize(
    ("values", "match"),
    [({"parts": 0}, "parts"), ({"parts": 2, "confidence": 0.4}, "confidence lies")],
)
def test_impossible_settings(values, match):
    with pytest.raises(UsageError, match=match):
        RaceSettings(**values)


def test_whoever_lost_to_an_arch_that_fails_later_catches_up():
    marks = np.repeat([[0.9], [0.1], [0.5], [0.45]], PARTS[-1], axis=1)
    marks += np.linspace(0, 0.001, PARTS[-1])  # else nothing can be resampled
    seen: list[tuple[int, int]] = []

    def failing(task: tuple[int, int]) -> Marks:
        seen.append(task)
        index, part = task
        if (index, part) in ((0, 2), (2, 3)):  # the best of all, then the best of the others
            raise WeightsError("NaN")
        return Marks(marks[index, (0, *PARTS)[part] : PARTS[part]])

    everybody = {"all": np.ones(4, dtype=bool)}
    race = Race(InProcess(failing), everybody, RaceSettings(parts=len(PARTS)))
    outcomes = dict(race.evaluate([0, 1, 2, 3]))
    assert isinstance(outcomes[0], WeightsError)
    assert isinstance(outcomes[2], WeightsError)
    third, last = outcomes[3], outcomes[1]
    assert isinstance(third, Mapping)
    assert isinstance(last, Mapping)
    # All were dropped after part 0, came back at part 2, and again at part 3.
    assert (third["parts"], last["parts"]) == (4, 4)
    assert third["AP"] == pytest.approx(marks[3].mean())
    assert last["AP"] == pytest.approx(marks[1].mean())
    assert len(seen) == len(set(seen))
    assert race.standings()["all"].winner == 3


@pytest.fixture
def two_races(make_landscape, tmp_path):
    """A search whose archs raced, what races them, and the marks of every arch."""
    land = make_landscape(3, 4, 3, 3, 3)
    marks = marks_of(land.scores * 2, seed=2)
    members = {"S": land.macs <= 1.2e8, "L": land.macs <= 2.5e8}
    limits = {"S": Limit("macs", 1.2e8), "L": Limit("macs", 2.5e8)}
    uniform = [land.space.index(arch) for arch in uniform_archs(land.space)]

    def opened(*among: int) -> Race:
        masks = {
            name: mask & (np.isin(np.arange(len(mask)), among) if among else True)
            for name, mask in members.items()
        }
        return Race(InProcess(measure(marks)), masks, RaceSettings(parts=len(PARTS)))

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
        assert best[name].scores["parts"] == len(PARTS)
        assert best[name].score("AP") == pytest.approx(whole[index], abs=1e-12)
    assert {row.index for row in baseline} == {i for i in uniform if members["L"][i]}
    assert any(row.scores["parts"] < len(PARTS) for row in baseline if not row.failed)


def test_a_baseline_of_other_rivals_begins_anew(two_races, tmp_path):
    result, compare, marks, members, uniform = two_races
    compare("baseline.csv")
    seen = next(row for row in result.archive if row.scores["parts"] == len(PARTS))
    lost = next(
        row
        for row in compare("baseline.csv")
        if row.scores.get("parts", 9) < len(PARTS) and not result.archive.has(row.index)
    )
    whole = {"AP": float(marks[lost.index].mean()), "parts": float(len(PARTS))}
    result.archive.add(replace(lost, order=99, tier=seen.tier, scores=FrozenDict(whole)))
    again = {row.index: row for row in compare("baseline.csv")}
    assert again[lost.index].scores == whole


def test_what_failed_in_the_search_is_not_raced_again(make_landscape):
    land = make_landscape(3, 4, 3, 3, 3)
    marks = marks_of(land.scores * 2, seed=2)
    asked = []

    def failing(task: tuple[int, int]) -> Marks:
        asked.append(task)
        index, _part = task
        if index == broken:
            raise WeightsError("NaN")
        return Marks(marks[index])

    broken = land.space.index(uniform_archs(land.space)[-1])
    limits = {"L": Limit("macs", 1e12)}

    def opened() -> Race:
        everybody = {"L": np.ones(len(land.space), dtype=bool)}
        return Race(InProcess(failing), everybody, RaceSettings(parts=1))

    result = search(
        land.space, land, budgets=limits, costs={"macs": land.macs}, evaluations=20,
        workers=opened(),
    )  # fmt: skip
    assert result.archive.has(broken)
    baseline = uniform_baseline(result, lambda: nullcontext(opened()), costs={"macs": land.macs})
    assert asked.count((broken, 0)) == 1
    assert {row.error for row in baseline if row.index == broken} == {"NaN"}


def race_of(
    land, marks: np.ndarray, folder: Path, *, asked: list[int] | None = None
) -> Callable[..., SearchResult]:
    """Return a search that races over `marks` and goes on with the archive of a name."""

    def searched(name: str, *, evaluations: int, dies: int = -1, stop_at: int = -1) -> SearchResult:
        def whole(task: tuple[int, int]) -> Marks:
            index, part = task
            if asked is not None:
                asked.append(index)
            if index == dies:
                raise WorkerLostError("its worker died 3 times")
            return Marks(marks[index, (0, *PARTS)[part] : PARTS[part]])

        def stop(state: Progress) -> None:
            if state.done == stop_at:
                raise KeyboardInterrupt

        everybody = {"L": np.ones(len(land.space), dtype=bool)}
        return search(
            land.space,
            land,
            budgets={"L": Limit("macs", 1e12)},
            costs={"macs": land.macs},
            evaluations=evaluations,
            archive_path=folder / name,
            resume=True,
            progress=stop,
            workers=Race(InProcess(whole), everybody, RaceSettings(parts=len(PARTS))),
        )

    return searched


def test_a_race_holds_what_is_recorded_even_if_a_later_one_of_the_batch_says_otherwise(
    make_landscape, tmp_path
):
    land = make_landscape(3, 4, 3, 3, 3)
    marks = marks_of(land.scores, seed=2)

    searched = race_of(land, marks, tmp_path)
    proposed = [row for row in searched("dry.csv", evaluations=50).archive if row.generation == 0]
    size, best, last = len(proposed), proposed[0].index, proposed[-1].index
    marks[best] += 2 - marks[best].mean()  # nobody is better,
    marks[last] = marks[best] - 0.1
    marks[last, : PARTS[0]] += 0.2  # but the last of the generation seems to be, at first
    for name in ("whole.csv", "killed.csv"):
        searched(name, evaluations=size - 1)  # without the last
    whole = searched("whole.csv", evaluations=size + 16)
    assert whole.tiers["L"].evaluation.index == best
    with pytest.raises(KeyboardInterrupt):
        searched("killed.csv", evaluations=size + 16, stop_at=size)
    searched("killed.csv", evaluations=size + 16)
    assert (tmp_path / "killed.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.parametrize("more", [0, 16])
def test_what_failed_in_a_race_that_goes_on_is_not_raced_again(make_landscape, tmp_path, more):
    """Though its worker would live this time, and it would win."""
    land = make_landscape(3, 4, 3, 3, 3)
    marks = marks_of(land.scores, seed=2)
    asked: list[int] = []
    searched = race_of(land, marks, tmp_path, asked=asked)
    size = sum(row.generation == 0 for row in searched("dry.csv", evaluations=50).archive)
    failing = list(searched("dry.csv", evaluations=50).archive)[1].index
    marks[failing] += 2 - marks[failing].mean()  # nobody is better
    whole = searched("whole.csv", evaluations=size + more, dies=failing)
    with pytest.raises(KeyboardInterrupt):
        searched("killed.csv", evaluations=size + more, dies=failing, stop_at=size // 2)
    asked.clear()
    killed = searched("killed.csv", evaluations=size + more)
    assert failing not in asked
    errors = [row.error for row in killed.archive if row.index == failing]
    assert errors == ["its worker died 3 times"]
    assert list(killed.archive) == list(whole.archive)
    assert (tmp_path / "killed.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def raced(make_landscape, quality: float, own: float = 1.0) -> SearchResult:
    """A search of archs of qualities up to `quality`, with noise of their own, or all the first."""
    land = make_landscape(3, 4, 3, 3, 3)
    marks = marks_of(land.scores * quality)
    marks = own * marks + (1 - own) * marks[0]
    return search(
        land.space,
        land,
        budgets={"L": Limit("macs", 1e12)},
        costs={"macs": land.macs},
        evaluations=30,
        workers=race_over(marks),
    )


def test_archs_of_which_a_race_has_dropped_some_do_not_score_alike(make_landscape):
    """Though the best one's own interval, which other images widen, reaches down to the worst."""
    result = raced(make_landscape, 0.15)
    rows = [row for row in result.archive if not row.failed]
    assert any(row.scores["parts"] < len(PARTS) for row in rows)
    assert result.tiers["L"].scores["AP_low"] < min(row.score("AP") for row in rows)
    assert not any("score alike" in note for note in result.notes)
    result = raced(make_landscape, 0.15, own=0.0)
    assert any("score alike" in note for note in result.notes)


def test_what_reads_scores_leaves_the_interval_of_dropped_archs_empty(make_landscape, tmp_path):
    result = raced(make_landscape, 0.3)
    whole = [row for row in result.archive if row.scores.get("parts") == len(PARTS)]
    frame = pd.read_csv(io.StringIO(to_csv(result.archive, result.archive.space)))
    assert 0 < len(whole) < frame["score.AP"].notna().sum()
    for end in ("low", "high"):
        assert frame[f"score.AP_{end}"].notna().sum() == len(whole)
    plot_front(tmp_path / "front.png", result, [CostAxis("macs", "MACs", 1e6)])


@pytest.mark.parametrize("seed", range(4))
def test_the_winner_of_a_tier_that_is_added_later_sees_everything(make_landscape, tmp_path, seed):
    land = make_landscape(seed, 4, 3, 3, 3)
    marks = marks_of(land.scores * 2, seed=seed)
    budgets = {"L": Limit("macs", 1e12), "S": Limit("macs", float(np.median(land.macs)))}

    def whole(task: tuple[int, int]) -> Marks:
        index, part = task
        return Marks(marks[index, (0, *PARTS)[part] : PARTS[part]])

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
            workers=Race(InProcess(whole), masks, RaceSettings(parts=len(PARTS))),
        )

    run_with("L")
    result = run_with("L", "S")
    for tier in result.tiers.values():
        assert tier.scores["parts"] == len(PARTS)
        own = marks[tier.evaluation.index].mean()
        assert tier.scores["AP"] == pytest.approx(own, abs=1e-12)
    assert run_with("L", "S").tiers == result.tiers


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
