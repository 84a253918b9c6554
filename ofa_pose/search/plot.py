"""The picture of a search: what every evaluated arch costs and scores, the front, the winners."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from ofa_pose.errors import UnknownNameError
from ofa_pose.files import atomic_path
from ofa_pose.search.evaluation import PARTS, Evaluation
from ofa_pose.search.ranking import front
from ofa_pose.search.run import SearchResult

_EVALUATED = "#9db4c0"
_FRONT = "#1f5f8b"
_WINNER = "#d1495b"
_BUDGET = "#6b705c"
_UNIFORM = "#e09f3e"
_LABEL_ROWS = 3
_LETTER = 0.011  # width of a label's letter, as a share of the large panel
_COLUMNS = 3  # of the smaller panels
_EDGE = 0.06  # room beside the archs, as a share of the (logarithmic) axis
_FLAT = 0.01  # scores that differ by less are drawn as far apart as this
_FAR = 10.0  # budgets above so many times the dearest arch are not drawn
_NARROW = 3.0  # below this ratio of the axis' ends there are plain ticks
_WIDTH, _HEIGHT, _SMALL_HEIGHT = 10.0, 5.2, 3.4  # inches


@dataclass(frozen=True)
class CostAxis:
    """A cost as an axis of the picture.

    Attributes:
        cost: its name.
        label: with its unit, such as `"GMACs (exact)"`; the cost's name by default.
        unit: what costs are divided by, such as 1e9 for GMACs.
    """

    cost: str
    label: str = ""
    unit: float = 1.0


def plot_front(
    path: str | Path,
    result: SearchResult,
    axes: Sequence[CostAxis],
    *,
    baseline: Iterable[Evaluation] = (),
    score_label: str | None = None,
) -> None:
    """Draw cost against objective of every evaluated arch to a PNG, written atomically.

    As `draw_front`.

    Raises:
        UnknownNameError: the search has no such cost.
        OfaPoseError: the file cannot be written.
    """
    figure = draw_front(result, axes, baseline=baseline, score_label=score_label)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def draw_front(
    result: SearchResult,
    axes: Sequence[CostAxis],
    *,
    baseline: Iterable[Evaluation] = (),
    score_label: str | None = None,
) -> Figure:
    """Draw cost against objective of every evaluated arch, a panel for each cost.

    The front of each panel is the one over this cost alone; vertical lines are the budgets that
    limit it. Winners have the interval `<objective>_low` to `<objective>_high`, where those are
    among their scores. Archs that a race dropped (fewer `parts` than others) are hollow; one that
    the baseline has seen as much of has its score there, so that it stands in one place. Failed
    evaluations are counted in the legend and not drawn; one whose cost is NaN has no place in that
    cost's panel.

    Args:
        result: of the search.
        axes: the costs (logarithmic); the first has the large panel.
        baseline: evaluations to compare with; their front is drawn too.
        score_label: of the y axis, such as `"AP, search split"`; the objective by default.

    Raises:
        UnknownNameError: the search has no such cost.
    """
    rows = [row for row in result.archive if not row.failed]
    known = rows[0].costs if rows else {}
    for axis in axes:
        if axis.cost not in known:
            raise UnknownNameError("cost", axis.cost, known)
    uniform = [row for row in baseline if not row.failed]
    columns = max(1, min(_COLUMNS, len(axes) - 1))
    lines = math.ceil((len(axes) - 1) / columns)
    figure = Figure(
        figsize=(_WIDTH, _HEIGHT + _SMALL_HEIGHT * lines), dpi=150, layout="constrained"
    )
    FigureCanvasAgg(figure)
    heights = [_HEIGHT, *[_SMALL_HEIGHT] * lines]
    grid = figure.add_gridspec(1 + lines, columns, height_ratios=heights)
    places = [grid[0, :], *(grid[1 + i // columns, i % columns] for i in range(len(axes) - 1))]
    for number, (axis, place) in enumerate(zip(axes, places, strict=True)):
        panel = figure.add_subplot(place)
        label = score_label if score_label and number == 0 else result.objective
        _draw_panel(panel, result, axis, uniform=uniform, score_label=label, large=number == 0)
    return figure


def _draw_panel(
    axes: Axes,
    result: SearchResult,
    axis: CostAxis,
    *,
    uniform: Sequence[Evaluation],
    score_label: str,
    large: bool,
) -> None:
    axes.set_xscale("log")
    axes.margins(y=0.1)
    narrow = _set_range(axes, result, axis, uniform=uniform)
    most = max((_parts(row) for row in (*result.archive, *uniform)), default=1.0)
    _draw_archs(axes, result, axis, uniform=uniform, most=most)
    if uniform:
        _draw_uniform(axes, uniform, axis, objective=result.objective, most=most)
    _draw_winners(axes, result, axis, named=large)
    _set_height(axes)
    label_rows = _draw_budgets(axes, result, axis, named=large)
    _style_axes(axes, xlabel=axis.label or axis.cost, ylabel=score_label, large=large)
    if narrow:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5 if large else 3))
        axes.xaxis.set_minor_locator(NullLocator())
    if large:
        axes.legend(
            loc="upper left", bbox_to_anchor=(1.005, 1), frameon=False, fontsize=9, borderaxespad=0
        )
        space = result.archive.space
        evaluated = f"{len(result.archive):,} of {len(space):,} archs evaluated"
        title = f"{space.name}: {evaluated}"
        axes.set_title(title, loc="left", fontsize=11, pad=8 + 10 * label_rows, parse_math=False)


def _set_range(
    axes: Axes, result: SearchResult, axis: CostAxis, *, uniform: Sequence[Evaluation]
) -> bool:
    """Show archs and budgets near them; return whether that is too little for logarithmic ticks."""
    rows = [*result.archive, *uniform]
    costs = [row.costs[axis.cost] / axis.unit for row in rows if not row.failed]
    values = [cost for cost in costs if not math.isnan(cost)]
    limits = (limit for tier in result.tiers.values() for limit in tier.limits)
    bounds = [limit.value / axis.unit for limit in limits if limit.cost == axis.cost]
    values += [value for value in bounds if value <= _FAR * max(values, default=0)]
    if not values or min(values) <= 0:
        return False  # matplotlib's own range, without what a logarithm does not have
    low, high = min(values), max(values)
    edge = max((high / low) ** _EDGE, 1.02)
    axes.set_xlim(low / edge, high * edge)
    return high / low < _NARROW


def _set_height(axes: Axes) -> None:
    """Show scores that are all alike as alike, not as far apart as their rounding."""
    low, high = axes.dataLim.intervaly
    if 0 <= high - low < _FLAT:  # below 0 where nothing is drawn
        middle = (low + high) / 2
        axes.set_ylim(middle - _FLAT / 2, middle + _FLAT / 2)


def _draw_archs(
    axes: Axes,
    result: SearchResult,
    axis: CostAxis,
    *,
    uniform: Sequence[Evaluation],
    most: float,
) -> None:
    others = {row.index: row for row in uniform}
    rows = [
        max(others.get(row.index, row), row, key=_parts) for row in result.archive if not row.failed
    ]
    failed = len(result.archive) - len(rows)
    name = f"evaluated\n({failed} more failed)" if failed else "evaluated"
    whole, dropped = _by_race(rows, most)
    points = _points(whole, axis, result.objective)
    axes.scatter(*points, s=16, color=_EVALUATED, alpha=0.8, linewidths=0, label=name, zorder=2)
    if dropped:
        axes.scatter(
            *_points(dropped, axis, result.objective),
            s=14,
            facecolors="none",
            edgecolors=_EVALUATED,
            linewidths=0.9,
            label="dropped from the race,\ntherefore estimated",
            zorder=2,
        )
    best = front(rows, objective=result.objective, costs=(axis.cost,))
    line = {"color": _FRONT, "linewidth": 1.5, "label": "front of the search", "zorder": 4}
    axes.step(*_points(best, axis, result.objective), where="post", **line)
    for members, face in zip(_by_race(best, most), (_FRONT, "white"), strict=True):
        axes.plot(
            *_points(members, axis, result.objective),
            color=_FRONT,
            marker="o",
            markersize=4,
            markerfacecolor=face,
            linestyle="none",
            zorder=4,
        )


def _parts(row: Evaluation) -> float:
    return row.scores.get(PARTS, 1.0)


def _by_race(rows: Sequence[Evaluation], most: float) -> tuple[list[Evaluation], list[Evaluation]]:
    """Return the rows that saw the most parts that any did, and the others."""
    whole = [row for row in rows if _parts(row) == most]
    return whole, [row for row in rows if _parts(row) != most]


def _draw_uniform(
    axes: Axes, rows: Sequence[Evaluation], axis: CostAxis, *, objective: str, most: float
) -> None:
    whole, dropped = _by_race(rows, most)
    for members, face, label in (
        (whole, _UNIFORM, "uniformly scaled"),
        (dropped, "white", None),
    ):
        axes.plot(
            *_points(members, axis, objective),
            color=_UNIFORM,
            marker="s",
            markersize=4,
            markerfacecolor=face,
            linestyle="none",
            label=label,
            zorder=3,
        )
    axes.step(
        *_points(front(rows, objective=objective, costs=(axis.cost,)), axis, objective),
        where="post",
        color=_UNIFORM,
        linewidth=1.5,
        linestyle=(0, (5, 2)),
        label="front of these",
        zorder=3,
    )


def _draw_budgets(axes: Axes, result: SearchResult, axis: CostAxis, *, named: bool) -> int:
    """Draw the budgets as lines with labels that do not overlap; return the rows these take.

    Args:
        axes: where.
        result: whose tiers.
        axis: the cost that is limited.
        named: whether the tiers' names fit into the labels.
    """
    names = defaultdict(list)
    for tier in result.tiers.values():
        for limit in tier.limits:
            value = limit.value / axis.unit
            if limit.cost == axis.cost and value <= _FAR * axes.dataLim.x1:
                names[value].append(tier.tier)
    for value in names:
        axes.axvline(value, color=_BUDGET, linestyle=(0, (4, 3)), linewidth=1, zorder=1)
    row, previous, most = 0, -np.inf, 0
    for value, tiers in sorted(names.items()):
        text = f"{', '.join(tiers)} ≤ {_plain(value)}" if named else f"≤ {_plain(value)}"
        width = len(text) * (_LETTER if named else _COLUMNS * _LETTER)
        place = _place(axes, value)
        row = (row + 1) % _LABEL_ROWS if place - previous < width else 0
        previous, most = place, max(most, row + 1)
        axes.annotate(
            text,
            (value, 1),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, 4 + 10 * row),
            textcoords="offset points",
            ha="left" if place < width else "right" if place > 1 - width else "center",
            fontsize=8,
            color=_BUDGET,
            in_layout=False,
            parse_math=False,
        )
    return most


def _draw_winners(axes: Axes, result: SearchResult, axis: CostAxis, *, named: bool) -> None:
    """Mark the tiers' winners, with the interval of their score where it is known."""
    tiers = defaultdict(list)
    for tier in result.tiers.values():
        tiers[tier.evaluation].append(tier.tier)
    labelled = False
    for row, names in tiers.items():
        x, y = row.costs[axis.cost] / axis.unit, row.score(result.objective)
        if math.isnan(x):
            continue
        low, high = (row.score(f"{result.objective}_{end}") for end in ("low", "high"))
        if low <= y <= high:
            label = None if labelled else "95 % interval"
            labelled = True
            axes.errorbar(
                x,
                y,
                yerr=[[y - low], [high - y]],
                color=_WINNER,
                capsize=4,
                linewidth=1.2,
                fmt="none",
                label=label,
                zorder=5,
            )
        axes.plot(x, y, marker="*", markersize=14, color=_WINNER, zorder=6, linestyle="none")
        if not named:  # the large panel tells who is how good
            continue
        text = "\n".join([*names, f"{y:.3f}"])
        left = _place(axes, x) < 0.5  # the name stands where there is more room
        axes.annotate(
            text,
            (x, y),
            xytext=(8 if left else -8, 3),
            textcoords="offset points",
            ha="left" if left else "right",
            va="bottom",
            fontsize=9,
            fontweight="bold",
            color=_WINNER,
            path_effects=[withStroke(linewidth=3, foreground="white")],
            zorder=7,
            in_layout=False,
            parse_math=False,
        )
    axes.plot(
        [], [], marker="*", markersize=11, color=_WINNER, linestyle="none", label="best in budget"
    )


