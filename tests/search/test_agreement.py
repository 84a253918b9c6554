"""Rank agreement: by hand for three archs, by scipy for more."""

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau, permutation_test

from ofa_pose.search.agreement import Agreement


def test_three_archs_by_hand() -> None:
    # Pairs 1-2 and 1-3 are in the same order, 2-3 is not: tau is (2 - 1) / 3. Of the 6 orders one
    # has three pairs right and two have two, so chance does as well in 3 of 6 cases.
    found = Agreement.of([0.1, 0.2, 0.3], [0.1, 0.3, 0.2])
    assert (found.count, found.tau, found.chance) == (3, pytest.approx(1 / 3), 0.5)
    assert math.isnan(found.low)
    assert not found.shown
    assert Agreement.of([1, 2, 3], [4, 5, 6]).chance == pytest.approx(1 / 6)
    assert Agreement.of([1, 2, 3, 4], [4, 5, 6, 7]).shown  # 1 in 24
    assert Agreement.of([1, 2, 3], [3, 2, 1]).chance == 1.0


def test_chance_with_ties_is_that_of_all_orders() -> None:
    one, other = [1.0, 1.0, 2.0, 3.0, 4.0, 4.0], [1.0, 2.0, 2.0, 5.0, 3.0, 9.0]

    def tau(values: Any) -> float:
        found: Any = kendalltau(one, values)
        return found.statistic

    exact = permutation_test(
        (other,), tau, permutation_type="pairings", alternative="greater", n_resamples=10**6
    )  # of 6! = 720, so all are looked at
    assert Agreement.of(one, other).chance == pytest.approx(float(exact.pvalue), abs=1e-6)


def test_the_interval_holds_the_true_tau_as_often_as_it_says() -> None:
    """Of two normal variables tau is 2 / pi * arcsin(r) (Greiner's relation)."""
    rng = np.random.default_rng(0)
    r, count, held = 0.8, 30, 0
    truth = 2 / math.pi * math.asin(r)
    for _ in range(400):
        one, noise = rng.normal(size=(2, count))
        found = Agreement.of(one.tolist(), (r * one + math.sqrt(1 - r * r) * noise).tolist())
        held += found.low <= truth <= found.high
    assert 0.91 <= held / 400 <= 0.99


@pytest.mark.parametrize(("one", "other"), [([1.0], [2.0]), ([1, 1, 1], [1, 2, 3])])
def test_nothing_is_known_where_all_are_alike(one: list[float], other: list[float]) -> None:
    found = Agreement.of(one, other)
    assert not found.known
    assert not found.shown
    assert found.to_dict() == {
        "count": len(one), "tau": None, "chance": None, "low": None, "high": None,
    }  # fmt: skip
