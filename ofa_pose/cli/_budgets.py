"""What `--budget` means: named tiers, their limits, and a refusal before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ofa_pose.errors import BudgetError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from ofa_pose.cost import Budget, CostTable
    from ofa_pose.search import Limit
    from ofa_pose.space import SearchSpace


def name_budgets(space: SearchSpace, texts: Sequence[str]) -> dict[str, Budget]:
    """Return tier name -> budget: the given ones, or the space's own tiers where none is given.

    A budget that the space has a tier for takes the tier's name; another is named as it was
    written (`1.2G:paper` is tier `1.2G-paper`). One that is given twice counts once.

    Raises:
        BudgetError: a text is no budget.
        UsageError: there is neither a budget nor a tier.
    """
    from ofa_pose.cost import Budget

    own = {name: Budget.parse(text) for name, text in space.tiers.items()}
    if not texts:
        if not own:
            raise UsageError(f"space {space.name!r} has no tiers; give --budget, such as 1.2G")
        return own
    names = {budget: name for name, budget in own.items()}
    for text in texts:
        names.setdefault(Budget.parse(text), _slug(text))
    budgets = [Budget.parse(text) for text in texts]
    return {names[budget]: budget for budget in budgets}


def limits_of(budgets: Mapping[str, Budget]) -> dict[str, Limit]:
    """Return the budgets as the search takes them."""
    from ofa_pose.search import Limit

    return {name: Limit(budget.cost, budget.limit) for name, budget in budgets.items()}


def refuse_infeasible(table: CostTable, budgets: Mapping[str, Budget]) -> None:
    """Refuse budgets below every arch, at the price of counting costs and nothing else.

    Raises:
        InfeasibleBudgetError: the message names the smallest feasible value.
    """
    from ofa_pose.search import resolve_budgets

    needed = {budget.cost: table[budget.cost] for budget in budgets.values()}
    resolve_budgets(table.space, limits_of(budgets), costs=needed, format_cost=format_cost)


def all_costs(table: CostTable) -> dict[str, np.ndarray]:
    """Return every cost of every arch by name, as the archive lists them."""
    from ofa_pose.cost import CONVENTIONS

    names = [*(f"macs_{convention}" for convention in CONVENTIONS), "params", "peak_memory"]
    return {name: table[name] for name in names}


def format_cost(name: str, value: float) -> str:
    """Print a cost as its budget is written: `1.187G exact MACs`, `64MB peak`."""
    from ofa_pose.cost import Budget

    if name.startswith("macs_"):
        convention = name.removeprefix("macs_")
        return f"{Budget('macs', int(value), 'exact')} {convention} MACs"
    if name in ("params", "peak_memory"):
        return str(Budget(name, int(value)))
    raise BudgetError(f"unknown cost {name!r}")


def costs_document(costs: Mapping[str, float]) -> dict[str, Any]:
    """Return costs for JSON, each with its unit in the name."""
    return {("peak_memory_bytes" if n == "peak_memory" else n): int(v) for n, v in costs.items()}


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-")
