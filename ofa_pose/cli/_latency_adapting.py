"""What `latency adapt` refuses and tells."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ofa_pose.cli import _console
from ofa_pose.cli._latency_tables import POOR, infos_of_name, search_hint
from ofa_pose.cli._searching import STARTER_SPACE
from ofa_pose.errors import UsageError, listing

if TYPE_CHECKING:
    from ofa_pose.cost.latency_adapt import Adaptation
    from ofa_pose.cost.latency_points import LatencyPoint
    from ofa_pose.cost.latency_schema import AdaptedSection

_FASTEST, _SLOWEST = 1 / 20, 1000
"""How many times a device's latencies may be another's before the unit of the points is doubted."""

_LOG = logging.getLogger(__name__)


def refuse_measured_name(name: str, folder: Path, *, force: bool) -> None:
    """Refuse to adapt under the name of a measured table, or to replace one without `force`.

    Raises:
        UsageError: the name is taken.
        LatencyError: the table that has it cannot be read.
    """
    for path, info in infos_of_name(name, folder):
        if info.adapted is None:
            raise UsageError(
                f"{name!r} is a table that was measured ({path}); an adapted one needs another name"
            )
    own = folder / f"{name}.yaml"
    if own.exists() and not force:
        raise UsageError(f"{own} exists; give --force to replace it, or another name")


def tell_adaptation(adaptation: Adaptation, path: Path, *, as_json: bool) -> None:
    """Print every point beside its prediction by the others, the error, and what to do next.

    A search is suggested only where the points fit the table that was adapted.
    """
    info, error = adaptation.table.info, adaptation.error
    adapted = info.adapted
    if adapted is None:
        raise ValueError("only an adapted table is told of here")
    faults = _faults(adaptation, adapted)
    for fault in faults:
        _LOG.warning("%s", fault)
    spaces = dict.fromkeys(point.space.name for point in adaptation.points)
    untouched = [space.name for space in info.spaces if space.name not in spaces]
    pairs = list(zip(adaptation.points, adaptation.predicted, strict=True))
    if as_json:
        _console.emit_json(
            {
                "name": info.name,
                "file": path,
                "adapted_from": adapted.table,
                "points": [
                    {
                        "space": point.space.name,
                        "arch": point.arch.to_dict(),
                        "latency_ms": point.latency_ms,
                        "predicted_by_others_ms": predicted,
                    }
                    for point, predicted in pairs
                ],
                "leave_one_out": error.model_dump(exclude_none=True),
                "fitted": adaptation.fitted.model_dump(exclude_none=True),
                "one_factor": adaptation.one_factor.model_dump(exclude_none=True),
                "factor": adaptation.factor,
                "few_points": adaptation.few,
                "faults": faults,
                "spaces_without_points": untouched,
            }
        )
        return
    rows = [
        (
            point.space.name,
            point.arch.key,
            point.latency_ms,
            predicted,
            f"{predicted / point.latency_ms - 1:+.1%}",
        )
        for point, predicted in pairs
    ]
    _console.table(("space", "arch", "ms measured", "ms by the others", "error"), rows)
    way, other, others = "a factor for each kind of unit", "one factor", adaptation.one_factor
    if adaptation.plain:
        way, other, others = other, way, adaptation.fitted
    _console.line(
        f"leave-one-out error: {error.mape:.1%} on average, {error.largest or 0:.1%} at most, of "
        f"{adapted.table} times {way}; times {other} it would be {others.mape:.1%} on average"
    )
    if untouched:
        _console.line(
            f"no point is of {listing(untouched)}: what is predicted there is extrapolated, and "
            "may be off by more"
        )
    _console.line(f"wrote {path}, marked as adapted from {adapted.table}")
    if not faults:
        _console.line(f"next: {_search_hint(adaptation.points, path)}")


def _faults(adaptation: Adaptation, adapted: AdaptedSection) -> list[str]:
    """What speaks against a search with the table; warns of few points beside."""
    if adaptation.few:
        _LOG.warning(
            "%d networks are few: the error below may be far from that of other networks; "
            "5 to 20 are advised",
            adapted.points,
        )
    faults = []
    if adaptation.inversions:
        small, large = adaptation.inversions[0]
        faults.append(
            f"{small.space.name} {small.arch.key} is given {small.latency_ms:g} ms and "
            f"{large.arch.key}, larger in every choice that differs, {large.latency_ms:g} ms: at "
            "least one of the two is wrong"
        )
    if not _SLOWEST >= adaptation.factor >= _FASTEST:
        faults.append(
            f"the points are {adaptation.factor:.3g} times what {adapted.table} says: a table is "
            f"of milliseconds; are these {'seconds' if adaptation.factor < 1 else 'microseconds'}?"
        )
    if adaptation.error.mape > POOR:
        faults.append(
            f"the points do not fit {adapted.table}: predicted by the others they are off by "
            f"{adaptation.error.mape:.0%} on average, more than {POOR:.0%}; no search by this "
            "table is to be trusted: measure them again, with nothing else running, or adapt a "
            "table of a more similar device"
        )
    return faults


def _search_hint(points: Sequence[LatencyPoint], path: Path) -> str:
    """The command of a search in a space of the points, the starter's if there are any of it."""
    names = [point.space.name for point in points]
    space = STARTER_SPACE if STARTER_SPACE in names else names[0]
    middle = statistics.median(  # some arch is that fast
        point.latency_ms for point in points if point.space.name == space
    )
    return search_hint(path, space, milliseconds=middle)
