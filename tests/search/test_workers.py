"""Outcomes belong to their tasks, whoever evaluates them, and whoever dies on the way."""

from __future__ import annotations

import importlib.util
import os
import pickle
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from ofa_pose import load_space, search
from ofa_pose.errors import (
    OfaPoseError,
    UnknownNameError,
    UsageError,
    WeightsError,
    WorkerLostError,
)
from ofa_pose.search.processes import process_pool
from ofa_pose.search.workers import (
    InProcess,
    OfArch,
    Pool,
    WorkersSpec,
    attempt,
    open_workers,
    unpacked,
)
from ofa_pose.space import Arch

HAS_RAY = importlib.util.find_spec("ray") is not None


class DiedError(Exception):
    """What a scripted worker's future raises."""


class Scripted:
    """A worker that dies as often as a table says, without any process."""

    name = "scripted"
    lost = (DiedError,)

    place = -1

    def __init__(self, deaths: dict[int, int]) -> None:
        self.deaths = deaths
        self.stopped = False

    def submit(self, task: int) -> Future[Any]:
        future: Future[Any] = Future()
        if self.deaths.get(task, 0) > 0:
            self.deaths[task] -= 1
            future.set_exception(DiedError())
        elif task == 13:
            future.set_exception(WeightsError("NaN"))
        else:
            future.set_result(task * task)
        return future

    def stop(self) -> None:
        self.stopped = True

    def end(self, error: BaseException) -> str:
        assert isinstance(error, DiedError)
        return "killed by SIGKILL" if self.stopped else ""


class Attempting(Scripted):
    """A worker that sends what `attempt` returns through pickle, as processes do."""

    def __init__(self) -> None:
        super().__init__({})

    def submit(self, task: int) -> Future[Any]:
        sent: Future[Any] = Future()
        sent.set_result(pickle.loads(pickle.dumps(attempt(refuse, task))))
        return unpacked(sent)


def scripted(deaths: dict[int, int], count: int = 2) -> tuple[Pool[int, int], list[Scripted]]:
    made: list[Scripted] = []

    def start(place: int) -> Scripted:
        made.append(Scripted(deaths))
        made[-1].place = place
        return made[-1]

    return Pool(start, count), made


def test_a_pool_yields_every_task_with_its_outcome():
    pool, made = scripted({})
    outcomes = dict(pool.evaluate([3, 1, 13, 2]))
    assert isinstance(outcomes.pop(13), WeightsError)
    assert outcomes == {3: 9, 1: 1, 2: 4}
    pool.close()
    assert len(made) == 2
    assert all(worker.stopped for worker in made)


def test_a_worker_that_cannot_be_given_a_task_is_stopped_like_the_others():
    class Unreachable(Scripted):
        def submit(self, task: int) -> Future[Any]:
            raise OfaPoseError("what archs are scored with cannot go to a worker process")

    made = [Unreachable({}), Scripted({})]
    pool: Pool[int, int] = Pool(made.__getitem__, 2)
    with pytest.raises(OfaPoseError, match="cannot go"):
        list(pool.evaluate([1, 2, 3]))
    pool.close()
    assert all(worker.stopped for worker in made)


def test_a_task_goes_to_the_worker_that_did_one_like_it():
    class Noting(Scripted):
        done: list[tuple[int, int]]

        def submit(self, task: Any) -> Future[Any]:
            self.done.append((self.place, task[0]))
            return super().submit(task[1])

    log: list[tuple[int, int]] = []

    def start(place: int) -> Noting:
        worker = Noting({})
        worker.place, worker.done = place, log
        return worker

    pool: Pool[Any, int] = Pool(start, 3, affinity=lambda task: task[0])
    for part in range(4):
        outcomes = dict(pool.evaluate([(kind, part) for kind in (5, 2, 8)]))
        assert outcomes == {(kind, part): part * part for kind in (5, 2, 8)}
    assert len(log) == 12
    assert len(set(log)) == 3  # every kind was always at one place
    # A kind whose worker is busy does not wait for it.
    assert len(dict(pool.evaluate([(5, part) for part in range(6)]))) == 6
    assert len({place for place, kind in log[12:]}) > 1
    pool.close()


def test_a_dead_worker_is_replaced_and_its_task_tried_twice_again():
    pool, made = scripted({4: 2, 5: 3, 6: 1})
    outcomes = dict(pool.evaluate([4, 5, 6, 7]))
    lost = outcomes.pop(5)
    assert isinstance(lost, WorkerLostError)
    assert str(lost) == "its worker died 3 times, killed by SIGKILL"
    assert outcomes == {4: 16, 6: 36, 7: 49}
    assert len(made) == 2 + 6
    assert [worker.stopped for worker in made].count(False) == 2
    assert dict(pool.evaluate([8])) == {8: 64}


