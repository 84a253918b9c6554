"""Budgets of the command line: a refusal before anything is loaded, and costs for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_pose.cli._commands import earlier_config

if TYPE_CHECKING:
    from ofa_pose.cost import Budget, CostTable
    from ofa_pose.space import SearchSpace

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


def all_budgets(
    space: SearchSpace, texts: Sequence[str], *, earlier: Mapping[str, tuple[Budget, ...]]
) -> dict[str, tuple[Budget, ...]]:
    """Return tier name -> what holds in it: a resumed run's tiers, then what is given now.

    Without either they are the space's tiers; see `ofa_pose.api.name_budgets`.
    """
    from ofa_pose.api import check_tier_names, name_budgets

    given = name_budgets(space, texts) if texts or not earlier else {}
    known = set(earlier.values())
    every = {**earlier, **{name: bounds for name, bounds in given.items() if bounds not in known}}
    check_tier_names(every)
    return every


def earlier_budgets(folder: Path) -> dict[str, tuple[Budget, ...]]:
    """Return the tiers' budgets of the search in `folder`; nothing where there is none to read.

    What is wrong with the folder is said when the run is opened.
    """
    from ofa_pose.cost import parse_budgets

    config = earlier_config(folder)
    try:
        tables = (config.get("given") or {}).get("tables") or {}
        return {
            str(name): tuple(_found(budget, tables) for budget in parse_budgets(text))
            for name, text in config["budgets"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _found(budget: Budget, tables: Mapping[str, str]) -> Budget:
    """Return the budget with the path its table had, if that is still there."""
    path = tables.get(budget.device, "")
    return replace(budget, table=path) if path and Path(path).exists() else budget


def table_paths(budgets: Mapping[str, Sequence[Budget]]) -> dict[str, str]:
    """Return where the latency tables lie that budgets name by their paths, by name."""
    return {
        budget.device: str(Path(budget.table).expanduser().resolve())
        for bounds in budgets.values()
        for budget in bounds
        if budget.table
    }


def costs_document(costs: Mapping[str, float]) -> dict[str, Any]:
    """Return costs for JSON, each with its unit in the name."""
    counted = {name: int(v) for name, v in costs.items() if not name.startswith(_LATENCY)}
    document = {("peak_memory_bytes" if n == "peak_memory" else n): v for n, v in counted.items()}
    latencies = latencies_of(costs)
    return {**document, "latency_ms": latencies} if latencies else document
