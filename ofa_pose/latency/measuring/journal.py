"""results.csv: what was measured so far, a step at a time."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import string
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .errors import MeasureError, StoppedError
from .kit import FORMAT, Kit, Task
from .machine import Machine, told

try:
    import fcntl
except ImportError:  # not POSIX: two processes on one file go unnoticed
    fcntl = None

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
        unreadable: how many steps are measured again as the file was damaged where they stood.
    """

    path: Path
    machine: Machine
    done: set[tuple[str, int]] = field(default_factory=set)
    unreadable: int = 0

    @classmethod
    def open(cls, path: Path, kit: Kit, machine: Machine) -> Journal:
        """Start the file, or go on with it; a step that is not whole is dropped from it.

        Raises:
            MeasureError: it is of another kit or machine.
            StoppedError: it cannot be written.
        """
        journal = cls(path, machine)
        if not path.exists():
            head = {
                "format": FORMAT,
                "kit": kit.hash,
                **{name: kit.document[name] for name in ("spaces", "runs")},
                "steps": kit.steps,
                "date": time.strftime("%Y-%m-%d"),
                "machine": vars(machine),
            }
            _write_whole(path, f"# {json.dumps(head)}\n{','.join(COLUMNS)}\n".encode())
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
        kept = journal._take_up(content, kit)
        if kept != content:
            _write_whole(path, kept)
        return journal

    def _take_up(self, content: bytes, kit: Kit) -> bytes:
        """Note the steps that stand in the file whole, each once; return it with nothing else.

        Raises:
            MeasureError: from some line on it is of another machine.
        """
        lines = content.splitlines(keepends=True)
        rows = [_cells(line) for line in lines]
        for number, cells in enumerate(rows[2:], 3):
            if cells[0] not in ("", self.machine.id):
                raise MeasureError(
                    f"{self.path}, line {number}: from here on it was measured on another "
                    "machine than this; move the file away to start anew"
                )
        steps = {(task.name, str(turn)): task for turn, task in kit.turns}
        kept, dropped = lines[:2], set[int]()
        position = 2
        while position < len(lines):
            step = self._step(steps, rows[position])
            end = position + len(step)
            if not step or [cells[:5] for cells in rows[position:end]] != step:
                dropped.add(position)
                position += 1
                continue
            _, network, round_, *_ = rows[position]
            if (network, int(round_)) not in self.done:
                self.done.add((network, int(round_)))
                kept += lines[position:end]
            position = end
        if dropped and max(dropped) == len(lines) - 1:
            tail = len(lines) - 1
            while tail - 1 in dropped:
                tail -= 1
            whole = rows[tail:] if lines[-1].endswith(b"\n") else rows[tail:-1]
            step = self._step(steps, whole[0]) if whole else []
            if [cells[:5] for cells in whole] == step[: len(whole)]:
                dropped -= set(range(tail, len(lines)))  # it ended while it wrote this step
        self.unreadable = self._lost(kit, rows, dropped)
        return b"".join(kept)

    def _lost(self, kit: Kit, rows: list[list[str]], dropped: set[int]) -> int:
        """How many steps the dropped rows were of.

        They are told by what is readable, and by which are missing before later ones.
        """
        if not dropped:
            return 0
        order = [(task.name, turn) for turn, task in kit.turns]
        last = max((number for number, step in enumerate(order) if step in self.done), default=0)
        named = {(rows[number][1], int(rows[number][2] or 0)) for number in dropped}
        lost = (set(order[:last]) | named & set(order)) - self.done
        nameless_end = max(dropped) == len(rows) - 1 and not rows[-1][1]
        holes = sum(number - 1 not in dropped for number in dropped)
        return min(len(order) - len(self.done), max(len(lost) + nameless_end, holes))

    def _step(self, steps: Mapping[tuple[str, str], Task], first: list[str]) -> list[list[str]]:
        """How the rows of the step that `first` is of begin; none if it is of no step."""
        task = steps.get((first[1], first[2]))
        if task is None:
            return []
        units = [(WHOLE, task.key), *task.units][: 1 + len(task.units) * task.by_unit]
        return [[self.machine.id, task.name, first[2], *unit] for unit in units]

    def add(self, task: Task, round_: int, times: np.ndarray, reference_ms: float) -> None:
        """Append one step: times divided by the reference's `(runs, 1 [+ units])`.

        Raises:
            StoppedError: it cannot be written, or but in part, which the next start takes away.
        """
        stream = io.StringIO(newline="")
        writer = csv.writer(stream, lineterminator="\n")
        for (unit, key), column in zip(((WHOLE, task.key), *task.units), times.T, strict=False):
            timing = Timing.of(column)
            figures = (timing.median, timing.min, timing.iqr, reference_ms)
            texts = (f"{value:.6g}" for value in figures)
            writer.writerow((self.machine.id, task.name, round_, unit, key, timing.runs, *texts))
        try:
            with self.path.open("a", encoding="utf-8", newline="\n") as file:
                file.write(stream.getvalue())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _unwritten(self.path, error) from error
        self.done.add((task.name, round_))


def _cells(line: bytes) -> list[str]:
    """The cells of a row; empty ones where it was cut off or is no row of such a file."""
    text = line.decode(errors="replace")
    try:
        cells = next(csv.reader([text]), [])
        machine, _, round_, _, _, runs, *figures = cells
        whole = text.endswith("\n") and "\0" not in text and len(cells) == len(COLUMNS)
        whole = whole and len(machine) == 8 and set(machine) <= set(string.hexdigits)
        whole = whole and round_.isdecimal() and int(runs) > 0
        whole = whole and all(0 <= float(figure) < math.inf for figure in figures)
    except (csv.Error, ValueError):
        whole, cells = False, []
    return cells if whole else [""] * len(COLUMNS)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Be the only process that measures into a folder; made if it is not there.

    The lock is the system's, on the folder itself: it leaves nothing behind, and a process that is
    killed has it no longer.

    Raises:
        MeasureError: another one is measuring into it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise MeasureError(
                    f"another process is measuring into {folder.absolute()}; let it end, or stop "
                    "it and start again"
                ) from None
        yield
    finally:
        os.close(handle)


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, whatever happens.

    Raises:
        StoppedError: it cannot be written; what was there stays.
    """
    temporary = path.with_name(f"{path.name}.new")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise _unwritten(path, error) from error


def _unwritten(path: Path, error: OSError) -> StoppedError:
    return StoppedError(f"cannot write {path}: {error.strerror or error}")


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
