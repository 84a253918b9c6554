"""Where archs are evaluated: in this process, in a pool of processes, or by Ray's actors.

Whatever evaluates them, and in whatever order they are done, the outcome of an arch is the same,
so a search that tells each outcome by its arch does not depend on its workers.
"""

from __future__ import annotations

import logging
import pickle
import re
import traceback
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from ofa_pose.errors import OfaPoseError, UsageError, WorkerLostError
from ofa_pose.space import Arch, SearchSpace

Task = TypeVar("Task", bound=Hashable)
Result = TypeVar("Result", covariant=True)
Affinity = Callable[[Any], Hashable]
_LOG = logging.getLogger(__name__)

RETRIES = 2
"""How often a task is tried again after its worker died."""


class Workers(Protocol[Task, Result]):
    """Whoever works off tasks, for a search the indices of archs.

    An exception is an outcome like any other: it is yielded, not raised, and the others go on.
    """

    def evaluate(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Result | Exception]]:
        """Yield each task with its outcome, in any order of completion."""
        ...

    def close(self) -> None:
        """Give back processes and connections; nothing is evaluated afterwards."""
        ...


class OfArch(Generic[Result]):
    """A function of archs as one of their indices, which are what a search hands out."""

    def __init__(self, space: SearchSpace, evaluate: Callable[[Arch], Result]) -> None:
        self._space = space
        self._evaluate = evaluate

    def __call__(self, index: int) -> Result:
        """Evaluate the arch with this index."""
        return self._evaluate(self._space[index])

    def to(self, device: str) -> OfArch[Result]:
        """Return the function on another device, where what evaluates can be moved."""
        return OfArch(self._space, moved(self._evaluate, device))


def moved(function: Any, device: str | None) -> Any:
    """Return `function.to(device)`; `function` itself where no device is named."""
    return function if device is None else function.to(device)


class InProcess(Generic[Task, Result]):
    """Evaluates one task after the other, here, each when it is asked for."""

    def __init__(self, function: Callable[[Task], Result]) -> None:
        self._function = function

    def evaluate(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Result | Exception]]:
        """Yield the tasks in order."""
        for task in tasks:
            try:
                outcome = self._function(task)
            except Exception as error:
                outcome = error
            yield task, outcome

    def close(self) -> None:
        """Nothing is held."""


class Worker(Protocol):
    """One process somewhere that works off one task at a time."""

    @property
    def name(self) -> str:
        """What to call it in messages."""
        ...

    @property
    def lost(self) -> tuple[type[Exception], ...]:
        """What its futures raise when the process has died."""
        ...

    def submit(self, task: Any) -> Future[Any]:
        """Start on a task."""
        ...

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        ...

    def end(self, error: BaseException) -> str:
        """Return how a process that died has ended; empty where it is not known.

        Args:
            error: one of `lost`, which its future raised.
        """
        ...


def attempt(function: Callable[[Any], Any], task: Any) -> tuple[Any, None] | tuple[None, Exception]:
    """Return, in a worker, a task's result or the exception it ended in, fit to be sent away.

    The exception has the worker's traceback as a note. One that pickle cannot make again is
    replaced by its nearest base that is made of a message alone.
    """
    try:
        return function(task), None
    except Exception as error:
        note = f"In a worker:\n{''.join(traceback.format_exception(error)).rstrip()}"
        try:
            same = type(pickle.loads(pickle.dumps(error))) is type(error)
        except Exception:
            same = False
        sent = error if same else _with_message_only(error)
        sent.add_note(note)
        return None, sent


def unpacked(sent: Future[tuple[Any, Exception | None]]) -> Future[Any]:
    """Return the future of a task whose worker sends what `attempt` returns."""
    outcome: Future[Any] = Future()

    def finish(done: Future[tuple[Any, Exception | None]]) -> None:
        if done.cancelled():
            outcome.cancel()
            return
        result, error = None, done.exception()
        if error is None:
            result, error = done.result()
        if error is None:
            outcome.set_result(result)
        else:
            outcome.set_exception(error)

    sent.add_done_callback(finish)
    return outcome


def _with_message_only(error: Exception) -> OfaPoseError:
    for kind in type(error).mro():
        if issubclass(kind, OfaPoseError) and kind.__init__ is OfaPoseError.__init__:
            return kind(str(error))
    return OfaPoseError(f"{type(error).__name__}: {error}")