def test_a_call_left_early_leaves_nothing_to_the_next():
    pool, _ = scripted({})
    next(iter(pool.evaluate([1, 2, 3, 4])))
    assert dict(pool.evaluate([5])) == {5: 25}


def test_in_process_is_lazy_and_in_order():
    calls: list[int] = []

    def function(task: int) -> int:
        calls.append(task)
        return 10 // task

    outcomes = InProcess(function).evaluate([5, 0, 2])
    assert next(outcomes) == (5, 2)
    assert calls == [5]
    rest = list(outcomes)
    assert isinstance(rest[0][1], ZeroDivisionError)
    assert rest[1] == (2, 5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", WorkersSpec(1)),
        ("12", WorkersSpec(12)),
        ("ray", WorkersSpec(None, ray=True)),
        ("ray:2", WorkersSpec(2, ray=True)),
        ("ray://head:10001", WorkersSpec(None, ray=True, address="ray://head:10001")),
        ("ray://10.0.0.1:10001/8", WorkersSpec(8, ray=True, address="ray://10.0.0.1:10001")),
    ],
)
def test_workers_are_read(text, expected):
    assert WorkersSpec.parse(text) == expected


@pytest.mark.parametrize("text", ["0", "-1", "two", "", "ray:0", "ray://host", "dask", "1.5"])
def test_other_workers_are_refused(text):
    with pytest.raises(UsageError, match="workers are a number above 0"):
        WorkersSpec.parse(text)


class Score:
    """Scores archs by their values; kills its process as told, the first time only."""

    def __init__(self, folder: Path, *, killed: int | None = None, always: int = -1) -> None:
        self.folder, self.killed, self.always = folder, killed, always
        self.space = load_space("toy")
        self.parent = os.getpid()

    def __call__(self, arch: Arch) -> dict[str, float]:
        index = next(i for i, other in enumerate(self.space) if other == arch)
        (self.folder / f"{os.getpid()}-{index}-{time.monotonic_ns()}").touch()
        if os.getpid() != self.parent and (index == self.always or self._is_told()):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.01 * (index % 3))  # so that they end in another order than they began
        return {"AP": ((index * 37) % 64) / 64}

    def _is_told(self) -> bool:
        """Whether this call is the one to die: the first of all processes'."""
        if self.killed is None:
            return False
        try:
            (self.folder / "killed").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def archive_of(folder: Path, score: Callable[[Arch], Any], workers: str) -> bytes:
    path = folder / f"archive-{workers.replace(':', '')}.csv"
    search(
        load_space("toy"),
        score,
        budgets={"S": "0.3M", "M": "0.6M"},
        evaluations=24,
        seed=4,
        archive_path=path,
        workers=workers,
    )
    return path.read_bytes()


def test_processes_give_the_archive_of_one_even_when_one_is_killed(tmp_path):
    alone = archive_of(tmp_path, Score(tmp_path), "1")
    assert archive_of(tmp_path, Score(tmp_path, killed=1), "2") == alone
    assert (tmp_path / "killed").exists()
    pids = {path.name.split("-")[0] for path in tmp_path.glob("*-*-*")}
    assert len(pids) == 1 + 3  # this process, two workers, and the one that stood in


def test_what_kills_every_worker_is_recorded_as_failed(tmp_path):
    pool = process_pool(OfArch(load_space("toy"), Score(tmp_path, always=5)), 2)
    outcomes = dict(pool.evaluate([4, 5, 6]))
    pool.close()
    assert isinstance(outcomes[5], WorkerLostError)
    assert str(outcomes[5]) == "its worker died 3 times, killed by SIGKILL"
    assert outcomes[4] == {"AP": (4 * 37) % 64 / 64}
    assert len(list(tmp_path.glob("*-5-*"))) == 3


