"""Workers that are Ray's actors, on this machine or on a cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from ofa_pose.errors import MissingExtraError, OfaPoseError
from ofa_pose.search.workers import Affinity, Pool, attempt, moved, unpacked

_PATIENCE = 10.0  # seconds until it is told that actors wait for processors
_LOG = logging.getLogger(__name__)


def ray_pool(
    function: Callable[[Any], Any],
    *,
    count: int | None = None,
    address: str = "",
    gpu: bool = False,
    affinity: Affinity | None = None,
) -> Pool[Any, Any]:
    """Return actors that work off `function`, each with one processor, and one GPU if asked.

    Where there are not as many free, the rest waits until there are, which is told once.

    Args:
        function: goes once into Ray's object store, whence every actor has its copy. A cluster's
            nodes need this package, and the pictures at the same paths.
        count: how many actors; None is one a processor, or one a GPU.
        address: `ray://host:port` of a cluster; empty starts Ray on this machine, unless it runs
            in this process already.
        gpu: each actor calls `function.to("cuda")`, which is the GPU that Ray gives it.
        affinity: see `Pool`.

    Raises:
        MissingExtraError: Ray is not installed.
        OfaPoseError: Ray cannot be started or reached.
    """
    try:
        import ray  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingExtraError(
            "--workers ray needs the extra ray: pip install 'ofa-pose[ray]'"
        ) from error
    begun = not ray.is_initialized()
    if begun:
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        local: dict[str, Any] = {"num_cpus": count, "include_dashboard": False}
        try:
            ray.init(
                address=address or "local",
                configure_logging=False,
                log_to_driver=False,
                **({} if address else local),
            )
        except Exception as error:  # Ray raises whatever its parts raise
            where = address or "on this machine"
            reason = " ".join(str(error).split())[:200]
            raise OfaPoseError(f"Ray cannot be used {where}: {reason}") from error
    if count is None:
        count = max(1, int(ray.cluster_resources().get("GPU" if gpu else "CPU", 1)))
    # What this program began is all its own; its processors may not yet be told as free.
    known = ray.cluster_resources() if begun and not address else ray.available_resources()
    free = min(int(known.get(kind, 0)) for kind in (("CPU", "GPU") if gpu else ("CPU",)))
    return _RayPool(ray, function, count, begun=begun, gpu=gpu, affinity=affinity, free=free)


class _RayPool(Pool[Any, Any]):
    def __init__(
        self,
        ray: Any,
        function: Callable[[Any], Any],
        count: int,
        *,
        begun: bool,
        gpu: bool,
        affinity: Affinity | None,
        free: int,
    ) -> None:
        self._ray = ray
        self._begun = begun  # here, and not by the program that searches
        shared = ray.put(function)
        actor = ray.remote(num_cpus=1, num_gpus=int(gpu), max_restarts=0)(_Actor)
        device = "cuda" if gpu else None
        self._timer: threading.Timer | None = None
        super().__init__(
            lambda _: RayWorker(ray, actor.remote(shared, device)), count, affinity=affinity
        )
        if count > free:
            kind = "a processor and a GPU" if gpu else "a processor"
            self._timer = threading.Timer(_PATIENCE, self._tell_waiting, (kind, free))
            self._timer.daemon = True
            self._timer.start()

    def _tell_waiting(self, kind: str, free: int) -> None:
        """Say what actors wait for that have not begun."""
        workers = [worker for worker in tuple(self._places) if isinstance(worker, RayWorker)]
        waiting = sum(not worker.begun for worker in workers)
        if waiting:
            _LOG.warning(
                "%d of %d Ray workers have not begun: each needs %s of its own, of which %d were "
                "free; archs that are given to them wait until more are, or stop and give "
                "fewer --workers",
                *(waiting, len(workers), kind, free),
            )

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().close()
        if self._begun:
            self._ray.shutdown()


class _Actor:
    """What runs in Ray's process."""

    def __init__(self, function: Callable[[Any], Any], device: str | None) -> None:
        self._function = moved(function, device)

    def begin(self) -> None:
        """Do nothing, which is done as soon as the actor has begun."""

    def work(self, task: Any) -> tuple[Any, Exception | None]:
        """Return the result, or the exception, which Ray would wrap in one of its own."""
        return attempt(self._function, task)


class RayWorker:
    """One actor."""

    name: str = "a Ray worker"

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray = ray
        self._actor = actor
        self._first: Future[Any] = actor.begin.remote().future()
        self.lost: tuple[type[Exception], ...] = (
            ray.exceptions.RayActorError,
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.OutOfMemoryError,  # Ray killed it before the machine ran out
        )

    @property
    def begun(self) -> bool:
        """Whether it has begun, or died before it could."""
        return self._first.done()

    def submit(self, task: Any) -> Future[Any]:
        """Start on a task."""
        return unpacked(self._actor.work.remote(task).future())

    def stop(self) -> None:
        """Kill the actor."""
        with contextlib.suppress(Exception):  # it may be dead, and Ray gone
            self._ray.kill(self._actor)

    def end(self, error: BaseException) -> str:
        """Return what Ray says last of an actor that died or could not even begin."""
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return lines[-1][:200] if lines else ""
