"""What goes wrong in a converter or a runtime, told in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ofa_pose.errors import ConversionError, OfaPoseError


@contextmanager
def told(who: str) -> Iterator[None]:
    """Turn what the block raises into an error of ours.

    Raises:
        ConversionError: the block raised an error of others; it has the first line of it.
    """
    try:
        yield
    except OfaPoseError:
        raise
    except Exception as error:  # their own types, which derive from nothing in common
        said = lines_of(str(error)) or [type(error).__name__]
        raise ConversionError(f"{who} stopped: {said[0]}") from error


def lines_of(text: str) -> list[str]:
    """Return the lines of a text that are not blank."""
    return [line.strip() for line in text.splitlines() if line.strip()]
