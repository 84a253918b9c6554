"""How fast training is on this CPU, and how much memory it takes, in one run.

    python benchmarks/training.py --data lspet

Four comparisons and one size, as a Markdown table:

- channels_last against NCHW, and the compiled depthwise gradient on against off: whole steps
  (forward, backward, Adam) of one network, 16 pictures of 128 px; then all in bfloat16 (which
  pays where the processor multiplies in it, as with AMX) against float32;
- batches from the loader against the same number of batches kept in memory, with the training's
  own step: on the photographs of `--data`, else on synthetic scenes;
- the largest resident size of a process that trains litepose-xs's XS at 256 px, batch 32.

What is compared takes turns, so that whatever else the machine does falls on all of it; a ratio is
the median over the rounds, above 1 where the second is faster.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import torch
from depthwise_gradient import in_turns
from lspet_sources import train_pictures

import ofa_pose as op
from ofa_pose.data import Batch, SceneSource
from ofa_pose.data.synth import SyntheticScenes
from ofa_pose.memory import keep_freed_memory
from ofa_pose.models import Precision, autocast
from ofa_pose.models.depthwise import available, fast_depthwise
from ofa_pose.runs import RunFolder
from ofa_pose.train import Recipe, TrainBudget, World, finetune
from ofa_pose.train.job import Job
from ofa_pose.train.sampler import FixedSampler
from ofa_pose.train.step import Learner, batches_of

BATCH, RESOLUTION = 16, 128
MEMORY_BATCH, MEMORY_RESOLUTION, MEMORY_STEPS = 32, 256, 3
XS = ("litepose-xs", "XS")
LITE0 = ("litepose-lite0", "largest")


def main() -> None:
    """Measure and print."""
    options = parse()
    torch.set_num_threads(options.threads)
    if options.memory:
        print(train_for_memory(options.data))
        return
    if not available():
        sys.exit("the compiled gradient needs numba: pip install 'ofa-pose[fast]'")
    keep_freed_memory()  # as training does
    print("| | first, images/s | second, images/s | ratio |\n|---|---|---|---|", flush=True)
    nchw, off, on = layouts(options.rounds)
    row("NCHW → channels_last, XS", nchw, off)
    row("depthwise gradient torch's → compiled, XS", off, on)
    row("both, XS", nchw, on)
    for name, arch in (LITE0, XS):
        row(f"float32 → bfloat16, {name} {arch}", *precisions(name, arch, options.rounds))
    for name, arch in (LITE0, XS):
        row(f"cached batches → loader, {name} {arch}", *loading(name, arch, options))
    peak = peak_memory_bytes(options)
    print(
        f"\nPeak resident size, XS at {MEMORY_RESOLUTION} px, batch {MEMORY_BATCH}: "
        f"{peak / 2**30:.2f} GiB"
    )


def row(name: str, first: list[float], second: list[float]) -> None:
    """Print the medians of two lists of seconds a step, and of their ratios by round."""
    ratio = statistics.median(one / other for one, other in zip(first, second, strict=True))
    speeds = (BATCH / statistics.median(seconds) for seconds in (first, second))
    print(
        f"| {name} | {' | '.join(f'{speed:.1f}' for speed in speeds)} | {ratio:.2f} |", flush=True
    )


def layouts(rounds: int) -> tuple[list[float], ...]:
    """Seconds a step in NCHW, in channels_last, and in channels_last with the compiled gradient."""
    return seconds(
        [
            step_of(*XS, torch.contiguous_format, fast=False),
            step_of(*XS, torch.channels_last, fast=False),
            step_of(*XS, torch.channels_last, fast=True),
        ],
        rounds,
    )


def precisions(name: str, arch: str, rounds: int) -> tuple[list[float], ...]:
    """Seconds a step in float32 and in bfloat16, otherwise as training makes it."""
    return seconds(
        [
            step_of(name, arch, torch.channels_last, fast=True, precision=precision)
            for precision in ("float32", "bfloat16")
        ],
        rounds,
    )


def seconds(steps: list[Callable[[], None]], rounds: int) -> tuple[list[float], ...]:
    """Return for each kind of step its seconds by round, having made them in turns."""
    rounds_ms = in_turns(steps, rounds)
    return tuple([ms / 1e3 for ms in column] for column in zip(*rounds_ms, strict=True))


def step_of(
    name: str,
    arch: str,
    layout: torch.memory_format,
    *,
    fast: bool,
    precision: Precision = "float32",
) -> Callable[[], None]:
    """Return a whole training step of a network, its tensors laid out so."""
    space = op.load_space(name)
    network = op.build(space, space.arch(arch)).train()
    network.to(memory_format=layout)  # pyright: ignore[reportCallIssue]
    images = torch.rand(BATCH, 3, RESOLUTION, RESOLUTION).contiguous(memory_format=layout)
    optimizer = torch.optim.Adam(network.parameters())

    def step() -> None:
        with autocast(images.device, precision), fast_depthwise(fast):
            outputs = network(images)
        optimizer.zero_grad(set_to_none=True)
        torch.stack([output.float().square().mean() for output in outputs]).sum().backward()
        optimizer.step()

    return step


def loading(name: str, arch: str, options: argparse.Namespace) -> tuple[list[float], list[float]]:
    """Seconds a step by round: with batches kept in memory, and with the loader's."""
    space = op.load_space(name)
    chosen = space.arch(arch)
    with tempfile.TemporaryDirectory() as folder, RunFolder.open(folder, config={}) as run:
        network = op.build(space, chosen, skeleton="crowdpose")
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        job = Job(
            model=network,
            forward=lambda model, images, _arch: model(images),
            sampler=Small(chosen),
            space=space,
            source=scenes(options.data),
            recipe=Recipe(batch_size=BATCH, steps=10**6),
            run=run,
            seed=0,
            metadata={},
            device=torch.device("cpu"),
        )
        learner = Learner(job, world=World())
        read = partial(batches_of, job, start=0, stop=None, world=World())
        cached = cycle(list(islice(read(workers=0), 4)))
        loaded = read(workers=options.workers)
        take(learner, loaded, 2)  # warm up; the workers have begun
        times: dict[str, list[float]] = {"cached": [], "loaded": []}
        turns = [("cached", cached), ("loaded", loaded)]
        for _ in range(options.blocks):
            turns.reverse()
            for kind, batches in turns:
                time.sleep(1)  # the workers fill their queue while nothing is measured
                times[kind].append(take(learner, batches, options.steps))
    return times["cached"], times["loaded"]


