"""Which archs a budget allows: limits on costs, as one boolean mask over the whole space."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np

from ofa_pose.errors import BudgetError, InfeasibleBudgetError, UnknownNameError
from ofa_pose.space import SearchSpace

FormatCost = Callable[[str, float], str]
Budgets = Mapping[str, "Limit | Sequence[Limit]"]


@dataclass(frozen=True)
class Limit:
    """An upper bound: the cost called `cost` may be at most `value`.

    Raises:
        BudgetError: `cost` is no name, or `value` is not a positive finite number.
    """

    cost: str
    value: float

    def __post_init__(self) -> None:
        if not isinstance(self.cost, str):
            raise BudgetError(f"a limit is on a cost by name, not on {self.cost!r:.60}")
        number = isinstance(self.value, Real) and not isinstance(self.value, bool)
        if not (number and math.isfinite(self.value) and self.value > 0):
            raise BudgetError(f"the limit on {self.cost} is a positive number, not {self.value!r}")


@dataclass(frozen=True, eq=False)
class FeasibleSet:
    """The archs that one budget allows.

    Attributes:
        tier: name of the budget.
        limits: every one of them holds for every arch of the set.
        mask: (archs,) bool, over the indices of the space.
        load: (archs,) float64, the largest cost / limit; at most 1 inside the set, NaN where a
            cost is not known.
    """

    tier: str
    limits: tuple[Limit, ...]
    mask: np.ndarray
    load: np.ndarray


def plain_cost(name: str, value: float) -> str:
    """Print a cost exactly: `macs 1,187,000,000`, `latency_ms 30.25`."""
    whole = float(value).is_integer()
    return f"{name} {int(value):,}" if whole else f"{name} {float(value)!r}"


def cost_arrays(costs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return costs by name as arrays; of fractions in double precision, as limits are.

    (In single precision a limit just below a cost would be rounded to it.)

    Raises:
        BudgetError: they are no mapping.
    """
    if not isinstance(costs, Mapping):
        raise BudgetError(f"costs are numbers by cost name, one for each arch, not {costs!r:.60}")
    arrays = {name: np.asarray(values) for name, values in costs.items()}
    return {
        name: array.astype(np.float64, copy=False) if array.dtype.kind == "f" else array
        for name, array in arrays.items()
    }


def resolve_budgets(
    space: SearchSpace,
    budgets: Budgets,
    *,
    costs: Mapping[str, np.ndarray],
    format_cost: FormatCost = plain_cost,
) -> tuple[tuple[FeasibleSet, ...], tuple[str, ...]]:
    """Return the feasible set of every budget, and notes about budgets that exclude nothing.

    Args:
        space: its indices are what the masks are over.
        budgets: tier name → a limit, or several that hold together.
        costs: cost name → (archs,) cost of every arch; an arch whose cost is NaN is infeasible.
        format_cost: prints a cost's name and value in messages.

    Raises:
        BudgetError: no budget, a budget without a name or limits, or costs that are not one number
            an arch.
        UnknownNameError: a limit on a cost that is not in `costs`.
        InfeasibleBudgetError: no arch is within a budget; the message names the smallest value
            that some arch reaches, for every such budget.
    """
    if not isinstance(budgets, Mapping):
        raise BudgetError(f"budgets are limits by tier name, not {budgets!r:.60}")
    if not budgets:
        raise BudgetError("a search needs at least one budget")
    costs = cost_arrays(costs)
    for name, array in costs.items():
        if array.shape != (len(space),) or array.dtype.kind not in "iuf":
            raise BudgetError(
                f"cost {name!r} is one number for each of the {len(space):,} archs of "
                f"{space.name!r}, not {array.dtype} of shape {array.shape}"
            )
    sets, notes, faults = [], [], []
    for tier, limits in budgets.items():
        feasible = _feasible_set(tier, limits, costs)
        sets.append(feasible)
        if not feasible.mask.any():
            faults.append(_infeasible(space, feasible, costs, format_cost))
        notes += _above_largest(feasible, costs, format_cost)
    if faults:
        raise InfeasibleBudgetError("; ".join(faults))
    return tuple(sets), tuple(notes)


def bands(sets: Sequence[FeasibleSet]) -> tuple[np.ndarray, ...]:
    """Return for every budget the part of its archs that is near it, (archs,) bool.

    That is what no smaller budget among `sets` allows; where there is no smaller one (or it
    leaves nothing), the half that uses most of the budget.
    """
    found = []
    for feasible in sets:
        smaller = [
            other.mask
            for other in sets
            if (other.mask <= feasible.mask).all() and (other.mask < feasible.mask).any()
        ]
        covered = np.logical_or.reduce([np.zeros_like(feasible.mask), *smaller])
        band = feasible.mask & ~covered
        if not smaller or not band.any():
            band = feasible.mask & (feasible.load >= np.median(feasible.load[feasible.mask]))
        found.append(band)
    return tuple(found)


def _feasible_set(
    tier: str, limits: Limit | Sequence[Limit], costs: Mapping[str, np.ndarray]
) -> FeasibleSet:
    if not isinstance(tier, str):
        raise BudgetError(f"a budget's name is a text, not {tier!r:.60}")
    limits = (limits,) if isinstance(limits, Limit) else limits
    if not isinstance(limits, Sequence) or not all(isinstance(one, Limit) for one in limits):
        raise BudgetError(f"budget {tier!r} is a Limit or several in a list, not {limits!r:.60}")
    limits = tuple(limits)
    if not limits:
        raise BudgetError(f"budget {tier!r} has no limits")
    for limit in limits:
        if limit.cost not in costs:
            raise UnknownNameError(f"cost in budget {tier!r}", limit.cost, costs)
    mask = np.logical_and.reduce([costs[limit.cost] <= limit.value for limit in limits])
    load = np.maximum.reduce([costs[limit.cost] / limit.value for limit in limits])
    return FeasibleSet(tier, limits, mask, load)


def _infeasible(
    space: SearchSpace,
    feasible: FeasibleSet,
    costs: Mapping[str, np.ndarray],
    format_cost: FormatCost,
) -> str:
    wanted = " and ".join(format_cost(limit.cost, limit.value) for limit in feasible.limits)
    if np.isnan(feasible.load).all():
        return f"budget {feasible.tier} ({wanted}): the cost of no arch is known"
    closest = int(np.nanargmin(feasible.load))
    reached = " and ".join(
        format_cost(limit.cost, costs[limit.cost][closest].item()) for limit in feasible.limits
    )
    what = "the smallest possible is" if len(feasible.limits) == 1 else "the closest arch has"
    return (
        f"budget {feasible.tier} ({wanted}) is below every arch of {space.name!r}: "
        f"{what} {reached} (arch {space[closest].key})"
    )


def _above_largest(
    feasible: FeasibleSet, costs: Mapping[str, np.ndarray], format_cost: FormatCost
) -> list[str]:
    notes = []
    for limit in feasible.limits:
        largest = costs[limit.cost].max().item()
        if largest <= limit.value:
            notes.append(
                f"budget {feasible.tier} ({format_cost(limit.cost, limit.value)}) excludes no "
                f"arch: the largest has {format_cost(limit.cost, largest)}"
            )
    return notes