def _place(axes: Axes, value: float) -> float:
    """Return where a cost stands on its logarithmic axis, from 0 to 1."""
    if value <= 0:
        return 0.0
    low, high = np.log(axes.get_xlim())
    return (np.log(value) - low) / (high - low)


def _points(
    rows: Iterable[Evaluation], axis: CostAxis, objective: str
) -> tuple[list[float], list[float]]:
    rows = list(rows)
    x = [row.costs[axis.cost] / axis.unit for row in rows]
    return x, [row.score(objective) for row in rows]


def _style_axes(axes: Axes, *, xlabel: str, ylabel: str, large: bool) -> None:
    # A name is shown as it is: between two dollars matplotlib would read mathematics.
    axes.set_xlabel(f"{xlabel}, logarithmic" if large else xlabel, parse_math=False)
    axes.set_ylabel(ylabel, parse_math=False)
    subs = (1, 2, 5) if large else (1, 3)
    axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axes.xaxis.set_minor_locator(LogLocator(subs=tuple(map(float, range(1, 10))), numticks=100))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _position: _plain(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, which="major", color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _plain(value: float) -> str:
    """Print a tick as `0.15` or `1,200`, not as a power of ten."""
    return f"{value:,.0f}" if value >= 999.5 else f"{value:.3g}"
