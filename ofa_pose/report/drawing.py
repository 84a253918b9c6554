"""A network drawn from its units: a bar a unit, rows by map size, so that any family can be drawn.

The height of a bar is the number of channels that leave the unit; the pale bar behind it is what
the largest arch of the space has there. Colour is the unit's share of the MACs. Lines are what a
unit reads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from markupsafe import Markup

from ofa_pose.cost import UnitCost, count
from ofa_pose.cost.counting import BYTES
from ofa_pose.models import NetworkPlan, Unit, plan
from ofa_pose.space import Arch, SearchSpace

_LEFT, _TOP = 74, 20  # margins, in the drawing's own units
_PITCH, _BAR = 36, 23  # of the bars
_TALLEST = 40
_ROW = 62  # height of a row
_BELOW = 34  # room for the stages' names
_PALE = (222, 235, 247)
_DARK = (8, 81, 156)


@dataclass(frozen=True)
class _Box:
    """A unit on the page: its bar's middle and what it says."""

    unit: Unit
    channels: int
    side: int
    x: float
    y: float


def draw_architecture(space: SearchSpace, arch: Arch, **options: Any) -> Markup:
    """Return an arch's network as an SVG element.

    Args:
        space: the arch's.
        arch: which network.
        options: the family's own, such as `skeleton="coco"`.

    Raises:
        ArchError: the arch belongs to another space.
        CostError: a unit's cost is not known.
    """
    network = plan(space, arch, **options)
    costs = {unit.name: unit for unit in count(space, arch, **options).units}
    largest = plan(space, space.largest, **options)
    full = {unit.name: unit.spec.out_channels for unit in largest.units}
    sides = {unit.name: _side(unit, costs[unit.name]) for unit in network.units}
    rows = sorted(set(sides.values()), reverse=True)
    places = {
        unit.name: _Box(
            unit,
            unit.spec.out_channels,
            sides[unit.name],
            x=_LEFT + _PITCH * (number + 0.5),
            y=_TOP + _ROW * rows.index(sides[unit.name]) + _TALLEST,
        )
        for number, unit in enumerate(network.units)
    }
    widest = max(*full.values(), *(box.channels for box in places.values()))
    width = _LEFT + _PITCH * len(network.units) + 10
    height = _TOP + _ROW * len(rows) + _BELOW
    parts = [
        *_rows(rows, arch.resolution, width=width),
        *_lines(network, places),
        *_bars(places.values(), costs, full=full, widest=widest, outputs=network.outputs),
        *_names(list(places.values()), bottom=height - _BELOW + 12),
    ]
    label = f"The network {arch.key}, {len(network.units)} units"
    opening = Markup('<svg class="network" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
        width, height, label
    )
    return opening + Markup("").join(parts) + Markup("</svg>")


def _side(unit: Unit, cost: UnitCost) -> int:
    """Return the side of a unit's output, in cells: its bytes tell its area."""
    cells = cost.output_memory / (BYTES * unit.spec.out_channels)
    return max(1, round(math.sqrt(cells)))


def _rows(rows: Sequence[int], resolution: int, *, width: float) -> list[Markup]:
    line = Markup('<line class="row" x1="{}" y1="{}" x2="{}" y2="{}"/>')
    text = Markup('<text class="size" x="{}" y="{}">{}</text>')
    text += Markup('<text class="share" x="{}" y="{}">{}</text>')
    parts = []
    for number, side in enumerate(rows):
        y = _TOP + _ROW * number + _TALLEST
        parts.append(line.format(_LEFT - 6, y, width, y))
        share = f"1/{resolution / side:g}"
        parts.append(text.format(_LEFT - 12, y - 14, f"{side} × {side}", _LEFT - 12, y - 2, share))
    return parts


