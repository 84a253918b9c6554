"""The picture of a search: every evaluated arch, the Pareto front and the tiers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ofa_pose.cli._budgets import format_cost
from ofa_pose.files import atomic_path

if TYPE_CHECKING:
    from ofa_pose.cost import Budget
    from ofa_pose.search import SearchResult

_LABELS = {"params": "parameters", "peak_memory": "peak activation memory, bytes"}


def draw_front(path: Path, result: SearchResult, budgets: Mapping[str, Budget]) -> None:
    """Write a PNG of score against the first budget's cost.

    Args:
        path: of the PNG; written atomically.
        result: what the search found.
        budgets: tier name -> budget; those on another cost than the first are left out.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    cost = next(iter(budgets.values())).cost
    objective = result.objective
    done = [row for row in result.archive if not row.failed]
    front = sorted((row.costs[cost], row.score(objective)) for row in result.front)
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.scatter(
        [row.costs[cost] for row in done],
        [row.score(objective) for row in done],
        s=14,
        color="0.7",
        label=f"evaluated ({len(done)})",
    )
    axes.step(*zip(*front, strict=True), where="post", color="tab:blue", label="front")
    for name, tier in result.tiers.items():
        if budgets[name].cost != cost:
            continue
        axes.axvline(budgets[name].limit, color="tab:orange", linewidth=0.8, linestyle=":")
        place = (tier.costs[cost], tier.scores[objective])
        axes.plot(*place, "o", color="tab:orange")
        axes.annotate(name, place, xytext=(4, -12), textcoords="offset points")
    axes.set_xscale("log")
    axes.set_xlabel(_LABELS.get(cost, f"MACs ({cost.removeprefix('macs_')})"))
    axes.set_ylabel(f"{objective} of inherited weights, search split")
    axes.set_title(", ".join(f"{n} {format_cost(b.cost, b.limit)}" for n, b in budgets.items()))
    axes.title.set_fontsize(8)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)
