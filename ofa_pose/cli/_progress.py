"""How far a long job is: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self, cast

from ofa_pose.cli._console import PREFIX, Told, tell

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PLAIN_SECONDS = 10.0
_STEPS = 1000  # a bar is drawn in thousandths, as a job in minutes has no number of steps


class Meter:
    """Shows the progress of one job on standard error; a context manager.

    Args:
        title: what the job is, such as `train`.
        plain: print lines where there is no terminal (off where the log tells enough).
        bar: draw a bar where there is one (off where another process draws it).
    """

    def __init__(self, title: str, *, plain: bool = True, bar: bool = True) -> None:
        self._title = title
        self._plain = plain
        self._draws = bar
        self._told_at = time.monotonic()
        self._started_at = self._told_at
        self._first: tuple[float, float] | None = None  # when, and how much was done then
        self._told_end = False
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self._draws and sys.stderr.isatty():
            self._bar = _bar()
            self._task = self._bar.add_task(self._title, total=_STEPS, figures="")
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(
        self,
        done: int,
        total: int | None,
        figures: Mapping[str, float] | None = None,
        *,
        fraction: float | None = None,
        of: str = "",
    ) -> None:
        """Show that `done` of `total` is done; `fraction` where the total is not known.

        Args:
            done: finished parts.
            total: all parts, or None.
            figures: what is worth watching, such as the loss.
            fraction: 0 to 1; by default `done / total`.
            of: what all of the figures are, such as `best AP`.
        """
        if fraction is None:
            fraction = done / total if total else 0.0
        text = _figures(figures or {}, of)
        if self._bar is not None and self._task is not None:
            count = f"{done}/{total}" if total else f"{done}"
            self._bar.update(
                self._task, completed=fraction * _STEPS, figures=f"{count}  {text}".rstrip()
            )
            return
        now = time.monotonic()
        self._first = self._first or (now, fraction)
        ended = total is not None and done >= total > 0
        if self._plain and (now - self._told_at >= PLAIN_SECONDS or (ended and not self._told_end)):
            self._told_at, self._told_end = now, ended
            count = f"{done} of {total}" if total else f"{done}"
            passed = now - self._started_at
            left = _left(now, fraction, since=self._first)
            parts = [part for part in (f"{fraction:.0%}", f"{passed:.0f} s", left, text) if part]
            tell(f"{PREFIX}: {self._title} {count} ({', '.join(parts)})")


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.progress import TimeRemainingColumn as Remaining
    from rich.table import Column

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        Remaining(),
        TextColumn("left"),
        # On a narrow terminal the figures take several lines rather than being cut off.
        TextColumn("{task.fields[figures]}", table_column=Column(overflow="fold")),
        console=Console(file=cast(IO[str], Told())),
        redirect_stdout=True,
        redirect_stderr=True,
    )


def _left(now: float, fraction: float, *, since: tuple[float, float]) -> str:
    """Guess the time left by the pace since something was first shown.

    Getting started takes time that does not come again, and a resumed job begins half-way.
    """
    start, before = since
    if not before < fraction < 1:
        return ""
    seconds = (now - start) * (1 - fraction) / (fraction - before)
    return f"{seconds:.0f} s left" if seconds < 120 else f"{seconds / 60:.0f} min left"


def _figures(figures: Mapping[str, float], of: str) -> str:
    told = ", ".join(f"{name} {value:.4g}" for name, value in figures.items() if name != "fraction")
    return f"{of} {told}".strip()
