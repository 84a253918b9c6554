"""Ray's workers, with a pretended Ray that has so many processors and kills as it is told."""

from __future__ import annotations

import sys
import threading
import types
from concurrent.futures import Future
from typing import Any

import pytest

from ofa_pose.errors import WorkerLostError
from ofa_pose.search import ray_workers
from ofa_pose.search.ray_workers import ray_pool


class RayActorError(Exception):
    pass


class WorkerCrashedError(Exception):
    pass


class OutOfMemoryError(Exception):
    pass


class Reference:
    def __init__(self, future: Future[Any]) -> None:
        self._future = future

    def future(self) -> Future[Any]:
        return self._future


class Method:
    def __init__(self, actor: Actor, name: str) -> None:
        self._actor, self._name = actor, name

    def remote(self, *arguments: Any) -> Reference:
        future: Future[Any] = Future()
        self._actor.calls.append((future, self._name, arguments))
        self._actor.go_on()
        return Reference(future)


class Actor:
    """Works its calls off once it has a processor; dies of tasks below 0, `deaths` times."""

    def __init__(self, ray: PretendedRay, instance: Any) -> None:
        self.ray, self.instance = ray, instance
        self.calls: list[tuple[Future[Any], str, Any]] = []
        self.placed = ray.take_processor()
        self.begin, self.work = Method(self, "begin"), Method(self, "work")

    def go_on(self) -> None:
        while self.placed and self.calls:
            future, name, arguments = self.calls.pop(0)
            if name == "work" and arguments[0] < 0 and self.ray.deaths:
                future.set_exception(self.ray.deaths.pop())
                continue
            future.set_result(getattr(self.instance, name)(*arguments))


class PretendedRay(types.ModuleType):
    def __init__(self, processors: int) -> None:
        super().__init__("ray")
        self.total = self.free = processors
        self.actors: list[Actor] = []
        self.deaths: list[Exception] = []
        self.exceptions = types.SimpleNamespace(
            RayActorError=RayActorError,
            WorkerCrashedError=WorkerCrashedError,
            OutOfMemoryError=OutOfMemoryError,
        )

    def is_initialized(self) -> bool:
        return True

    def put(self, value: Any) -> Any:
        return value

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": float(self.total)}

    def available_resources(self) -> dict[str, float]:
        return {"CPU": float(self.free)} if self.free else {}

    def take_processor(self) -> bool:
        self.free -= self.free > 0
        return len(self.actors) < self.total

    def remote(self, **_: Any) -> Any:
        def declare(kind: type) -> Any:
            def make(*arguments: Any) -> Actor:
                self.actors.append(actor := Actor(self, kind(*arguments)))
                return actor

            return types.SimpleNamespace(remote=make)

        return declare

    def kill(self, actor: Actor) -> None:
        if actor.placed:
            actor.placed = False
            self.total += 1  # one more actor may be placed


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> PretendedRay:
    pretended = PretendedRay(2)
    monkeypatch.setitem(sys.modules, "ray", pretended)
    return pretended


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what is told in the end, once no timer runs any more."""
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(10)
    return caplog.messages


def test_more_workers_than_processors_say_what_they_wait_for(
    ray: PretendedRay, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ray_workers, "_PATIENCE", 0.05)
    pool = ray_pool(abs, count=5)
    assert told(caplog) == [
        "3 of 5 Ray workers have not begun: each needs a processor of its own, of which 2 were "
        "free; archs that are given to them wait until more are, or stop and give fewer --workers"
    ]
    pool.close()


def test_workers_that_found_their_processors_in_time_say_nothing(
    ray: PretendedRay, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ray_workers, "_PATIENCE", 0.2)
    pool = ray_pool(abs, count=4)
    for actor in ray.actors:  # as on a cluster that grows
        actor.placed = True
        actor.go_on()
    assert told(caplog) == []
    assert dict(pool.evaluate([-1, 2, -3])) == {-1: 1, 2: 2, -3: 3}
    pool.close()


def test_no_more_workers_than_processors_are_not_watched(ray: PretendedRay) -> None:
    before = threading.active_count()
    pool = ray_pool(abs, count=2)
    assert threading.active_count() == before
    pool.close()


def test_a_pool_that_is_closed_tells_nothing_later(
    ray: PretendedRay, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ray_workers, "_PATIENCE", 0.2)
    ray_pool(abs, count=5).close()
    assert told(caplog) == []


@pytest.mark.parametrize("kind", [RayActorError, WorkerCrashedError, OutOfMemoryError])
def test_a_task_whose_worker_ray_has_killed_is_tried_again(
    ray: PretendedRay, kind: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    ray.deaths = [kind("the task\nran out of memory")] * 2
    pool = ray_pool(abs, count=1)
    assert dict(pool.evaluate([-7])) == {-7: 7}
    assert len(ray.actors) == 3
    again = "a Ray worker died, ran out of memory, and is replaced; its task is tried again"
    assert caplog.messages == [again] * 2
    ray.deaths = [kind("killed")] * 3
    (outcome,) = dict(pool.evaluate([-7])).values()
    assert isinstance(outcome, WorkerLostError)
    pool.close()
