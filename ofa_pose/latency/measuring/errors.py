"""What can go wrong while measuring."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


class MeasureError(Exception):
    """What the user can do something about; one line."""


class StoppedError(MeasureError):
    """The measurement ended on its way: what was measured is kept, and is gone on with."""


@contextmanager
def told_as(where: str) -> Iterator[None]:
    """Say where it was that a runtime raised something, whatever it is.

    Args:
        where: the runtime and the network.

    Raises:
        StoppedError: something was raised.
        ImportError: what the runtime needs is not installed.
    """
    try:
        yield
    except ImportError:  # of no network in particular
        raise
    except MeasureError as error:
        raise StoppedError(f"{where}: {error}") from error
    except Exception as error:
        raise StoppedError(f"{where}: {in_one_line(error)}") from error


def in_one_line(error: Exception) -> str:
    """What a runtime raised, which may be short of something."""
    reason = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    try:
        disk = f"the disk of {tempfile.gettempdir()}"
    except OSError:  # it tries to write into every folder that it might name
        disk = "every disk"
    return f"{reason} (is the memory full, or {disk}?)"
