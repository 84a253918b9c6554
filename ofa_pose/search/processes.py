"""Workers that are processes of this machine, by the standard library's executors."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import Any

from ofa_pose.errors import OfaPoseError
from ofa_pose.memory import keep_freed_memory
from ofa_pose.search.workers import RETRIES, Affinity, Pool, attempt, moved, unpacked
from ofa_pose.signals import held_back


def process_pool(
    function: Callable[[Any], Any],
    count: int,
    *,
    devices: Sequence[str] = (),
    affinity: Affinity | None = None,
) -> Pool[Any, Any]:
    """Return `count` processes that work off `function`, each on one of the devices, if any.

    They are spawned, not forked, because a fork of a process with torch's threads may hang. What
    `function` brings along is pickled by multiprocessing: tensors go into memory that all
    processes share and are not copied. A process ends with this one, however this one ends.
    """

    def start(place: int) -> ProcessWorker:
        return ProcessWorker(function, devices[place % len(devices)] if devices else None)

    return Pool(start, count, affinity=affinity)


class ProcessWorker:
    """One process: an executor of its own, so that its death is its own, too."""

    lost: tuple[type[Exception], ...] = (BrokenProcessPool,)

    def __init__(self, function: Callable[[Any], Any], device: str | None = None) -> None:
        self._begun_with = function, device
        self._start()
        self._pid: int | None = None
        self._process: BaseProcess | None = None

    def _start(self) -> None:
        self._executor = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        # The function goes as a task, not as an initializer, whose errors would be lost.
        with held_back(signal.SIGINT):
            self._started = self._executor.submit(_begin, *self._begun_with)

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return "a worker" if self._pid is None else f"worker {self._pid}"

    def submit(self, task: Any) -> Future[Any]:
        """Start on a task, after the function has arrived."""
        if self._pid is None:
            self._pid = self._arrived()
            self._process = _child(self._pid)
        return unpacked(self._executor.submit(_work, task))

    def _arrived(self) -> int:
        """Wait until the process has the function; one that dies before is started anew."""
        deaths = 0
        while True:
            try:
                return self._started.result()
            except BrokenProcessPool as error:
                deaths += 1
                self._executor.shutdown(wait=False)
                if deaths > RETRIES:
                    raise OfaPoseError(
                        f"a worker process died {deaths} times before it began: what archs are "
                        "scored with cannot be imported there (it must stand in a file, started "
                        'under `if __name__ == "__main__":`), or memory is too little for so '
                        "many. What was scored is kept"
                    ) from error
            except Exception as error:
                raise OfaPoseError(
                    f"what archs are scored with cannot go to a worker process: {error}"
                ) from error
            self._start()

    def stop(self) -> None:
        """Kill the process; the executor clears up after it."""
        with contextlib.suppress(Exception):  # it died already, or never began
            if self._pid is None:
                self._pid = self._started.result()
            os.kill(self._pid, getattr(signal, "SIGKILL", signal.SIGTERM))  # Windows has no KILL
        self._executor.shutdown(wait=True, cancel_futures=True)

    def end(self, error: BaseException) -> str:
        """Return how the process has ended, such as `killed by SIGKILL`."""
        del error  # always says the same
        code = None if self._process is None else self._process.exitcode
        if code is None:
            return ""
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"


_FUNCTION: list[Callable[[Any], Any]] = []
"""In a worker: what it works off."""


def _begin(function: Callable[[Any], Any], device: str | None) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that has the results
    threading.Thread(target=_end_with_parent, daemon=True).start()
    keep_freed_memory()
    _FUNCTION[:] = [moved(function, device)]
    return os.getpid()


def _work(task: Any) -> tuple[Any, Exception | None]:
    return attempt(_FUNCTION[0], task)


def _child(pid: int) -> BaseProcess | None:
    children = multiprocessing.active_children()
    return next((child for child in children if child.pid == pid), None)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
