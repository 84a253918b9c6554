"""What is told while measuring: a line that cannot be told ends no work."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO


def say(text: str, *, error: bool = False) -> None:
    """Print a line at once, if that can be done.

    The terminal may be gone, the disk of the file that it goes to may be full.
    """
    stream = sys.stderr if error else sys.stdout
    with suppress(OSError):
        print(text, file=stream, flush=True)


def give_up_untold() -> None:
    """Drop what could not be printed, over which Python would stumble when it ends."""
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None where it was closed
        try:
            stream.flush()
        except OSError:
            _drop(stream)


def _drop(stream: TextIO) -> None:
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
