"""A search as a program asks for it: budgets as texts, costs counted where none are given."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ofa_pose.cost import (
    Budget,
    CostTable,
    LatencyTable,
    parse_budgets,
    spell_budgets,
    spell_latency,
)
from ofa_pose.cost.table import LATENCY
from ofa_pose.errors import BudgetError, UsageError
from ofa_pose.search.limits import Limit
from ofa_pose.search.run import SearchResult
from ofa_pose.search.run import search as search_numbers
from ofa_pose.space import Arch, SearchSpace, require_space
from ofa_pose.space.schema import RUN_FILES, file_key, run_file

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
        budgets: texts such as `["1.2G", "30ms@x86-onnxruntime,0.9M params"]`, where commas join
            what holds together; or tier name → a text, `Budget` or `Limit`, or several that hold
            together, each on another cost; by default the space's tiers.
        costs: cost name → (archs,) the cost of every arch; or a table of them; by default every
            cost that is known is counted, and the latencies that budgets bound are predicted, with
            the options of `evaluate.supernet` where there is one (as of a `SubnetEvaluator`), else
            with the family's defaults: networks of other options need a table made with these.
        **options: seed, strategy, evaluations, archive_path, … of `ofa_pose.search.run.search`.

    Raises:
        SpaceError: the space is none, but a name or the like.
        BudgetError: a text is no budget, or a tier bounds a cost twice.
        InfeasibleBudgetError: no arch is within a budget; nothing was evaluated.
        UnknownNameError: a budget names a latency table that is not there; all are listed.
        LatencyError: a latency table cannot be used for the space.
        CostError: the costs do not split by choices, which a winner's may show at the end; the
            archive is written then.
        UsageError: neither budgets nor tiers, a table of another space's costs, tiers whose files
            would overwrite a run's own or each other's, or whatever else
            `ofa_pose.search.run.search` refuses.
    """
    require_space(space)
    named = budgets if isinstance(budgets, Mapping) else name_budgets(space, budgets)
    check_tier_names(named)
    bounds = {name: _bounds(name, given) for name, given in named.items()}
    limits = limits_of(bounds)
    if costs is not None and not isinstance(costs, CostTable):
        return search_numbers(space, evaluate, budgets=limits, costs=costs, **options)
    table = costs or CostTable(space, **_options_of(evaluate))
    if table.space.hash != space.hash:
        raise UsageError(
            f"the costs are of space {table.space.name!r} ({table.space.hash}), the search is in "
            f"{space.name!r} ({space.hash}); give CostTable(space)"
        )
    use_tables(table, bounds)
    options = {"format_cost": format_cost, "unit_costs": table.unit_macs, **options}
    result = search_numbers(
        space, evaluate, budgets=limits, costs=all_costs(table, limits), **options
    )
    table.verify(tier.arch for tier in result.tiers.values())
    return result


def name_budgets(space: SearchSpace, texts: Sequence[str]) -> dict[str, tuple[Budget, ...]]:
    """Return tier name -> what holds in it: the given texts', or the space's own tiers.

    A budget that the space has a tier for takes the tier's name; another is named as it was
    written (`1.2G:paper` is tier `1.2G-paper`). One that is given twice counts once.

    Raises:
        BudgetError: a text is no budget.
        UsageError: there is neither a budget nor a tier, tiers' files would overwrite the run's
            own or each other's, or two latency tables share a name.
    """
    if isinstance(texts, str):
        raise BudgetError(f"budgets are a list of texts, such as [{texts!r}], not one text")
    if not isinstance(texts, Collection):
        raise BudgetError(f"budgets are a list of texts, such as ['1.2G'], not {texts!r}")
    for text in texts:
        if not isinstance(text, str):
            raise BudgetError(
                f"a budget in a list is a text, such as '1.2G', not {text!r}; a mapping from tier "
                "names takes Budget and Limit, too"
            )
    own = {name: parse_budgets(text) for name, text in space.tiers.items()}
    if not texts and not own:
        raise UsageError(f"space {space.name!r} has no tiers; give a budget, such as 1.2G")
    names = {budgets: name for name, budgets in own.items()}
    _refuse_two_tables(budget for text in texts for budget in parse_budgets(text))
    for text in texts:
        budgets = parse_budgets(text)
        located = any(budget.table for budget in budgets)
        names.setdefault(budgets, _slug(spell_budgets(budgets) if located else text))
    given = dict.fromkeys(map(parse_budgets, texts))
    check_tier_names([names[budgets] for budgets in given] or own)
    return {names[budgets]: budgets for budgets in given} or own


