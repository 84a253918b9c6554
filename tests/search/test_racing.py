"""A race drops what cannot win, keeps what can, and does not depend on who works for it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from ofa_pose.errors import UsageError, WeightsError
from ofa_pose.search import InProcess, Race, RaceProgress, RaceSettings


class Backwards(InProcess[Any, Any]):
    """Workers that end in reverse order."""

    def evaluate(self, tasks: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        yield from reversed(list(super().evaluate(tasks)))


def run(race: Race, indices: Sequence[int]) -> dict[int, Mapping[str, float]]:
    """Race, and return the scores of those that did not fail."""
    outcomes = race.evaluate(indices)
    return {index: row for index, row in outcomes if not isinstance(row, Exception)}


def test_progress_is_told_while_a_batch_is_raced(race_over, marks_of):
    race, told = race_over(marks_of([0.5, 0.6, 0.1])), []
    race.progress = told.append
    next(race.evaluate([0, 1, 2]))  # the first outcome comes when all have raced
    assert told[:3] == [RaceProgress(16 * seen, 1, 4, seen, 3) for seen in (1, 2, 3)]
    assert told[-1] == RaceProgress(race.images, 4, 4, 1, 1)  # two were dropped before
    images = [state.images for state in told]
    assert (images[-1], sorted(images)) == (race.images, images)


def test_a_race_by_another_objective_is_the_same_race(race_over, marks_of):
    marks = marks_of([0.1, 0.5, 0.2, 0.49])
    by_ap = run(race_over(marks), range(4))
    race = race_over(marks, objective="accuracy")
    for index, scores in run(race, range(4)).items():
        assert scores == {k.replace("AP", "accuracy"): v for k, v in by_ap[index].items()}
    race.recall((index, scores) for index, scores in run(race, range(4)).items())
    assert race.standings()["all"].winner == 1


def test_an_arch_whose_score_is_nan_never_wins(race_over, marks_of):
    """Whatever the objective's range: all others score -10."""
    marks = marks_of([0.1, 0.5, 0.2]) - 10
    marks[1] = np.nan
    for objective in ("minus_loss", "AP"):
        scores = run(race_over(marks, objective=objective), range(3))
        expected = -1 if objective == "AP" else -math.inf  # AP: as where nobody is to be found
        assert scores[1][objective] == expected
        assert not scores[1].keys() & {f"{objective}_low", f"{objective}_high"}  # not known
    race = race_over(marks, objective="minus_loss")
    run(race, range(3))
    assert race.standings()["all"].winner == 2


def test_no_objective_is_called_like_the_count_of_parts(race_over, marks_of):
    with pytest.raises(UsageError, match="'parts'"):
        race_over(marks_of([0.1]), objective="parts")


def test_the_winner_sees_everything_and_the_poor_see_little(race_over, marks_of):
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


def test_what_is_dropped_scores_relative_to_whom_it_lost_to(race_over, marks_of):
    marks = marks_of([0.5, 0.2])
    scores = run(race_over(marks), [0, 1])
    deficit = marks[0, :16].mean() - marks[1, :16].mean()
    assert scores[1]["AP"] == pytest.approx(marks[0].mean() - deficit, abs=1e-12)
    assert set(scores[1]) == {"AP", "parts"}  # its leader's interval would have to be in its own
    # The hard first images would otherwise make the two incomparable.
    assert abs(scores[1]["AP"] - marks[1].mean()) < 0.05 < abs(marks[:, :16].mean() - marks.mean())


def test_an_arch_races_on_while_it_may_win_one_tier(race_over, marks_of):
    tiers = {"small": np.array([False, True, True]), "large": np.ones(3, dtype=bool)}
    scores = run(race_over(marks_of([0.5, 0.3, 0.1]), tiers=tiers), [0, 1, 2])
    assert [scores[index]["parts"] for index in range(3)] == [4, 4, 1]
    assert scores[2]["AP"] < scores[1]["AP"] < scores[0]["AP"]


def test_batches_before_are_raced_against_and_can_be_recalled(race_over, marks_of):
    marks = marks_of([0.5, 0.1, 0.2, 0.3])
    race = race_over(marks)
    first = run(race, [0, 1])
    second = run(race, [2, 3])
    assert [row["parts"] for row in second.values()] == [1, 1]
    resumed = race_over(marks)
    resumed.recall(first.items())
    assert run(resumed, [2, 3]) == second


def test_the_order_of_completion_is_no_matter(race_over, marks_of):
    marks = marks_of([0.5, 0.1, 0.48, 0.3, 0.49, 0.47], seed=3)
    expected = list(race_over(marks).evaluate(range(6)))
    assert list(race_over(marks, workers=Backwards).evaluate(range(6))) == expected


def test_a_failure_is_an_outcome(race_over, marks_of):
    marks = marks_of([0.1, 0.2, 0.3])
    outcomes = dict(race_over(marks, errors={(1, 0): WeightsError("NaN")}).evaluate([0, 1, 2]))
    assert isinstance(outcomes[1], WeightsError)
    assert not isinstance(outcomes[2], Exception)
    assert outcomes[2]["parts"] == 4


def test_ties_are_said_to_be_ties(race_over, marks_of):
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


def test_whoever_lost_to_an_arch_that_fails_later_catches_up(race_over):
    marks = np.repeat([[0.9], [0.1], [0.5], [0.45]], 128, axis=1)
    marks += np.linspace(0, 0.001, 128)  # else nothing can be resampled
    seen: list[tuple[int, int]] = []
    # The best of all fails, then the best of the others.
    errors = {(0, 2): WeightsError("NaN"), (2, 3): WeightsError("NaN")}
    race = race_over(marks, errors=errors, asked=seen)
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
