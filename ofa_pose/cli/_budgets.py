"""Budgets of the command line: a refusal before anything is loaded, and costs for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ofa_pose.cost import Budget, CostTable
    from ofa_pose.space import SearchSpace


def refuse_infeasible(table: CostTable, budgets: Mapping[str, Budget]) -> None:
    """Refuse budgets below every arch, at the price of counting costs and nothing else.

    Raises:
        InfeasibleBudgetError: the message names the smallest feasible value.
    """
    from ofa_pose.api import format_cost, limits_of
    from ofa_pose.search import resolve_budgets

    needed = {budget.cost: table[budget.cost] for budget in budgets.values()}
    resolve_budgets(table.space, limits_of(budgets), costs=needed, format_cost=format_cost)


def all_budgets(
    space: SearchSpace, texts: Sequence[str], *, earlier: Mapping[str, Budget]
) -> dict[str, Budget]:
    """Return tier name -> budget: those of a run that is resumed, then what is given now.

    Without either they are the space's tiers; see `ofa_pose.api.name_budgets`.
    """
    from ofa_pose.api import name_budgets

    given = name_budgets(space, texts) if texts or not earlier else {}
    known = set(earlier.values())
    return {**earlier, **{name: b for name, b in given.items() if b not in known}}


def earlier_budgets(folder: Path) -> dict[str, Budget]:
    """Return tier name -> budget of the search in `folder`; nothing where there is none to read.

    What is wrong with the folder is said when the run is opened.
    """
    import yaml

    from ofa_pose.cost import Budget
    from ofa_pose.runs import CONFIG

    try:
        config = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
        return {str(name): Budget.parse(text) for name, text in config["budgets"].items()}
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return {}


def costs_document(costs: Mapping[str, float]) -> dict[str, Any]:
    """Return costs for JSON, each with its unit in the name."""
    return {("peak_memory_bytes" if n == "peak_memory" else n): int(v) for n, v in costs.items()}