class Small(FixedSampler):
    """One arch at `RESOLUTION`, which its space need not have."""

    def resolution(self, step: int) -> int:
        """Return the input side, pixels."""
        return RESOLUTION


def take(learner: Learner, batches: Iterator[Batch], steps: int) -> float:
    """Take some steps and return the seconds of one."""
    start = time.perf_counter()
    for batch in islice(batches, steps):
        learner.step(batch, step=0, rate=1e-4)
    return (time.perf_counter() - start) / steps


def scenes(data: Path | None) -> SceneSource:
    """Return the photographs of `data`, else synthetic scenes."""
    if data is not None:
        return train_pictures(data)
    return SyntheticScenes(0, 2000, size=288, skeleton="crowdpose")


def peak_memory_bytes(options: argparse.Namespace) -> int:
    """Return the largest resident size of a process of its own that trains."""
    command = [sys.executable, __file__, "--memory", "--threads", str(options.threads)]
    if options.data is not None:
        command += ["--data", str(options.data)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1])


def train_for_memory(data: Path | None) -> int:
    """Train XS for some steps; returns the largest resident size so far, bytes."""
    keep_freed_memory()
    space = op.load_space(XS[0])
    arch = space.arch(XS[1])
    with tempfile.TemporaryDirectory() as folder, RunFolder.open(folder, config={}) as run:
        finetune(
            op.build(space, arch, skeleton="crowdpose"),
            scenes(data),
            space=space,
            arch=arch,
            run=run,
            recipe=Recipe(batch_size=MEMORY_BATCH),
            budget=TrainBudget(steps=MEMORY_STEPS),
            workers=0,
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the lspet set")
    parser.add_argument("--rounds", type=int, default=5, help="of the layouts")
    parser.add_argument("--blocks", type=int, default=6, help="of the loader, each way")
    parser.add_argument("--steps", type=int, default=5, help="in a block")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", action="store_true", help="only train, for its memory")
    return parser.parse_args()


if __name__ == "__main__":
    main()
