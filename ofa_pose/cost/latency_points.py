"""Latencies of whole networks on a device: a CSV that its owner writes by hand."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa_pose.catalog import load_space
from ofa_pose.errors import LatencyError, OfaPoseError
from ofa_pose.space import Arch, SearchSpace

_NEEDED = ("arch", "latency_ms")


@dataclass(frozen=True)
class LatencyPoint:
    """What one whole network took for one picture at its arch's resolution.

    Raises:
        LatencyError: the latency is not a positive finite number.
    """

    space: SearchSpace
    arch: Arch
    latency_ms: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.latency_ms) and self.latency_ms > 0):
            raise LatencyError(
                f"latency_ms is a positive number of milliseconds, not {self.latency_ms!r}"
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
    missing = [name for name in _NEEDED if name not in (lines.fieldnames or ())]
    if missing:
        raise LatencyError(
            f"{path} has no column {' and '.join(missing)}; its first line is "
            "space,arch,latency_ms, or arch,latency_ms with a space given"
        )
    points: list[LatencyPoint] = []
    for row in lines:
        try:
            point = _point(row, space)
        except (OfaPoseError, ValueError) as error:
            raise LatencyError(f"{path}, line {lines.line_num}: {error}") from None
        if any((point.space, point.arch) == (other.space, other.arch) for other in points):
            raise LatencyError(f"{path}, line {lines.line_num}: {point.arch.key} stands twice")
        points.append(point)
    return tuple(points)


def _point(row: Mapping[str | None, Any], space: SearchSpace | str | None) -> LatencyPoint:
    if None in row:
        raise LatencyError("has more cells than the first line; decimals take a point, not a comma")
    name = (row.get("space") or "").strip() or space
    if name is None:
        raise LatencyError("no space is given for the arch")
    declared = load_space(name)
    arch = declared.arch((row["arch"] or "").strip())
    return LatencyPoint(declared, arch, float(row["latency_ms"] or "nan"))
