"""Exporters talk too much: their chatter goes nowhere, unless they fail."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Swallow what this process and its children write while the block runs.

    The file descriptors themselves are turned away, as exporters are programs in C++; what they
    said is added as a note to an exception that leaves the block.
    """
    before = logging.root.manager.disable
    with tempfile.TemporaryFile() as sink:
        _flush()  # what was printed before the block is not swallowed
        saved = [os.dup(1), os.dup(2)]
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
        logging.disable(logging.WARNING)
        try:
            yield
        except Exception as error:
            _flush()
            sink.seek(0)
            error.add_note(sink.read()[-2000:].decode(errors="replace"))
            raise
        finally:
            _flush()  # nor does what is printed in the block come out after it
            logging.disable(before)
            for number, descriptor in zip(saved, (1, 2), strict=True):
                os.dup2(number, descriptor)
                os.close(number)


def _flush() -> None:
    """Write out what Python holds back for a stream that is no terminal."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
