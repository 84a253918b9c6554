"""Latencies of whole networks on a device: a CSV that its owner writes by hand."""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa_pose.catalog import load_space
from ofa_pose.errors import LatencyError, OfaPoseError
from ofa_pose.space import Arch, SearchSpace

SHORTEST_MS, LONGEST_MS = 1e-6, 1e9
"""Between these is what a network may have taken: a nanosecond, eleven days."""

_NEEDED = ("arch", "latency_ms")
_LONGEST_CELL = 4096


@dataclass(frozen=True)
class LatencyPoint:
    """What one whole network took for one picture at its arch's resolution.

    Raises:
        LatencyError: the latency is not between `SHORTEST_MS` and `LONGEST_MS`.
    """

    space: SearchSpace
    arch: Arch
    latency_ms: float

    def __post_init__(self) -> None:
        if not SHORTEST_MS <= self.latency_ms <= LONGEST_MS:
            raise LatencyError(
                f"latency_ms is a positive number of milliseconds, from {SHORTEST_MS:g} to "
                f"{LONGEST_MS:g}, not {self.latency_ms!r}"
            )


def read_points(
    path: str | Path, *, space: SearchSpace | str | None = None
) -> tuple[LatencyPoint, ...]:
    """Read a CSV with the columns `arch` (a name or a key), `latency_ms` and perhaps `space`.

    Args:
        path: of the CSV.
        space: whose archs they are where the column `space` is absent or empty.

    Raises:
        LatencyError: the file cannot be read, a column is missing, a network stands twice, or a
            row cannot be used; the message names the line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets write such a mark
    except OSError as error:
        raise LatencyError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise LatencyError(f"{path} is not UTF-8 text") from None
    lines = csv.DictReader(io.StringIO(text, newline=""))
    try:
        return _points(lines, path, space)
    except csv.Error as error:
        raise LatencyError(f"{path} cannot be read as CSV: {error}") from None


def _points(
    lines: csv.DictReader[str], path: Path, space: SearchSpace | str | None
) -> tuple[LatencyPoint, ...]:
    missing = [name for name in _NEEDED if name not in (lines.fieldnames or ())]
    if missing:
        between = "; commas stand between columns, not semicolons"
        raise LatencyError(
            f"{path} has no column {' and '.join(missing)}; its first line is "
            "space,arch,latency_ms, or arch,latency_ms with a space given"
            + between
            * (";" in "".join(lines.fieldnames or ()))
        )
    points: dict[tuple[SearchSpace, Arch], LatencyPoint] = {}
    load = functools.cache(load_space)
    for row in lines:
        try:
            point = _point(row, space, load=load)
        except (OfaPoseError, ValueError) as error:
            raise LatencyError(f"{path}, line {lines.line_num}: {error}") from None
        if (point.space, point.arch) in points:
            raise LatencyError(f"{path}, line {lines.line_num}: {point.arch.key} stands twice")
        points[point.space, point.arch] = point
    return tuple(points.values())


def _point(
    row: Mapping[str | None, Any],
    space: SearchSpace | str | None,
    *,
    load: Callable[[SearchSpace | str], SearchSpace],
) -> LatencyPoint:
    if None in row:
        raise LatencyError("has more cells than the first line; decimals take a point, not a comma")
    letters = max(len(cell or "") for cell in row.values())
    if letters > _LONGEST_CELL:
        raise LatencyError(f"a cell has {letters:,} letters, more than any network's name")
    name = (row.get("space") or "").strip() or space
    if name is None:
        raise LatencyError("no space is given for the arch")
    declared = load(name)
    arch = declared.arch((row["arch"] or "").strip())
    return LatencyPoint(declared, arch, _milliseconds(row["latency_ms"] or "nan"))


def _milliseconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        comma = "; decimals take a point, not a comma" if "," in text else ""
        raise LatencyError(
            f"latency_ms is a number of milliseconds such as 109.5, not {text!r}{comma}"
        ) from None
