"""Budgets as masks: what is feasible, what is refused and how the refusal reads."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ofa_pose.errors import BudgetError, InfeasibleBudgetError, UnknownNameError
from ofa_pose.search import Limit, plain_cost, resolve_budgets, search
from ofa_pose.search.limits import bands
from ofa_pose.space import Arch, SearchSpace

MACS = np.array([8000, 4000, 2000, 1000])
PARAMS = np.array([1.5, 2.5, 3.5, np.nan])


@pytest.fixture
def space(make_space: Callable[..., SearchSpace]) -> SearchSpace:
    return make_space(2, 2)


def test_a_limit_allows_what_costs_as_much_and_less(space: SearchSpace) -> None:
    (feasible,), notes = resolve_budgets(space, {"S": Limit("macs", 4000)}, costs={"macs": MACS})
    assert feasible.mask.tolist() == [False, True, True, True]
    assert feasible.load.tolist() == [2.0, 1.0, 0.5, 0.25]
    assert notes == ()


def test_several_limits_hold_together_and_an_unknown_cost_is_never_within(
    space: SearchSpace,
) -> None:
    (feasible,), _ = resolve_budgets(
        space,
        {"S": [Limit("macs", 4000), Limit("params", 3.5)]},
        costs={"macs": MACS, "params": PARAMS},
    )
    assert feasible.mask.tolist() == [False, True, True, False]


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_a_limit_just_below_a_cost_of_low_precision_excludes_it(
    space: SearchSpace, kind: type[np.floating[Any]]
) -> None:
    """NumPy would round the limit to the costs' precision first."""
    costs = np.array([4, 3, 2, 1], dtype=kind)
    (feasible,), _ = resolve_budgets(space, {"S": Limit("ms", 2.9999999)}, costs={"ms": costs})
    assert feasible.mask.tolist() == [False, False, True, True]


def test_an_infeasible_budget_names_the_smallest_feasible_value(space: SearchSpace) -> None:
    with pytest.raises(InfeasibleBudgetError) as caught:
        resolve_budgets(space, {"tiny": Limit("macs", 999)}, costs={"macs": MACS})
    assert str(caught.value) == (
        "budget tiny (macs 999) is below every arch of 'made-up': "
        "the smallest possible is macs 1,000 (arch 8-8)"
    )
    resolve_budgets(space, {"tiny": Limit("macs", 1000)}, costs={"macs": MACS})


def test_every_infeasible_budget_is_named_with_the_callers_units(space: SearchSpace) -> None:
    with pytest.raises(InfeasibleBudgetError, match=r"A \(1u\).*10u.*; budget B \(2u\).*10u"):
        resolve_budgets(
            space,
            {"A": Limit("macs", 100), "ok": Limit("macs", 2000), "B": Limit("macs", 200)},
            costs={"macs": MACS},
            format_cost=lambda _name, value: f"{value / 100:g}u",
        )


def test_limits_that_no_arch_keeps_together(space: SearchSpace) -> None:
    with pytest.raises(InfeasibleBudgetError) as caught:
        resolve_budgets(
            space,
            {"S": [Limit("macs", 2000), Limit("params", 3)]},
            costs={"macs": MACS, "params": PARAMS},
        )
    # Loads: max(4, 0.5), max(2, 0.83), max(1, 1.17), unknown: the third is closest.
    assert "the closest arch has macs 2,000 and params 3.5 (arch 8-16)" in str(caught.value)


def test_a_cost_nobody_knows(space: SearchSpace) -> None:
    with pytest.raises(InfeasibleBudgetError, match="the cost of no arch is known"):
        resolve_budgets(space, {"S": Limit("ms", 1)}, costs={"ms": np.full(4, np.nan)})


def test_a_budget_above_the_largest_network_is_noted(space: SearchSpace) -> None:
    (feasible,), notes = resolve_budgets(space, {"L": Limit("macs", 9000)}, costs={"macs": MACS})
    assert feasible.mask.all()
    assert notes == ("budget L (macs 9,000) excludes no arch: the largest has macs 8,000",)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_limit_is_positive_and_finite(value: float) -> None:
    with pytest.raises(BudgetError, match="positive number"):
        Limit("macs", value)


def test_refused_budgets(space: SearchSpace) -> None:
    with pytest.raises(UnknownNameError, match=r"'mac'; did you mean 'macs'\?"):
        resolve_budgets(space, {"S": Limit("mac", 1)}, costs={"macs": MACS})
    with pytest.raises(BudgetError, match="at least one budget"):
        resolve_budgets(space, {}, costs={"macs": MACS})
    with pytest.raises(BudgetError, match="no limits"):
        resolve_budgets(space, {"S": []}, costs={"macs": MACS})
    with pytest.raises(BudgetError, match=r"each of the 4 archs .*shape \(3,\)"):
        resolve_budgets(space, {"S": Limit("macs", 1)}, costs={"macs": MACS[:3]})


