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
            path.write_text(f"# {json.dumps(head)}\n{','.join(COLUMNS)}\n")
            return journal
        text = path.read_text()
        head = read_head(text, source=path)
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
        whole = text[: text.rfind("\n") + 1]
        lines = whole.splitlines(keepends=True)
        sizes = {task.name: 1 + len(task.units) * task.by_unit for task in kit.tasks}
        position, end = 2, 2
        while position < len(lines):
            _, name, round_, *_ = next(csv.reader([lines[position]]))
            position += sizes[name]
            if position <= len(lines):
                journal.done.add((name, int(round_)))
                end = position
        kept = "".join(lines[:end])
        if kept != text:
            path.write_text(kept)
        return journal

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


def read_head(text: str, *, source: Path) -> dict[str, Any]:
    """The first line of a results file.

    Raises:
        MeasureError: the text is not of a results file of this format.
    """
    lines = text.split("\n", 2)
    try:
        head = json.loads(lines[0].removeprefix("# "))
        known = head["format"] == FORMAT and lines[1] == ",".join(COLUMNS) and head["steps"] > 0
    except (ValueError, LookupError, TypeError):
        known = False
        head = {}
    if not known:
        raise MeasureError(f"{source} is not a results file of format {FORMAT}")
    return head
