"""Budgets of the command line: a refusal before anything is loaded, and costs for machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ofa_pose.cost import Budget, CostTable


def refuse_infeasible(table: CostTable, budgets: Mapping[str, Budget]) -> None:
    """Refuse budgets below every arch, at the price of counting costs and nothing else.

    Raises:
        InfeasibleBudgetError: the message names the smallest feasible value.
    """
    from ofa_pose.api import format_cost, limits_of
    from ofa_pose.search import resolve_budgets

    needed = {budget.cost: table[budget.cost] for budget in budgets.values()}
    resolve_budgets(table.space, limits_of(budgets), costs=needed, format_cost=format_cost)


def costs_document(costs: Mapping[str, float]) -> dict[str, Any]:
    """Return costs for JSON, each with its unit in the name."""
    return {("peak_memory_bytes" if n == "peak_memory" else n): int(v) for n, v in costs.items()}
