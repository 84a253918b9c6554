"""results.csv: what was measured so far, a step at a time."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .errors import MeasureError
from .kit import FORMAT, Kit, Task
from .machine import Machine, told

COLUMNS = (
    *("machine", "network", "round", "unit", "key", "runs"),
    *("median", "min", "iqr", "reference_ms"),
)
"""Of results.csv; `median`, `min` and `iqr` are times divided by the reference network's."""

WHOLE = "*"
"""In the column `unit`: the row is of the whole network."""


@dataclass(frozen=True)
class Timing:
    """Times of one thing over several runs, divided by the reference's."""

    runs: int
    median: float
    min: float
    iqr: float

    @classmethod
    def of(cls, times: np.ndarray) -> Timing:
        """Summarise `(runs,)`."""
        low, median, high = np.percentile(times, (25, 50, 75))
        return cls(len(times), float(median), float(times.min()), float(high - low))


@dataclass
class Journal:
    """The rows measured so far; every step is appended in one write.

    Attributes:
        path: of the CSV file.
        machine: where it is written.
        done: (network, round) of the steps that stand in it whole.
    """

    path: Path
    machine: Machine
    done: set[tuple[str, int]] = field(default_factory=set)

    @classmethod
    def open(cls, path: Path, kit: Kit, machine: Machine) -> Journal:
        """Start the file, or go on with it; a step that was cut off is dropped.

        Raises:
            MeasureError: it is of another kit or machine.
        """
        journal = cls(path, machine)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            head = {
                "format": FORMAT,
                "kit": kit.hash,
                **{name: kit.document[name] for name in ("spaces", "runs")},
                "steps": kit.steps,
                "date": time.strftime("%Y-%m-%d"),
                "machine": vars(machine),
            }
            _write_whole(path, f"# {json.dumps(head)}\n{','.join(COLUMNS)}\n")
            return journal
        content = path.read_bytes()
        head = read_head(content.decode(errors="replace"), source=path)
        if head["kit"] != kit.hash:
            raise MeasureError(
                f"{path} was measured with another kit ({head['kit']}, this one is {kit.hash}); "
                "move it away to start anew"
            )
        found = Machine(**head["machine"])
        if found != machine:
            raise MeasureError(
                f"{path} was measured on {told(found)}, this is {told(machine)}; "
                "times of two machines are never mixed; move the file away to start anew"
            )
        end = journal._take_up(content, kit)
        if end < len(content):
            os.truncate(path, end)
        return journal

    def _take_up(self, content: bytes, kit: Kit) -> int:
        """Note the steps that stand in the file whole; return where the last of them ends.

        Raises:
            MeasureError: from some line on it is of another machine.
        """
        lines = content.splitlines(keepends=True)
        tasks = {task.name: task for task in kit.tasks}
        position, end = 2, len(b"".join(lines[:2]))
        while position < len(lines):
            cells = _cells(lines[position])
            task = tasks.get(cells[1])
            if cells[0] not in ("", self.machine.id):
                raise MeasureError(
                    f"{self.path}, line {position + 1}: from here on it was measured on another "
                    "machine than this; move the file away to start anew"
                )
            if task is None:
                break
            size = 1 + len(task.units) * task.by_unit
            step = lines[position : position + size]
            units = [(WHOLE, task.key), *task.units][:size]
            wanted = [[self.machine.id, task.name, cells[2], *unit] for unit in units]
            if [_cells(line)[:5] for line in step] != wanted:
                break
            self.done.add((task.name, int(cells[2])))
            position, end = position + size, end + sum(map(len, step))
        return end

    def add(self, task: Task, round_: int, times: np.ndarray, reference_ms: float) -> None:
        """Append one step: times divided by the reference's `(runs, 1 [+ units])`."""
        stream = io.StringIO(newline="")
        writer = csv.writer(stream, lineterminator="\n")
        for (unit, key), column in zip(((WHOLE, task.key), *task.units), times.T, strict=False):
            timing = Timing.of(column)
            figures = (timing.median, timing.min, timing.iqr, reference_ms)
            texts = (f"{value:.6g}" for value in figures)
            writer.writerow((self.machine.id, task.name, round_, unit, key, timing.runs, *texts))
        with self.path.open("a") as file:
            file.write(stream.getvalue())
            file.flush()
            os.fsync(file.fileno())
        self.done.add((task.name, round_))


def _cells(line: bytes) -> list[str]:
    """The cells of a row; empty ones where it was cut off or is no row of this file."""
    text = line.decode(errors="replace")
    cells = next(csv.reader([text.replace("\0", "")]), [])
    whole = text.endswith("\n") and len(cells) == len(COLUMNS) and cells[2].isdecimal()
    return cells if whole else [""] * len(COLUMNS)


def _write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all, whatever happens."""
    temporary = path.with_name(f"{path.name}.new")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_head(text: str, *, source: Path) -> dict[str, Any]:
    """The first line of a results file.

    Raises:
        MeasureError: the text is not of a results file of this format.
    """
    lines = text.split("\n", 2)
    try:
        head = json.loads(lines[0].removeprefix("# "))
        known = head["format"] == FORMAT and lines[1] == ",".join(COLUMNS) and head["steps"] > 0
        known = known and bool(head["kit"] and head["runs"] and head["spaces"] is not None)
        Machine(**head["machine"])
        time.strptime(head["date"], "%Y-%m-%d")
    except (ValueError, LookupError, TypeError):
        known = False
        head = {}
    if not known:
        raise MeasureError(
            f"{source} is not a results file of format {FORMAT}; move it away to start anew"
        )
    return head
