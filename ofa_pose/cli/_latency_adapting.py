"""What `latency adapt` refuses and tells."""

from __future__ import annotations

import logging
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

from ofa_pose.catalog import latency_table_names
from ofa_pose.cli import _console
from ofa_pose.cli._latency_tables import search_hint
from ofa_pose.cli._searching import STARTER_SPACE
from ofa_pose.errors import UsageError

if TYPE_CHECKING:
    from ofa_pose.cost.latency_adapt import Adaptation

POOR = 0.25
"""Average leave-one-out error above which a search with the table is not suggested."""
_LOG = logging.getLogger(__name__)


def refuse_measured_name(name: str, folder: Path, *, force: bool) -> None:
    """Refuse to adapt under the name of a measured table, or to replace one without `force`.

    Raises:
        UsageError: the name is taken.
        LatencyError: the table that has it cannot be read.
    """
    from ofa_pose.cost.latency_files import read_info

    own = folder / f"{name}.yaml"
    for path in dict.fromkeys((own, *filter(None, [latency_table_names().get(name)]))):
        if path.is_file() and read_info(path).adapted is None:
            raise UsageError(
                f"{name!r} is a table that was measured ({path}); an adapted one needs another name"
            )
    if own.exists() and not force:
        raise UsageError(f"{own} exists; give --force to replace it, or another name")


def tell_adaptation(adaptation: Adaptation, path: Path, *, as_json: bool) -> None:
    """Print every point beside its prediction by the others, and the error."""
    info, error = adaptation.table.info, adaptation.error
    adapted = info.adapted
    if adapted is None:
        raise ValueError("only an adapted table is told of here")
    if adaptation.few:
        _LOG.warning(
            "%d networks are few: the error below may be far from that of other networks; "
            "5 to 20 are advised",
            adapted.points,
        )
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
                "one_factor": adaptation.one_factor.model_dump(exclude_none=True),
                "few_points": adaptation.few,
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
    _console.line(
        f"leave-one-out error: {error.mape:.1%} on average, {error.largest or 0:.1%} at most; "
        f"{adapted.table} times one factor: {adaptation.one_factor.mape:.1%} on average"
    )
    _console.line(f"wrote {path}, marked as adapted from {adapted.table}")
    if error.mape > POOR:
        _LOG.warning(
            "the points do not fit %s: no search by this table is to be trusted; measure them "
            "again, with nothing else running, or adapt a table of a more similar device",
            adapted.table,
        )
        return
    spaces = {point.space.name for point, _ in pairs}
    if STARTER_SPACE not in spaces:
        _console.line(
            f"no point is of {STARTER_SPACE}, the space of the weights in the box: what is "
            "predicted for its networks is extrapolated"
        )
    middle = statistics.median(point.latency_ms for point, _ in pairs)  # some arch is that fast
    _console.line(f"next: {search_hint(path, spaces, milliseconds=middle)}")
