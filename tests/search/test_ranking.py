"""Fronts against their definition, winners and their ties, the log of generations."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa_pose.search import Evaluation, FeasibleSet, Limit
from ofa_pose.search.ranking import front, log_generations, log_to_csv, rank
from ofa_pose.space import SearchSpace

SMALL = st.integers(0, 4)


@pytest.fixture(scope="module")
def space(make_space: Callable[..., SearchSpace]) -> SearchSpace:
    return make_space(5, 8)


def all_within(load: list[float]) -> FeasibleSet:
    return FeasibleSet("S", (Limit("macs", 1),), np.ones(len(load), dtype=bool), np.array(load))


@given(points=st.lists(st.tuples(SMALL, SMALL, SMALL, st.booleans()), max_size=40))
def test_a_front_is_exactly_what_nothing_dominates(
    space: SearchSpace,
    make_evaluation: Callable[..., Evaluation],
    points: list[tuple[int, int, int, bool]],
) -> None:
    rows = [
        make_evaluation(
            space,
            index,
            costs={"macs": macs, "ms": float(ms)},
            scores={"AP": score / 4},
            error="broken" if failed else "",
        )
        for index, (macs, ms, score, failed) in enumerate(points)
    ]
    good = {point[:3] for point in points if not point[3]}
    truth = {
        (macs, ms, score)
        for macs, ms, score in good
        if not any(
            m <= macs and t <= ms and s >= score and (m, t, s) != (macs, ms, score)
            for m, t, s in good
        )
    }
    found = front(rows, objective="AP", costs=("macs", "ms"))
    got = [(int(r.costs["macs"]), int(r.costs["ms"]), int(r.scores["AP"] * 4)) for r in found]
    assert set(got) == truth
    assert len(got) == len(truth)
    assert [point[0] for point in got] == sorted(point[0] for point in got)


def test_equal_evaluations_are_represented_by_the_first(
    space: SearchSpace, make_evaluation: Callable[..., Evaluation]
) -> None:
    rows = [make_evaluation(space, index) for index in (7, 3)]
    assert [row.index for row in front(rows, objective="AP", costs=("macs",))] == [7]


def test_an_unknown_cost_keeps_an_arch_off_the_front(
    space: SearchSpace, make_evaluation: Callable[..., Evaluation]
) -> None:
    rows = [make_evaluation(space, 0, costs={"macs": math.nan}), make_evaluation(space, 1)]
    assert [row.index for row in front(rows, objective="AP", costs=("macs",))] == [1]


def test_rank_by_score_then_cost_then_age_without_failures(
    space: SearchSpace, make_evaluation: Callable[..., Evaluation]
) -> None:
    def row(index: int, score: float, error: str = "") -> Evaluation:
        return make_evaluation(space, index, scores={"AP": score}, error=error)

    rows = [row(0, 0.5), row(1, 0.7), row(2, 0.7), row(3, 0.7), row(4, 0.9, error="broken")]
    feasible = all_within([0.1, 0.9, 0.2, 0.2, 0.1])
    best = rank(rows, feasible, objective="AP", count=9)
    assert [row.index for row in best] == [2, 3, 1, 0]
    feasible.mask[2] = False
    assert [row.index for row in rank(rows, feasible, objective="AP", count=2)] == [3, 1]


def test_the_log_has_a_record_a_generation_the_last_included(
    space: SearchSpace, make_evaluation: Callable[..., Evaluation]
) -> None:
    rows = [
        make_evaluation(space, 0, scores={"AP": 0.2}),
        make_evaluation(space, 1, scores={"AP": 0.4}),
        make_evaluation(space, 2, scores={}, error="broken", generation=1),
        make_evaluation(space, 3, scores={"AP": 0.8}, generation=2),
    ]
    log = log_generations(rows, [all_within([1, 1, 1, 1])], objective="AP")
    assert log.select("generation") == [0, 1, 2]
    assert log.select("evaluations", "failed") == ([2, 3, 4], [0, 1, 1])
    assert log.chapters["best"].select("S") == [0.4, 0.4, 0.8]
    assert log.chapters["scores"].select("mean") == pytest.approx([0.3, math.nan, 0.8], nan_ok=True)
    assert len(str(log).splitlines()) == 6
    text = log_to_csv(log, objective="AP")
    header = "generation,evaluations,failed,AP.mean,AP.std,AP.min,AP.max,best.S"
    assert text.splitlines()[0] == header
    assert text.splitlines()[2:] == ["1,3,1,nan,nan,nan,nan,0.4", "2,4,1,0.8,0.0,0.8,0.8,0.8"]
