"""How it is measured: networks in rounds, each between runs of one reference network."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from .errors import MeasureError, told_as
from .journal import Journal, locked
from .kit import Kit, Task
from .lines import say
from .machine import check_threads, pinned, this_machine
from .runner import Prepare, Runner
from .runtimes import RUNNERS

_WARM_UP = 2
_LOST = 0.03  # share of a run's time without the processor above which the run does not count
_MOST = 2  # runs of a network in a round are at most so many times the runs wanted
_LEAST_MS = 20.0  # a network is run for at least so long in a round, so that short ones run often
_BLOCK_MS = 8.0  # the reference is run again after so long, but not before as long as it takes
_MOST_SHORT = 10  # but at most so many times the runs wanted


def measure(
    kit: Kit,
    results: Path,
    *,
    threads: int = 1,
    prepare: Prepare | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Measure every network of a kit, in rounds, and append each to `results` at once.

    Machines have slow moments: other programs, other guests of the same host, heat. Rounds
    interleave the networks, so that no network has all of a slow minute; and before and after
    every few milliseconds of any network one and the same reference network is run, by whose time
    the network's is divided; on slow devices after as long as the reference takes itself. What
    stands in `results` is not measured again.

    Args:
        kit: what to measure.
        results: the CSV file.
        threads: that the runtime uses.
        prepare: the runtime, where it is not one of this folder's.
        progress: told (steps done, all steps).

    Raises:
        MeasureError: `results` is of another kit or machine, or another process measures into
            its folder; the kit is damaged; or there are fewer processors than threads.
        StoppedError: the runtime fails, or `results` cannot be written; what stands in it stays.
        ImportError: the runtime is not installed.
    """
    check_threads(threads)
    name = kit.document["runtime"]
    machine = this_machine(name, threads=threads)
    prepare = prepare or RUNNERS.get(name)
    if prepare is None:
        raise MeasureError(f"a kit for {name} cannot be measured here; for {', '.join(RUNNERS)}")
    turns = kit.turns
    with locked(results.parent), kit.models() as models, pinned(threads):
        journal = Journal.open(results, kit, machine)
        if journal.unreadable:
            say(_told_unreadable(results, journal.unreadable), error=True)
        runs = kit.document["runs"]
        model = kit.model(models, kit.reference)
        with told_as(_told_at(name, kit.reference)):
            pace = prepare(model, kit.reference, threads)
        for done, (turn, task) in enumerate(turns):
            if (task.name, turn) not in journal.done:
                model = kit.model(models, task)
                with told_as(_told_at(name, task)):
                    runner = prepare(model, task, threads)
                    times = _times(runner, pace, task, runs=runs, threads=threads)
                    del runner
                journal.add(task, turn, *times)
            if progress is not None:
                progress(done + 1, len(turns))


def _told_at(runtime: str, task: Task) -> str:
    return f"{runtime} failed at the network {task.name} ({task.key})"


def _told_unreadable(results: Path, count: int) -> str:
    steps = (
        "1 step was unreadable and is" if count == 1 else f"{count} steps were unreadable and are"
    )
    return f"{results}: {steps} measured again"


def _times(
    runner: Runner, pace: Runner, task: Task, *, runs: int, threads: int
) -> tuple[np.ndarray, float]:
    """Run a network and the reference in turns.

    With one thread a run that lost the processor for a moment does not count and is repeated, up
    to a limit; where they do not suffice, the least disturbed are taken.

    Returns:
        Times divided by the reference's around them `(runs, 1 [+ units])`, the whole first; and
        the reference's median time in ms.
    """
    for _ in range(_WARM_UP):
        runner.run()
    walls: list[float] = []
    lost: list[float] = []
    paces = [_run(pace, threads)]
    blocks: list[int] = []  # of every run, the number of the pace before it
    while _wants_more(walls, lost, runs=runs):
        spent, block = 0.0, max(_BLOCK_MS, paces[-1][0])
        while spent < block and len(walls) < _MOST_SHORT * runs:
            wall, share = _run(runner, threads)
            walls.append(wall)
            lost.append(share)
            blocks.append(len(paces) - 1)
            spent += wall
        paces.append(_run(pace, threads))
    kept = [index for index, share in enumerate(lost) if share <= _LOST]
    if len(kept) < runs:
        kept = sorted(np.argsort(lost, kind="stable")[:runs].tolist())
    times = np.array(walls, dtype=np.float64)[:, None]
    if task.by_unit:
        times = np.hstack([times, runner.unit_times()[_WARM_UP : _WARM_UP + len(times)]])
    around = _around(paces)
    return times[kept] / around[np.array(blocks)[kept], None], float(np.median(around))


def _run(runner: Runner, threads: int) -> tuple[float, float]:
    """Run once; return the time in ms and the share of it without the processor."""
    own, wall = time.thread_time(), time.perf_counter()
    runner.run()
    wall, own = time.perf_counter() - wall, time.thread_time() - own
    return 1e3 * wall, max(0.0, 1 - own / wall) if threads == 1 else 0.0


def _around(paces: Sequence[tuple[float, float]]) -> np.ndarray:
    """The reference's time around each block, in ms; of two, one that was interrupted is left out.

    Args:
        paces: (ms, share lost) of the reference's runs, one more than there are blocks.
    """
    found = []
    for before, after in zip(paces, paces[1:], strict=False):
        good = [wall for wall, share in (before, after) if share <= _LOST]
        found.append(sum(good) / len(good) if good else min(before[0], after[0]))
    return np.array(found)


def _wants_more(walls: Sequence[float], lost: Sequence[float], *, runs: int) -> bool:
    if sum(walls) < _LEAST_MS:
        return len(walls) < _MOST_SHORT * runs
    return sum(share <= _LOST for share in lost) < runs and len(walls) < _MOST * runs
