"""What a person or a program sees: lines, tables, JSON, one-line errors, log messages."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
import traceback as tracebacks
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

PREFIX = "ofa-pose"


def line(text: str = "") -> None:
    """Print one line on standard output."""
    sys.stdout.write(f"{text}\n")


def emit_json(document: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print one JSON document on standard output; paths become strings."""
    line(json.dumps(document, indent=2, default=str))


class Told:
    """Standard error, on which what cannot be told is lost: no work ends for it.

    Its terminal may be gone, the disk of the file that it goes to may be full.
    """

    def __init__(self) -> None:
        self._stream = sys.stderr

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Print a text if that can be done."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Print what was held back, if that can be done."""
        with contextlib.suppress(OSError):
            self._stream.flush()


def tell(text: str) -> None:
    """Print one line on standard error, at once."""
    told = Told()
    told.write(f"{text}\n")
    told.flush()


def error(message: str) -> None:
    """Print `ofa-pose: error: ...` on standard error, on one line whatever the message holds."""
    tell(f"{_who()}: error: {one_line(message)}")


def _who() -> str:
    """Return who speaks: of the processes that torchrun started, all but the first are numbered."""
    rank = os.environ.get("RANK", "0")
    return PREFIX if rank == "0" else f"{PREFIX}[{rank}]"


@contextlib.contextmanager
def only_faults(*, when: bool) -> Iterator[None]:
    """Print nothing but warnings and errors while the block runs, if `when` holds."""
    if not when:
        yield
        return
    logger = logging.getLogger("ofa_pose")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(before)


def one_line(text: str) -> str:
    """Join the lines of a message with semicolons."""
    parts = [part.strip() for part in text.splitlines() if part.strip()]
    joined = ""
    for part in parts:
        separator = "" if not joined else " " if joined[-1] in ":;,." else "; "
        joined += separator + part.removeprefix("- ")
    return joined


def traceback(error: BaseException) -> None:
    """Print the whole traceback of an error on standard error."""
    sys.stderr.write("".join(tracebacks.format_exception(error)))


def table(headers: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> None:
    """Print a table: ruled on a terminal, aligned plain columns elsewhere.

    On a terminal cells wrap between words; where that is not enough, each row is a list.
    Columns whose every cell is a number (with or without a unit) are aligned to the right.
    """
    cells = [[_text(cell) for cell in row] for row in rows]
    right = [
        bool(cells) and all(_looks_numeric(row[i]) for row in cells) for i in range(len(headers))
    ]
    if sys.stdout.isatty():
        _ruled(headers, cells, right=right, title=title)
        return
    widths = [
        max(len(text) for text in (header, *(row[i] for row in cells)))
        for i, header in enumerate(headers)
    ]
    if title:
        line(title)
    for row in ([str(header) for header in headers], *cells):
        padded = [
            text.rjust(width) if flush else text.ljust(width)
            for text, width, flush in zip(row, widths, right, strict=True)
        ]
        line("  ".join(padded).rstrip())


def _ruled(
    headers: Sequence[str], cells: Sequence[Sequence[str]], *, right: Sequence[bool], title: str
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False, highlight=False)
    edges = 3 * len(headers) + 1  # two blanks a column, and what stands between and around them
    widths = _widths([headers, *cells], room=console.width - edges)
    if widths is None:
        _listed(headers, cells, title=title)
        return
    ruled = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left")
    for header, flush, width in zip(headers, right, widths, strict=True):
        ruled.add_column(header, justify="right" if flush else "left", width=width)
    for row in cells:
        ruled.add_row(*row)
    console.print(ruled)


def _widths(rows: Sequence[Sequence[str]], *, room: int) -> list[int] | None:
    """The columns' widths: together at most `room`, no word broken; None where there are none."""
    from rich.cells import cell_len

    columns = list(zip(*rows, strict=True))
    widths = [max(cell_len(word) for text in column for word in [*text.split(), ""])
              for column in columns]  # fmt: skip
    spare = room - sum(widths)
    if spare < 0:
        return None
    wanted = [max(map(cell_len, column)) for column in columns]
    for column in sorted(range(len(columns)), key=lambda column: wanted[column] - widths[column]):
        given = min(spare, wanted[column] - widths[column])
        widths[column] += given
        spare -= given
    return widths


def _listed(headers: Sequence[str], cells: Sequence[Sequence[str]], *, title: str) -> None:
    """Print a table that is too wide for its terminal, a line a cell."""
    if title:
        line(title)
    width = max(map(len, headers))
    for row in cells:
        line()
        for header, text in zip(headers, row, strict=True):
            line(f"{header.ljust(width)}  {text}")


def _text(cell: object) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, int) and not isinstance(cell, bool):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:.3f}"
    return str(cell)


def _looks_numeric(text: str) -> bool:
    return text == "-" or text[:1].isdigit()


class _StderrHandler(logging.Handler):
    """Writes messages to whatever `sys.stderr` is now, so that a progress bar can move aside."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            return  # told once, as the command's last line; the run's log.txt has it too
        label = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        tell(f"{_who()}: {label}{one_line(record.getMessage())}")


@contextlib.contextmanager
def logging_to_stderr() -> Iterator[None]:
    """Show the package's messages from INFO on while the block runs."""
    logger = logging.getLogger("ofa_pose")
    handler = _StderrHandler(logging.INFO)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