def _refuse_two_tables(budgets: Iterable[Budget]) -> None:
    """Refuse two files of one name: a table's name is what its latencies are known by."""
    files: dict[str, Path] = {}
    for budget in budgets:
        if budget.table:
            file = Path(budget.table).expanduser().resolve()
            if files.setdefault(budget.device, file) != file:
                raise UsageError(
                    f"two latency tables are called {budget.device!r}: {files[budget.device]} and "
                    f"{file}; rename one"
                )


def limits_of(budgets: Mapping[str, Sequence[Budget | Limit]]) -> dict[str, tuple[Limit, ...]]:
    """Return the budgets as the search over numbers takes them."""
    return {name: tuple(map(_limit, bounds)) for name, bounds in budgets.items()}


def use_tables(costs: CostTable, budgets: Mapping[str, Sequence[Budget | Limit]]) -> None:
    """Let `costs` predict with the latency tables that budgets name by the paths of their files.

    Raises:
        LatencyError: a table cannot be read.
    """
    for bounds in budgets.values():
        for bound in bounds:
            if isinstance(bound, Budget) and bound.table:
                costs.use(LatencyTable.load(bound.table))


def all_costs(
    table: CostTable, limits: Mapping[str, Sequence[Limit]] | None = None
) -> dict[str, np.ndarray]:
    """Return the costs of every arch by name, as the archive lists them.

    They are those that are counted, then the latencies that are limited, then those that the
    table was given a latency table for.
    """
    limited = [limit.cost for bounds in (limits or {}).values() for limit in bounds]
    names = [cost.removeprefix(LATENCY) for cost in limited if cost.startswith(LATENCY)]
    return table.arrays(latencies=dict.fromkeys([*names, *table.latencies]))


def format_cost(name: str, value: float) -> str:
    """Print a cost as its budget is written: `1.187G exact MACs`, `64MB peak`, `30ms@x`."""
    if name.startswith(LATENCY):
        return spell_latency(name.removeprefix(LATENCY), value)
    if name.startswith("macs_"):
        convention = name.removeprefix("macs_")
        return f"{Budget('macs', int(value), 'exact')} {convention} MACs"
    if name in ("params", "peak_memory"):
        return str(Budget(name, int(value)))
    raise BudgetError(f"unknown cost {name!r}")


def check_tier_names(names: Iterable[str]) -> None:
    """Refuse tiers whose files would overwrite a run's own or each other's.

    Raises:
        UsageError: the message names them.
    """
    files: dict[str, str] = {}
    for name in names:
        if not isinstance(name, str):
            raise UsageError(f"a tier's name is a text, not {name!r:.60}")
        if run_file(name) is not None:
            raise UsageError(
                f"tier {name!r} has the name of a run's own file; rename it "
                f"(taken: {', '.join(RUN_FILES)})"
            )
        key = file_key(name)
        if key in files:
            raise UsageError(
                f"tiers {files[key]!r} and {name!r} would overwrite each other's files; "
                "give one another name"
            )
        files[key] = name


def _options_of(evaluate: Callable[[Arch], Mapping[str, float]]) -> Mapping[str, Any]:
    """Return the family's options of the supernet whose archs are evaluated, where it is known."""
    return getattr(getattr(evaluate, "supernet", None), "options", {})


def _bounds(tier: str, bounds: Bound | Sequence[Bound]) -> tuple[Budget | Limit, ...]:
    """Return what holds together in a tier.

    Raises:
        BudgetError: one is no budget, or two bound the same cost.
    """
    if isinstance(bounds, str | Budget | Limit) or not isinstance(bounds, Sequence):
        bounds = (bounds,)
    wrong = [one for one in bounds if not isinstance(one, str | Budget | Limit)]
    if wrong:
        raise BudgetError(
            f"the budget of tier {tier!r} is a text such as '1.2G', a Budget or a Limit, or "
            f"several in a list, not {wrong[0]!r}"
        )
    parsed = (parse_budgets(one) if isinstance(one, str) else (one,) for one in bounds)
    found = tuple(itertools.chain.from_iterable(parsed))
    costs = [bound.cost for bound in found]
    twice = [cost for cost in costs if costs.count(cost) > 1]
    if twice:
        raise BudgetError(
            f"the budget of tier {tier!r} bounds {twice[0]} twice; what stands in it holds "
            "together, and another budget is another tier"
        )
    return found


def _limit(bound: Budget | Limit) -> Limit:
    return bound if isinstance(bound, Limit) else Limit(bound.cost, bound.limit)


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-")
