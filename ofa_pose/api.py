"""A search as a program asks for it: budgets as texts, costs counted where none are given."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ofa_pose.cost import CONVENTIONS, Budget, CostTable
from ofa_pose.errors import BudgetError, UsageError
from ofa_pose.search.limits import Limit
from ofa_pose.search.run import SearchResult
from ofa_pose.search.run import search as search_numbers
from ofa_pose.space import Arch, SearchSpace
from ofa_pose.space.schema import RUN_FILES, run_file

Bound = str | Budget | Limit


def search(
    space: SearchSpace,
    evaluate: Callable[[Arch], Mapping[str, float]],
    *,
    budgets: Sequence[str] | Mapping[str, Bound | Sequence[Bound]] = (),
    costs: CostTable | Mapping[str, np.ndarray] | None = None,
    **options: Any,
) -> SearchResult:
    """Find the best arch of `space` within every budget; see `ofa_pose.search.run.search`.

    Args:
        space: what may vary.
        evaluate: arch → scores by name, such as a `SubnetEvaluator`.
        budgets: texts such as `["1.2G", "0.9M params"]`; or tier name → a text, `Budget` or
            `Limit`, or several that hold together; by default the space's tiers.
        costs: cost name → (archs,) the cost of every arch; or a table of them, which a skeleton
            other than the space's own needs; by default every cost that is known is counted.
        **options: seed, strategy, evaluations, archive_path, … of `ofa_pose.search.run.search`.

    Raises:
        BudgetError: a text is no budget.
        InfeasibleBudgetError: no arch is within a budget; nothing was evaluated.
        UsageError: neither budgets nor tiers, a tier whose files would overwrite a run's own, or
            whatever else `ofa_pose.search.run.search` refuses.
    """
    named = budgets if isinstance(budgets, Mapping) else name_budgets(space, budgets)
    _refuse_run_files(named)
    if costs is None or isinstance(costs, CostTable):
        table = costs or CostTable(space)
        costs = all_costs(table)
        options = {"format_cost": format_cost, "unit_costs": table.unit_macs, **options}
    return search_numbers(
        space,
        evaluate,
        budgets={name: _limits(bounds) for name, bounds in named.items()},
        costs=costs,
        **options,
    )


def name_budgets(space: SearchSpace, texts: Sequence[str]) -> dict[str, Budget]:
    """Return tier name -> budget: the given ones, or the space's own tiers where none is given.

    A budget that the space has a tier for takes the tier's name; another is named as it was
    written (`1.2G:paper` is tier `1.2G-paper`). One that is given twice counts once.

    Raises:
        BudgetError: a text is no budget.
        UsageError: there is neither a budget nor a tier, or a tier's files would overwrite the
            run's own.
    """
    if isinstance(texts, str):
        raise BudgetError(f"budgets are a list of texts, such as [{texts!r}], not one text")
    own = {name: Budget.parse(text) for name, text in space.tiers.items()}
    if not texts and not own:
        raise UsageError(f"space {space.name!r} has no tiers; give a budget, such as 1.2G")
    names = {budget: name for name, budget in own.items()}
    for text in texts:
        names.setdefault(Budget.parse(text), _slug(text))
    given = {names[budget]: budget for budget in map(Budget.parse, texts)}
    chosen = given or own
    _refuse_run_files(chosen)
    return chosen


def limits_of(budgets: Mapping[str, Budget]) -> dict[str, Limit]:
    """Return the budgets as the search over numbers takes them."""
    return {name: _limit(budget) for name, budget in budgets.items()}


def all_costs(table: CostTable) -> dict[str, np.ndarray]:
    """Return every cost of every arch by name, as the archive lists them."""
    names = [*(f"macs_{convention}" for convention in CONVENTIONS), "params", "peak_memory"]
    return {name: table[name] for name in names}


def format_cost(name: str, value: float) -> str:
    """Print a cost as its budget is written: `1.187G exact MACs`, `64MB peak`."""
    if name.startswith("macs_"):
        convention = name.removeprefix("macs_")
        return f"{Budget('macs', int(value), 'exact')} {convention} MACs"
    if name in ("params", "peak_memory"):
        return str(Budget(name, int(value)))
    raise BudgetError(f"unknown cost {name!r}")


def _refuse_run_files(names: Iterable[str]) -> None:
    for name in names:
        if run_file(name) is not None:
            raise UsageError(
                f"tier {name!r} has the name of a run's own file; rename it "
                f"(taken: {', '.join(RUN_FILES)})"
            )


def _limits(bounds: Bound | Sequence[Bound]) -> tuple[Limit, ...]:
    if isinstance(bounds, str | Budget | Limit):
        return (_limit(bounds),)
    return tuple(map(_limit, bounds))


def _limit(bound: Bound) -> Limit:
    if isinstance(bound, Limit):
        return bound
    budget = Budget.parse(bound) if isinstance(bound, str) else bound
    return Limit(budget.cost, budget.limit)


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-")
