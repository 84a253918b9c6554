"""The two files of a latency table: a CSV with one row a unit, and a YAML that describes it."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from ofa_pose.catalog import OWN_TABLES, PATH_VARIABLE, latency_table_names
from ofa_pose.cost.latency_schema import TableInfo, check_format
from ofa_pose.errors import LatencyError, OfaPoseError, SpaceError, UnknownNameError, suggest
from ofa_pose.files import atomic_write
from ofa_pose.space.document import read_document
from ofa_pose.space.faults import Faults
from ofa_pose.unit_key import split_key

_HEADER = "# A latency table of ofa_pose; the rows are in the CSV file of the same name.\n"


@dataclass(frozen=True)
class UnitLatency:
    """What one unit takes.

    Attributes:
        key: the unit's (`UnitSpec.key`).
        median_ms: its time in its place inside a network.
        min_ms: the shortest run.
        iqr_ms: interquartile range of the runs.
        runs: how many there were; 0 for a unit that was estimated and not measured.

    Raises:
        LatencyError: a time is not a positive finite number, the range or the runs negative.
    """

    key: str
    median_ms: float
    min_ms: float
    iqr_ms: float
    runs: int

    def __post_init__(self) -> None:
        for name in ("median_ms", "min_ms"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise LatencyError(
                    f"unit {self.key}: {name} is a positive number of milliseconds, not {value!r}"
                )
        if not (math.isfinite(self.iqr_ms) and self.iqr_ms >= 0):
            raise LatencyError(f"unit {self.key}: iqr_ms is 0 or more, not {self.iqr_ms!r}")
        if self.runs < 0:
            raise LatencyError(f"unit {self.key}: runs is 0 or more, not {self.runs!r}")


_COLUMNS = tuple(field.name for field in fields(UnitLatency))


def find_table(name: str | Path) -> Path:
    """Return the YAML of a table by its name in the catalogue or by the path of either file.

    Raises:
        UnknownNameError: no table has this name; the message lists those there are, and where
            was looked for it.
    """
    text = str(name)
    if isinstance(name, Path) or text.endswith((".yaml", ".csv")) or Path(text).name != text:
        path = Path(text).expanduser()
        stem = path.stem if path.suffix in {".yaml", ".csv"} else path.name
        return path.with_name(f"{stem}.yaml")
    names = latency_table_names()
    if text not in names:
        own = os.environ.get(PATH_VARIABLE) or "not set"
        where = f"./{OWN_TABLES.as_posix()}, {PATH_VARIABLE} ({own}) and the package's own tables"
        raise UnknownNameError(
            "latency table", text, names, list_all=True, hint=f"looked for in {where}"
        )
    return names[text]


def read_table(path: Path) -> tuple[TableInfo, dict[str, UnitLatency]]:
    """Read and check both files of a table, of which `path` is the YAML.

    Raises:
        LatencyError: a file is missing, damaged, of another format or breaks the schema, or the
            YAML scales a kind of unit that the CSV does not hold.
    """
    info = read_info(path)
    rows = read_rows(path.with_suffix(".csv"), sha256=info.rows_sha256)
    check_kinds(info, rows, path=path)
    return info, rows


def read_info(path: Path) -> TableInfo:
    """Read and check the YAML of a table.

    Raises:
        LatencyError: it is missing, damaged, of another format, breaks the schema, or is called
            otherwise than its file.
    """
    try:
        document = read_document(path, what="a latency table")
        check_format(document.data, source=str(path))
        faults = Faults(document)
        for location in document.repeated:
            faults.add(location, "this key stands twice in one mapping")
        info = faults.section(TableInfo, document.data, ())
        faults.refuse()
    except SpaceError as error:
        raise LatencyError(str(error)) from None
    if info is None:
        raise LatencyError(f"{path}: breaks the schema of a latency table")
    if info.name != path.stem:
        raise LatencyError(
            f"{path}: name: {info.name!r} is declared in a file called {path.name}; rename one of "
            "the two"
        )
    return info


def read_rows(path: Path, *, sha256: str | None) -> dict[str, UnitLatency]:
    """Read and check the CSV of a table.

    Args:
        path: of the CSV.
        sha256: what the YAML says its sum is; None is not compared.

    Raises:
        LatencyError: it is missing, cut off, another than the YAML was written with, or a row
            cannot be used; the message names the line.
    """
    try:
        text = path.read_bytes().decode().replace("\r\n", "\n")
    except OSError as error:
        raise LatencyError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise LatencyError(f"{path} is not UTF-8 text") from None
    if not text.endswith("\n"):
        raise LatencyError(f"{path} is cut off: its last line has no end")
    lines = csv.reader(io.StringIO(text, newline=""))
    header = next(lines, [])
    if tuple(header) != _COLUMNS:
        raise LatencyError(
            f"{path}: the columns are {','.join(header)!r}, expected {','.join(_COLUMNS)!r}"
        )
    rows: dict[str, UnitLatency] = {}
    for cells in lines:
        try:
            row = _parse(cells)
        except (OfaPoseError, ValueError) as error:
            raise LatencyError(f"{path}, line {lines.line_num}: {error}") from None
        if row.key in rows:
            raise LatencyError(f"{path}, line {lines.line_num}: unit {row.key} stands twice")
        rows[row.key] = row
    if not rows:
        raise LatencyError(f"{path} holds no units")
    if sha256 is not None and hashlib.sha256(text.encode()).hexdigest() != sha256:
        raise LatencyError(
            f"{path} is not the file that {path.stem}.yaml was written with: it was edited, or "
            "one of the two was replaced (delete rows_sha256 from the YAML to accept it)"
        )
    return rows


def check_kinds(info: TableInfo, rows: Mapping[str, UnitLatency], *, path: Path) -> None:
    """Refuse a model of units that the table does not hold, which would change no prediction.

    Args:
        info: the YAML.
        rows: of the CSV, by the unit's key.
        path: of the YAML, for the message.

    Raises:
        LatencyError: the message has the kind of unit that may be meant.
    """
    held = {split_key(key)["kind"] for key in rows}
    for kind in info.model.kinds:
        if kind not in held:
            raise LatencyError(
                f"{path}: model.kinds: the table holds no units of kind {kind!r}"
                f"{suggest(kind, held)}"
            )


def write_table(folder: str | Path, info: TableInfo, rows: Iterable[UnitLatency]) -> None:
    """Write `<name>.csv`, then `<name>.yaml`, each atomically; `rows` are of distinct units.

    Between the two, an older YAML names another sum than the new CSV's, which is refused.

    Raises:
        LatencyError: there are no rows.
        OfaPoseError: the folder cannot be written.
    """
    rows = sorted(rows, key=lambda row: row.key)
    if not rows:
        raise LatencyError(f"latency table {info.name!r} has no units")
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows([getattr(row, name) for name in _COLUMNS] for row in rows)
    text = stream.getvalue()
    info = info.model_copy(update={"rows_sha256": hashlib.sha256(text.encode()).hexdigest()})
    base = Path(folder) / info.name
    document = yaml.safe_dump(
        info.document(), sort_keys=False, default_flow_style=None, width=100, allow_unicode=True
    )
    atomic_write(base.with_name(f"{info.name}.csv"), text)
    atomic_write(base.with_name(f"{info.name}.yaml"), _HEADER + document)


def _parse(cells: list[str]) -> UnitLatency:
    if len(cells) != len(_COLUMNS):
        raise ValueError(f"{len(cells)} cells, expected {len(_COLUMNS)}")
    key, median, shortest, spread, runs = cells
    split_key(key)
    return UnitLatency(key, float(median), float(shortest), float(spread), int(runs))