def test_bands_are_what_no_smaller_budget_allows(space: SearchSpace) -> None:
    limits = {"L": Limit("macs", 8000), "S": Limit("macs", 2000), "all": Limit("macs", 9000)}
    sets, _ = resolve_budgets(space, limits, costs={"macs": MACS})
    large, small, everything = bands(sets)
    assert large.tolist() == [True, True, False, False]
    # The smallest budget has no smaller one: the half that uses most of it.
    assert small.tolist() == [False, False, True, False]
    assert everything.tolist() == large.tolist()


def test_a_budget_that_smaller_ones_cover_has_the_half_that_uses_most_of_it(
    make_space: Callable[..., SearchSpace],
) -> None:
    space = make_space(4)
    costs = {"macs": np.array([1, 2, 8, 9]), "params": np.array([9, 8, 2, 1])}
    budgets = {
        "macs": Limit("macs", 2),
        "params": Limit("params", 2),
        "both": (Limit("macs", 10), Limit("params", 9)),
    }
    sets, _ = resolve_budgets(space, budgets, costs=costs)
    # Loads within `both`: 1, 8/9, 0.8, 0.9; the half from their median on.
    assert bands(sets)[2].tolist() == [True, False, False, True]
    result = search(space, lambda arch: {"AP": 1 / arch.resolution}, budgets=budgets, costs=costs)
    assert len(result.archive) == 4


def test_200_random_budgets_hold_or_are_refused_with_the_nearest(
    make_landscape: Callable[..., Any],
) -> None:
    land = make_landscape(0, 5, 3, 4, 4)
    rng = np.random.default_rng(0)
    params = rng.integers(100, 10_000, len(land.space))
    costs = {"macs": land.macs, "params": params}
    refused = 0
    for seed in range(200):
        limits = [
            Limit("macs", float(land.macs.min() * np.exp(rng.uniform(-1, 5)))),
            Limit("params", float(rng.uniform(50, 12_000))),
        ][: rng.integers(1, 3)]
        within = np.logical_and.reduce([costs[limit.cost] <= limit.value for limit in limits])
        land.asked.clear()
        options: dict[str, Any] = {"budgets": {"S": limits}, "costs": costs, "seed": seed}
        options |= {"evaluations": 18, "predictor": seed % 20 == 0}
        if not within.any():
            load = np.maximum.reduce([costs[limit.cost] / limit.value for limit in limits])
            nearest = int(load.argmin())
            reached = (plain_cost(lim.cost, int(costs[lim.cost][nearest])) for lim in limits)
            with pytest.raises(InfeasibleBudgetError, match=" and ".join(reached)):
                search(land.space, land, **options)
            assert not land.asked
            refused += 1
            continue
        result = search(land.space, land, **options)
        assert len(land.asked) == len(set(land.asked)) == min(18, within.sum())
        assert within[land.asked].all()
        winner = result.tiers["S"]
        assert all(winner.costs[limit.cost] <= limit.value for limit in limits)
    assert 10 < refused < 100


def test_a_large_space_refuses_before_anything_is_evaluated(
    make_space: Callable[..., SearchSpace],
) -> None:
    space = make_space(5, 3, 4, 4, 4, 4, 4, 4, 4)
    assert len(space) == 245_760

    def evaluate(arch: Arch) -> dict[str, float]:
        raise AssertionError(f"{arch} was evaluated")

    costs = {"macs": np.arange(len(space), 0, -1) * 1000}
    with pytest.raises(InfeasibleBudgetError, match="smallest possible is macs 1,000"):
        search(space, evaluate, budgets={"S": Limit("macs", 999)}, costs=costs)


@pytest.mark.parametrize("value", ["10", None, True, [10], float("nan"), float("inf"), 0])
def test_a_limit_is_a_positive_number(value: Any) -> None:
    with pytest.raises(BudgetError, match="the limit on macs is a positive number, not"):
        Limit("macs", value)
    with pytest.raises(BudgetError, match="a limit is on a cost by name, not on 5"):
        Limit(5, 10)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("budgets", "costs", "message"),
    [
        ([Limit("macs", 9)], {"macs": MACS}, r"budgets are limits by tier name, not \[Limit"),
        ({5: Limit("macs", 9)}, {"macs": MACS}, "a budget's name is a text, not 5"),
        ({"S": 9}, {"macs": MACS}, "budget 'S' is a Limit or several in a list, not 9"),
        ({"S": ["9"]}, {"macs": MACS}, r"budget 'S' is a Limit or several in a list, not \['9'\]"),
        ({"S": Limit("macs", 9)}, 3, "costs are numbers by cost name, one for each arch, not 3"),
    ],
)
def test_what_is_no_budget_or_cost_is_refused(
    space: SearchSpace, budgets: Any, costs: Any, message: str
) -> None:
    with pytest.raises(BudgetError, match=message):
        resolve_budgets(space, budgets, costs=costs)
    with pytest.raises(BudgetError, match=message):
        search(space, dict, budgets=budgets, costs=costs)
