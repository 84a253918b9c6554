"""Ctrl-C held back while something must not be left half done; SIGTERM and SIGHUP taken as one."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[None]:
    """Hold a Ctrl-C back until the block has ended, then raise `KeyboardInterrupt`.

    Outside the main thread, where Python delivers no signals, and where Ctrl-C is ignored
    (`nohup`), the block just runs.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None):
        yield
        return
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if received:
        if callable(before):
            before(signal.SIGINT, None)
        else:
            raise KeyboardInterrupt


@contextlib.contextmanager
def terminated_as_interrupted(*, hangup: bool = False) -> Iterator[None]:
    """Take SIGTERM, which schedulers send before they take a machine away, as a Ctrl-C.

    Only the first: some send it to a process and then to its group, and the second must not stop
    what the first one has begun.
    Outside the main thread, and where either signal is ignored or has a handler of its own, the
    block just runs.

    Args:
        hangup: take SIGHUP likewise, which comes when a terminal is closed, where there is one.
    """
    in_main = threading.current_thread() is threading.main_thread()
    names = ("SIGTERM", "SIGHUP") if hangup else ("SIGTERM",)
    known = [getattr(signal, name) for name in names if hasattr(signal, name)]
    plain = [number for number in known if signal.getsignal(number) == signal.SIG_DFL]
    if not in_main or not plain or signal.getsignal(signal.SIGINT) != signal.default_int_handler:
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in plain:
            signal.signal(number, _nothing)
        signal.raise_signal(signal.SIGINT)

    for number in plain:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in plain:
            signal.signal(number, signal.SIG_DFL)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Receive a signal; unlike SIG_IGN, a process that is started does not inherit it."""


@contextlib.contextmanager
def noted_interrupt() -> Iterator[Callable[[], bool]]:
    """Only note a Ctrl-C inside the block; yields a function that tells whether one came.

    For processes that must stop together. Where `deferred_interrupt` does nothing, nor does this.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None):
        yield lambda: False
        return
    note = _Note(signal.getsignal(signal.SIGINT))
    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: note.received
    finally:
        signal.signal(signal.SIGINT, note.before)


@contextlib.contextmanager
def heeded_interrupt() -> Iterator[None]:
    """Inside a `noted_interrupt`, let a Ctrl-C stop the block at once; a noted one stops it, too.

    For long work in which no process waits for another that has stopped.
    """
    note = signal.getsignal(signal.SIGINT)
    if not isinstance(note, _Note) or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, note.before)
    try:
        if note.received:
            raise KeyboardInterrupt
        yield
    finally:
        signal.signal(signal.SIGINT, note)


class _Note:
    """A handler that only notes that the signal came."""

    def __init__(self, before: Any) -> None:
        self.before = before
        self.received = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.received = True