class Pool(Generic[Task, Result]):
    """Several workers; one that dies is replaced and its task tried again, at most twice.

    After that the outcome of the task is a `WorkerLostError`: what it needs kills a worker. A
    worker has one task at a time, so that it is known which task a dead one was at.

    Args:
        start: makes the worker of a place, from 0; called again with it if that worker died.
        count: how many places there are.
        affinity: what of a task a worker keeps ready for others of the same; a task goes rather
            to the worker that did the last such, unless that one is busy and another would idle.

    Raises:
        UsageError: `count` below 1.
    """

    def __init__(
        self, start: Callable[[int], Worker], count: int, *, affinity: Affinity | None = None
    ) -> None:
        if count < 1:
            raise UsageError(f"there must be at least 1 worker, not {count}")
        self._start = start
        self._idle: list[Worker] = []
        self._busy: dict[Future[Any], tuple[Worker, Any]] = {}
        self._places: dict[Worker, int] = {}
        self._affinity = affinity
        self._ready: dict[Hashable, Worker] = {}
        try:
            for place in range(count):
                self._begin(place)
        except BaseException:
            self.close()
            raise

    def evaluate(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Result | Exception]]:
        """Yield each task with its outcome as it is done; leaving early leaves the rest undone."""
        waiting = deque(tasks)
        deaths = dict.fromkeys(tasks, 0)
        self._forget()
        while waiting or self._busy:
            while waiting and self._idle:
                worker = self._idle.pop()
                self._give(self._next(waiting, worker), worker)
            done, _ = wait(self._busy, return_when=FIRST_COMPLETED)
            for future in done:
                worker, task = self._busy.pop(future)
                error = future.exception()
                if not isinstance(error, worker.lost):
                    self._idle.append(worker)
                    if error is not None and not isinstance(error, Exception):
                        raise error
                    yield task, future.result() if error is None else error
                    continue
                self._replace(worker)
                end = worker.end(error)
                end = f", {end}" if end else ""
                deaths[task] += 1
                if deaths[task] <= RETRIES:
                    _LOG.warning(
                        "%s died%s, and is replaced; its task is tried again", worker.name, end
                    )
                    waiting.appendleft(task)
                else:
                    yield task, WorkerLostError(f"its worker died {deaths[task]} times{end}")

    def close(self) -> None:
        """End all workers."""
        workers = list(self._places)  # also one that failed to start on a task
        self._busy.clear()
        self._idle.clear()
        self._places.clear()
        for worker in workers:
            worker.stop()

    def _next(self, waiting: deque[Any], worker: Worker) -> Any:
        """Take out the task that suits a worker best: of its own, of nobody's, or any."""
        if self._affinity is None:
            return waiting.popleft()
        owners = [self._ready.get(self._affinity(task)) for task in waiting]
        alive = [owner if owner in self._places else None for owner in owners]
        place = next((alive.index(owner) for owner in (worker, None) if owner in alive), 0)
        task = waiting[place]
        del waiting[place]
        self._ready[self._affinity(task)] = worker
        return task

    def _give(self, task: Any, worker: Worker) -> None:
        try:
            future: Future[Any] = worker.submit(task)
        except worker.lost as error:  # it died while it was idle
            future = Future()
            future.set_exception(error)
        self._busy[future] = worker, task

    def _forget(self) -> None:
        """Replace the workers that an earlier call, left early, has left at work."""
        abandoned = [worker for worker, _ in self._busy.values()]
        self._busy.clear()
        for worker in abandoned:
            self._replace(worker)

    def _replace(self, worker: Worker) -> None:
        worker.stop()
        self._begin(self._places.pop(worker))

    def _begin(self, place: int) -> None:
        worker = self._start(place)
        self._places[worker] = place
        self._idle.append(worker)


@dataclass(frozen=True)
class WorkersSpec:
    """How many workers, and whose; read from `4`, `ray`, `ray:4`, `ray://host:port[/4]`.

    Attributes:
        count: how many; None is as many as Ray has processors.
        ray: whether they are Ray's.
        address: of a Ray cluster to join; empty starts one on this machine.
    """

    count: int | None
    ray: bool = False
    address: str = ""

    @classmethod
    def parse(cls, text: str) -> WorkersSpec:
        """Read what was given as `--workers`.

        Raises:
            UsageError: it is none of the forms.
        """
        found = re.fullmatch(r"(\d+)|ray(?::(\d+)|(://[^/\s]+:\d+)(?:/(\d+))?)?", text.strip())
        counts = [group for group in found.group(1, 2, 4) if group] if found else []
        if found is None or "0" in {count.lstrip("0") or "0" for count in counts}:
            raise UsageError(
                f"workers are a number above 0, 'ray', 'ray:4' or 'ray://host:port', or 'auto' on "
                f"the command line, not {text!r}"
            )
        count = int(counts[0]) if counts else None
        address = f"ray{found.group(3)}" if found.group(3) else ""
        return cls(count, ray=found.group(1) is None, address=address)


def open_workers(
    function: Callable[[Any], Any],
    spec: WorkersSpec,
    *,
    devices: Sequence[str] = (),
    affinity: Affinity | None = None,
) -> Workers[Any, Any]:
    """Return the workers that `spec` describes; `close` them in the end.

    Args:
        function: works off one task. For other processes it is pickled once a worker; a method
            of an object brings the object along, tensors in shared memory where the worker is a
            process of this machine.
        spec: one process is this one.
        devices: GPUs that other processes compute on, taken in turn; each calls
            `function.to(device)` once. Ray gives every worker one GPU of its own instead.
        affinity: see `Pool`.

    Raises:
        MissingExtraError: Ray is not installed.
        OfaPoseError: the workers cannot be started.
    """
    if spec.ray:
        from ofa_pose.search.ray_workers import ray_pool

        return ray_pool(
            function,
            count=spec.count,
            address=spec.address,
            gpu=bool(devices),
            affinity=affinity,
        )
    if spec.count is None or spec.count == 1:
        return InProcess(function)
    from ofa_pose.search.processes import process_pool

    return process_pool(function, spec.count, devices=devices, affinity=affinity)
