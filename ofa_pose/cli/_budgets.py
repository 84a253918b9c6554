"""Budgets of the command line: a refusal before anything is loaded, and costs for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ofa_pose.cost import Budget, CostTable

_LATENCY = "latency:"


def refuse_infeasible(table: CostTable, budgets: Mapping[str, Sequence[Budget]]) -> None:
    """Refuse budgets below every arch, at the price of counting costs and nothing else.

    Raises:
        InfeasibleBudgetError: the message names the smallest feasible value.
        UnknownNameError: a budget's device has no latency table; the message lists those there
            are.
    """
    from ofa_pose.api import format_cost, limits_of, use_tables
    from ofa_pose.search import resolve_budgets

    use_tables(table, budgets)
    needed = dict.fromkeys(budget.cost for bounds in budgets.values() for budget in bounds)
    costs = {cost: table[cost] for cost in needed}
    resolve_budgets(table.space, limits_of(budgets), costs=costs, format_cost=format_cost)


def latencies_of(costs: Mapping[str, float]) -> dict[str, float]:
    """Return the latencies among costs, in ms, by the name of their table."""
    return {
        name.removeprefix(_LATENCY): float(value)
        for name, value in costs.items()
        if name.startswith(_LATENCY)
    }


def costs_document(costs: Mapping[str, float]) -> dict[str, Any]:
    """Return costs for JSON, each with its unit in the name."""
    counted = {name: int(v) for name, v in costs.items() if not name.startswith(_LATENCY)}
    document = {("peak_memory_bytes" if n == "peak_memory" else n): v for n, v in counted.items()}
    latencies = latencies_of(costs)
    return {**document, "latency_ms": latencies} if latencies else document