def _lines(network: NetworkPlan, places: Mapping[str, _Box]) -> list[Markup]:
    """Draw what is read: of the unit just before (`chain`), or of an earlier one (`skip`)."""
    path = Markup('<path class="{}" d="M{} {} C{} {} {} {} {} {}"/>')
    parts = []
    before = ""
    for unit in network.units:
        target = places[unit.name]
        for name in unit.inputs:
            if name not in places:
                continue
            source = places[name]
            start, end = source.x + _BAR / 2, target.x - _BAR / 2
            y1, y2 = source.y - 6, target.y - 6
            bend = (end - start) / 2
            kind = "chain" if name == before else "skip"
            points = (start, y1, start + bend, y1, end - bend, y2, end, y2)
            parts.append(path.format(kind, *(f"{value:g}" for value in points)))
        before = unit.name
    return parts


def _bars(
    boxes: Any, costs: Mapping[str, UnitCost], *, full: Mapping[str, int], widest: int,
    outputs: Sequence[str],
) -> list[Markup]:  # fmt: skip
    total = sum(unit.macs["exact"] for unit in costs.values()) or 1
    most = max(unit.macs["exact"] for unit in costs.values()) or 1
    bar = Markup('<rect class="{}" x="{:g}" y="{:g}" width="{}" height="{:g}" rx="2"{}/>')
    group = Markup('<g><title>{}</title>{}{}<text class="channels" x="{:g}" y="{:g}">{}</text></g>')
    parts = []
    for box in boxes:
        macs = costs[box.unit.name].macs["exact"]
        left = box.x - _BAR / 2
        whole = _height(full.get(box.unit.name, box.channels), widest)
        own = _height(box.channels, widest)
        fill = Markup(' fill="{}"').format(_colour(macs / most))
        kind = "unit output" if box.unit.name in outputs else "unit"
        parts.append(
            group.format(
                _title(box, macs, total),
                bar.format("full", left, box.y - whole, _BAR, whole, ""),
                bar.format(kind, left, box.y - own, _BAR, own, fill),
                box.x,
                box.y + 11,
                box.channels,
            )
        )
    return parts


def _names(boxes: Sequence[_Box], *, bottom: float) -> list[Markup]:
    """Name what belongs together: units whose names agree up to the first dot."""
    line = Markup('<line class="brace" x1="{:g}" y1="{:g}" x2="{:g}" y2="{:g}"/>')
    text = Markup('<text class="stage" x="{:g}" y="{:g}">{}</text>')
    text += Markup('<text class="share mid" x="{:g}" y="{:g}">{}</text>')
    parts = []
    for name, group in groupby(boxes, key=lambda box: box.unit.name.partition(".")[0]):
        members = list(group)
        left, right = members[0].x - _BAR / 2, members[-1].x + _BAR / 2
        middle = (left + right) / 2
        spec = members[-1].unit.spec
        note = f"k{spec.kernel}" if len(members) == 1 else f"{len(members)} × k{spec.kernel}"
        short = name if len(members) > 1 else _short(name)
        parts.append(line.format(left, bottom - 10, right, bottom - 10))
        parts.append(text.format(middle, bottom, short, middle, bottom + 10, note))
    return parts


def _short(name: str) -> str:
    """Return a name that fits under one bar: `deconv1` → `dec1`."""
    letters = name.rstrip("0123456789")
    return name if len(name) <= 6 else f"{letters[:3]}{name[len(letters) :]}"


def _title(box: _Box, macs: int, total: int) -> str:
    spec = box.unit.spec
    facts = [
        f"{box.unit.name}: {spec.kind.replace('_', ' ')}",
        f"{' + '.join(map(str, spec.in_channels))} → {box.channels} channels",
        f"kernel {spec.kernel} × {spec.kernel}",
        *([f"stride {spec.stride}"] if spec.stride > 1 else []),
        *([f"{spec.hidden} channels inside"] if spec.hidden else []),
        f"{box.side} × {box.side} cells",
        f"{macs / 1e6:,.2f} M MACs, {macs / total:.1%}",
    ]
    return ", ".join(facts)


def _height(channels: int, widest: int) -> float:
    """Return a bar's height: by the square root, as stems are a tenth as wide as last stages."""
    return round(_TALLEST * math.sqrt(channels / widest), 1)


def _colour(share: float) -> str:
    mixed = (round(p + (d - p) * share) for p, d in zip(_PALE, _DARK, strict=True))
    return "#{:02x}{:02x}{:02x}".format(*mixed)
