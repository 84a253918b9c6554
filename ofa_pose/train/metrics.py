"""`metrics.csv`: one row a logged step, the same file whether a run was interrupted or not."""

from __future__ import annotations

import csv
import io
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from ofa_pose.errors import OfaPoseError, RunFolderError
from ofa_pose.files import atomic_write
from ofa_pose.train.plain import plain

_LOG = logging.getLogger(__name__)


class MetricsFile:
    """Rows keyed by their `step`, appended as they come; new columns are added at the right.

    Args:
        path: the CSV file.
        keep: rows of an earlier part of the run up to this step, its last, stay, later ones are
            dropped; 0 starts an empty file.

    Raises:
        RunFolderError: the file there is not a metrics file.
    """

    def __init__(self, path: Path, *, keep: int) -> None:
        self._path = path
        self._columns: list[str] = []
        self._rows: list[dict[str, str]] = []
        if keep and path.exists():
            self._read(keep)
        if keep and not (self._rows and int(self._rows[-1]["step"]) == keep):
            _LOG.warning("%s has lost rows: the one of step %d is not there", path, keep)
        self._write_all()

    def append(self, row: Mapping[str, float]) -> None:
        """Add one row; floats, numpy's too, are written so that they read back exactly.

        Raises:
            OfaPoseError: the folder cannot be written or the disk is full.
        """
        text = {key: repr(plain(value)) for key, value in row.items()}
        self._rows.append(text)
        if set(text) <= set(self._columns):
            try:
                with self._path.open("a", encoding="utf-8", newline="") as stream:
                    stream.write(_lines(self._columns, [text]))
            except OSError as error:
                raise OfaPoseError(
                    f"cannot write {self._path}: {error.strerror or error}"
                ) from error
        else:
            self._columns += [key for key in text if key not in self._columns]
            self._write_all()

    def sync(self) -> None:
        """Wait until every row is on the disk."""
        with self._path.open("r+b") as stream:  # Windows syncs only what may be written
            os.fsync(stream.fileno())

    def _read(self, keep: int) -> None:
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True)
            # A kill may have cut the last line short; "12" is then not step 12 but half of 120.
            reader = csv.DictReader(line for line in lines if line.endswith("\n"))
            columns = list(reader.fieldnames or [])
            rows = [
                {key: value for key, value in row.items() if value}
                for row in reader
                if int(row["step"]) <= keep
            ]
        except (KeyError, ValueError) as error:
            raise RunFolderError(f"{self._path} is not a run's metrics file: {error}") from error
        self._rows = rows
        self._columns = [key for key in columns if any(key in row for row in rows)]

    def _write_all(self) -> None:
        header = [dict(zip(self._columns, self._columns, strict=True))] if self._columns else []
        atomic_write(self._path, _lines(self._columns, header + self._rows))


def count_rows(path: Path, column: str) -> int:
    """Return how many rows of a metrics file hold a value in `column`."""
    with path.open(encoding="utf-8", newline="") as stream:
        return sum(bool(row.get(column)) for row in csv.DictReader(stream))


def _lines(columns: Iterable[str], rows: Iterable[Mapping[str, str]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(columns), restval="", lineterminator="\n")
    writer.writerows(rows)
    return stream.getvalue()