class TwoFieldsError(Exception):
    """Pickle cannot make it again from its one argument."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} and {two}")


def refuse(task: int) -> int:
    if task == 1:
        raise UnknownNameError("colour", "gren", ["green", "red"])
    if task == 2:
        raise TwoFieldsError("this", "that")
    if task == 3:
        raise OSError(28, "No space left on device")
    return task


def assert_told(outcomes: dict[int, Any]) -> None:
    assert outcomes[4] == 4
    assert type(outcomes[1]) is UsageError
    assert str(outcomes[1]) == "unknown colour 'gren'; did you mean 'green'?"
    assert type(outcomes[2]) is OfaPoseError
    assert str(outcomes[2]) == "TwoFieldsError: this and that"
    assert (type(outcomes[3]), outcomes[3].errno) == (OSError, 28)
    for task in (1, 2, 3):
        (note,) = outcomes[task].__notes__
        assert note.startswith("In a worker:\nTraceback (most recent call last):")
        assert "in refuse" in note


def test_what_a_worker_raises_arrives_with_its_message_and_traceback():
    outcomes = dict(Pool(lambda place: Attempting(), 1).evaluate([1, 2, 3, 4]))
    assert_told(outcomes)


@pytest.mark.slow
def test_what_a_process_raises_arrives():
    pool = process_pool(refuse, 1)
    outcomes = dict(pool.evaluate([1, 2, 3, 4]))
    pool.close()
    assert_told(outcomes)


def test_a_new_worker_takes_the_place_of_the_dead_one():
    pool, made = scripted({4: 2}, count=3)
    dict(pool.evaluate([1, 2, 3, 4]))
    assert [worker.place for worker in made[:3]] == [0, 1, 2]
    assert len(made) == 5
    alive = [worker.place for worker in made if not worker.stopped]
    assert sorted(alive) == [0, 1, 2]


class OnDevice:
    """Tells where it computes; waits, so that every worker gets a task."""

    device = "nowhere"

    def to(self, device: str) -> OnDevice:
        moved = OnDevice()
        moved.device = device
        return moved

    def __call__(self, task: int) -> str:
        time.sleep(0.5)
        return self.device


class DeadOnArrival:
    """Kills the process that it is sent to, the first few times."""

    def __init__(self, deaths: Path, times: int) -> None:
        self.deaths, self.times = deaths, times

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        past = len(self.deaths.read_text()) if self.deaths.exists() else 0
        if past < self.times:
            self.deaths.write_text("x" * (past + 1))
            os._exit(1)

    def __call__(self, task: int) -> int:
        return task * task


@pytest.mark.slow
def test_a_worker_that_dies_before_it_began_is_started_anew(tmp_path):
    pool = process_pool(DeadOnArrival(tmp_path / "twice", 2), 1)
    assert dict(pool.evaluate([3, 4])) == {3: 9, 4: 16}
    pool.close()
    pool = process_pool(DeadOnArrival(tmp_path / "always", 9), 1)
    with pytest.raises(OfaPoseError, match="died 3 times before it began"):
        dict(pool.evaluate([3]))
    pool.close()
    assert (tmp_path / "always").read_text() == "xxx"


@pytest.mark.slow
def test_processes_take_the_gpus_in_turn():
    pool = process_pool(OnDevice(), 3, devices=["cuda:0", "cuda:1"])
    places = Counter(dict(pool.evaluate([1, 2, 3])).values())
    pool.close()
    assert places == {"cuda:0": 2, "cuda:1": 1}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="no signal masks here")
def test_ctrl_c_while_workers_start_is_for_the_search_alone(tmp_path):
    script = tmp_path / "starting.py"
    script.write_text(
        "import os, signal, time\n"
        "from ofa_pose.search.processes import process_pool\n"
        "if __name__ == '__main__':\n"
        "    pool = process_pool(abs, 2)\n"
        "    try:\n"
        "        os.killpg(0, signal.SIGINT)\n"
        "        time.sleep(60)\n"
        "    except KeyboardInterrupt:\n"
        "        print(sorted(dict(pool.evaluate([-1, 2])).items()))\n"
        "    pool.close()\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120,
        start_new_session=True, check=False,
    )  # fmt: skip
    assert (done.stdout.strip(), done.stderr, done.returncode) == ("[(-1, 1), (2, 2)]", "", 0)


def test_what_cannot_be_pickled_is_refused():
    pool = process_pool(lambda task: task, 2)
    with pytest.raises(OfaPoseError, match="cannot go to a worker process"):
        dict(pool.evaluate([1]))
    pool.close()


@pytest.mark.slow
@pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed")
@pytest.mark.filterwarnings("default")
def test_ray_gives_the_archive_of_one_even_when_one_is_killed(tmp_path):
    alone = archive_of(tmp_path, Score(tmp_path), "1")
    assert archive_of(tmp_path, Score(tmp_path, killed=1), "ray:2") == alone
    assert (tmp_path / "killed").exists()


def test_one_worker_is_this_process():
    assert isinstance(open_workers(abs, WorkersSpec.parse("1")), InProcess)
