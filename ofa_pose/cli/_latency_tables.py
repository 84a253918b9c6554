"""What is known of latency tables: the list of them, and how far one can be trusted."""

from __future__ import annotations

import logging
import math
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_pose.catalog import OWN_TABLES, catalog_folder, latency_table_names
from ofa_pose.cli import _console
from ofa_pose.cli._searching import STARTER_SPACE
from ofa_pose.errors import OfaPoseError

if TYPE_CHECKING:
    from ofa_pose.cost import LatencyTable, TableInfo

POOR = 0.25
"""Average error of a table's predictions above which no search with it is suggested."""

_LOG = logging.getLogger(__name__)


def show_tables(*, as_json: bool) -> None:
    """Print every table of the catalogue; one that cannot be read is told and left out."""
    from ofa_pose.cost.latency_files import read_table  # which needs no PyTorch

    tables: list[tuple[TableInfo, int, Path]] = []
    for path in latency_table_names().values():
        try:
            info, units = read_table(path)
            tables.append((info, len(units), path))
        except OfaPoseError as error:
            _LOG.warning("%s", error)
    if as_json:
        _console.emit_json([{**summary(info, units), "file": path} for info, units, path in tables])
        return
    if not tables:
        _console.line("no latency tables; make one with: ofa-pose latency build --help")
        return
    shipped = catalog_folder("predictors") / "latency"
    rows = [
        (
            info.name,
            info.device,
            f"{info.runtime.name} {info.runtime.version}",
            info.threads,
            units,
            ", ".join(space.name for space in info.spaces) or "-",
            error_text(info),
            "shipped" if path.parent == shipped else path,
        )
        for info, units, path in tables
    ]
    headers = ("name", "device", "runtime", "threads", "units", "spaces", "error", "from")
    _console.table(headers, rows)


def infos_of_name(name: str, folder: Path) -> Iterator[tuple[Path, TableInfo]]:
    """Yield the tables that have a name: of the files in `folder`, and of those known by name.

    Raises:
        LatencyError: one of them cannot be read.
    """
    from ofa_pose.cost.latency_files import read_info

    for path in dict.fromkeys((folder / f"{name}.yaml", latency_table_names().get(name))):
        if path is not None and path.is_file():
            yield path, read_info(path)


def error_text(info: TableInfo) -> str:
    """How far off a table's predictions of whole networks are, in a few words."""
    if info.adapted is not None:
        error = info.adapted.leave_one_out.mape
        return f"{error:.1%} left out, adapted from {info.adapted.table}"
    if info.validation is None:
        return "not validated"
    return f"{info.validation.mape:.1%} of {info.validation.networks} networks"


def trust(table: LatencyTable) -> str:
    """How far off the table's predictions of whole networks are, in a sentence."""
    info = table.info
    if info.adapted is not None:
        adapted = info.adapted
        return (
            f"{table.name} was adapted from {adapted.table} to {adapted.points} networks and not "
            f"measured; each of them, predicted by the others, is off by "
            f"{adapted.leave_one_out.mape:.1%} on average"
        )
    if info.validation is None:
        return f"{table.name} has not been compared with measured networks"
    return (
        f"{table.name} is off by {info.validation.mape:.1%} on average on "
        f"{info.validation.networks} measured networks that it was not made from"
    )


def search_hint(path: Path, space: str, *, milliseconds: float) -> str:
    """Return the command of a search under a latency budget.

    Args:
        path: of the table's YAML.
        space: name of the one that is searched.
        milliseconds: of the budget.
    """
    given, latency = path, []
    if path.parent == OWN_TABLES:
        given = path.stem
    elif "," in str(path):  # which would end the budget
        given, latency = path.stem, ["--latency", str(path)]
    weights = [] if space == STARTER_SPACE else ["--supernet", "FILE"]
    limit = f"{math.ceil(milliseconds)}" if milliseconds >= 10 else f"{milliseconds:.3g}"
    return shlex.join(["ofa-pose", "search", *weights, *latency, "--budget", f"{limit}ms@{given}"])


def summary(info: TableInfo, units: int) -> dict[str, Any]:
    """Return what a table of so many units says of itself, for JSON."""
    return {**info.document(), "date": str(info.date), "units": units}
