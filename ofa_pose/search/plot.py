"""The picture of a search: what every evaluated arch costs and scores, the front, the winners."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ofa_pose.errors import UnknownNameError
from ofa_pose.files import atomic_path
from ofa_pose.search.run import SearchResult

_EVALUATED = "#9db4c0"
_FRONT = "#1f5f8b"
_WINNER = "#d1495b"
_BUDGET = "#6b705c"
_LABEL_ROWS = 3
_LABEL_WIDTH = 0.13  # of a budget's label, as a share of the x axis


def plot_front(
    path: str | Path,
    result: SearchResult,
    *,
    cost: str,
    label: str | None = None,
    unit: float = 1.0,
    score_label: str | None = None,
    title: str | None = None,
) -> None:
    """Draw cost against objective of every evaluated arch to a PNG, written atomically.

    The front is the one over this cost alone; vertical lines are the budgets that limit it.
    Failed evaluations are counted in the legend and not drawn.

    Args:
        path: of the PNG.
        result: of the search.
        cost: name of the cost on the x axis (logarithmic).
        label: of the x axis, with its unit, such as `"GMACs (exact)"`; the cost's name by default.
        unit: what costs are divided by for the x axis, such as 1e9 for GMACs.
        score_label: of the y axis, such as `"AP, search split"`; the objective by default.
        title: above the picture; the space and the number of evaluations by default.

    Raises:
        UnknownNameError: the search has no such cost.
        OfaPoseError: the file cannot be written.
    """
    rows = [row for row in result.archive if not row.failed]
    known = rows[0].costs if rows else {}
    if cost not in known:
        raise UnknownNameError("cost", cost, known)
    figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.margins(x=0.06, y=0.14)
    _draw_archs(axes, result, cost=cost, unit=unit)
    _draw_budgets(axes, result, cost=cost, unit=unit)
    _draw_winners(axes, result, cost=cost, unit=unit)
    _style_axes(axes, xlabel=label or cost, ylabel=score_label or result.objective)
    space = result.archive.space
    evaluated = f"{len(result.archive):,} of {len(space):,} archs evaluated"
    axes.set_title(title or f"{space.name}: {evaluated}", loc="left", fontsize=11, pad=34)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def _draw_archs(axes: Axes, result: SearchResult, *, cost: str, unit: float) -> None:
    rows = [row for row in result.archive if not row.failed]
    failed = len(result.archive) - len(rows)
    x = [row.costs[cost] / unit for row in rows]
    y = [row.score(result.objective) for row in rows]
    name = f"evaluated ({failed} more failed)" if failed else "evaluated"
    axes.scatter(x, y, s=16, color=_EVALUATED, alpha=0.8, linewidths=0, label=name, zorder=2)
    best = result.archive.front(objective=result.objective, costs=(cost,))
    axes.step(
        [row.costs[cost] / unit for row in best],
        [row.score(result.objective) for row in best],
        where="post",
        color=_FRONT,
        linewidth=1.5,
        marker="o",
        markersize=4,
        label="Pareto front",
        zorder=3,
    )


def _draw_budgets(axes: Axes, result: SearchResult, *, cost: str, unit: float) -> None:
    names = defaultdict(list)
    for tier in result.tiers.values():
        for limit in tier.limits:
            if limit.cost == cost:
                names[limit.value / unit].append(tier.tier)
    for value in names:
        axes.axvline(value, color=_BUDGET, linestyle=(0, (4, 3)), linewidth=1, zorder=1)
    low, high = np.log(axes.get_xlim())
    row, previous = 0, -np.inf
    for value, tiers in sorted(names.items()):
        place = (np.log(value) - low) / (high - low)
        row = (row + 1) % _LABEL_ROWS if place - previous < _LABEL_WIDTH else 0
        previous = place
        axes.annotate(
            f"{', '.join(tiers)} ≤ {_plain(value)}",
            (value, 1),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, 4 + 10 * row),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=_BUDGET,
        )


def _draw_winners(axes: Axes, result: SearchResult, *, cost: str, unit: float) -> None:
    tiers = defaultdict(list)
    for tier in result.tiers.values():
        tiers[tier.evaluation].append(tier.tier)
    for row, names in tiers.items():
        point = (row.costs[cost] / unit, row.score(result.objective))
        axes.plot(*point, marker="*", markersize=14, color=_WINNER, zorder=4, linestyle="none")
        axes.annotate(
            f"{', '.join(names)}\n{point[1]:.3f}",
            point,
            xytext=(0, 9),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            fontweight="bold",
            color=_WINNER,
            path_effects=[withStroke(linewidth=3, foreground="white")],
            zorder=5,
        )
    axes.plot(
        [], [], marker="*", markersize=11, color=_WINNER, linestyle="none", label="best in budget"
    )


def _style_axes(axes: Axes, *, xlabel: str, ylabel: str) -> None:
    axes.set_xlabel(f"{xlabel}, logarithmic")
    axes.set_ylabel(ylabel)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=20))
    axes.xaxis.set_minor_locator(LogLocator(subs=tuple(map(float, range(1, 10))), numticks=100))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _position: _plain(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, which="major", color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(loc="lower right", frameon=True, framealpha=1, fontsize=9)


def _plain(value: float) -> str:
    """Print a tick as `0.15` or `1,200`, not as a power of ten."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
