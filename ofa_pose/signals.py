"""Signals that are held back while processes are started, which are deaf to them from then on."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def held_back(*numbers: signal.Signals) -> Iterator[None]:
    """Hold signals back from this thread; those that came arrive at the end of the block.

    A process inherits the signals that are blocked, so one that is started inside is deaf to them
    from its first moment. Where a system blocks no signals (Windows), the block just runs.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
