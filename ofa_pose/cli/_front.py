"""The picture of a search: every evaluated arch, the Pareto front and the tiers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ofa_pose.files import atomic_path

if TYPE_CHECKING:
    from ofa_pose.cost import Budget
    from ofa_pose.search import Evaluation, SearchResult

_LABELS = {"params": "parameters", "peak_memory": "peak activation memory, bytes"}


def draw_front(path: Path, result: SearchResult, budgets: Mapping[str, Budget]) -> None:
    """Write a PNG of score against the first budget's cost.

    Args:
        path: of the PNG; written atomically.
        result: what the search found.
        budgets: tier name -> budget; a line marks those on the first one's cost.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    costs = list(dict.fromkeys(budget.cost for budget in budgets.values()))
    cost, objective = costs[0], result.objective

    def places(rows: Iterable[Evaluation]) -> tuple[list[float], list[float]]:
        points = sorted((row.costs[cost], row.score(objective)) for row in rows)
        return [x for x, _ in points], [y for _, y in points]

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    done = [row for row in result.archive if not row.failed]
    axes.plot(*places(done), "o", color="0.75", markersize=4, label=f"evaluated ({len(done)})")
    # With several kinds of cost the front is a surface, and a line in one of them would mislead.
    style = "-o" if len(costs) == 1 else "o"
    axes.plot(*places(result.front), style, color="tab:blue", markersize=4, label="front")
    winners = [tier.evaluation for tier in result.tiers.values()]
    axes.plot(*places(winners), "D", color="tab:orange", label="tiers")
    for name, budget in budgets.items():
        if budget.cost == cost:
            axes.axvline(budget.limit, color="tab:orange", linewidth=0.8, linestyle=":")
            axes.annotate(
                name, (budget.limit, 1), xycoords=axes.get_xaxis_transform(),
                xytext=(0, 3), textcoords="offset points", ha="center", va="bottom", fontsize=8,
            )  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(_LABELS.get(cost, f"MACs ({cost.removeprefix('macs_')})"))
    axes.set_ylabel(f"{objective} of inherited weights, search split")
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)
