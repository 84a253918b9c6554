"""How much faster two worker processes are than one, and that the archive is the same.

    python benchmarks/workers.py --data lspet

The same search over the starter's supernet, by a pool of one process and by a pool of two, taken
in turns. The time is of the evaluations: starting the processes and reading the pictures, which
every process does once, come before. Efficiency is the time of one over twice the time of two. On
a machine that does something else the second process has no processor of its own.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from lspet_sources import CANVAS, calibration_scenes, report_scenes

from ofa_pose.data import SyntheticScenes
from ofa_pose.evaluate import SubnetEvaluator
from ofa_pose.search.processes import process_pool
from ofa_pose.search.workers import OfArch, Pool
from ofa_pose.supernet import load_supernet

STARTER = Path(__file__).parents[1] / "search_spaces/weights/litepose-lite0-starter.safetensors"


def main() -> None:
    """Measure and print."""
    options = parse()
    supernet = load_supernet(STARTER)
    space = supernet.space
    if options.data is None:
        calibration = SyntheticScenes(201, 32, size=CANVAS, skeleton="crowdpose")
        scenes = SyntheticScenes(202, options.scenes, size=CANVAS, skeleton="crowdpose")
    else:
        calibration = calibration_scenes(options.data, 32)
        scenes = report_scenes(options.data, options.scenes)
    evaluate = OfArch(space, SubnetEvaluator(supernet, calibration=calibration, scenes=scenes))
    rng = np.random.default_rng(0)
    widths = [space.sample(rng) for _ in range(options.archs)]
    indices = [
        space.index(space.arch({**arch, "resolution": options.resolution})) for arch in widths
    ]
    pools = {count: process_pool(evaluate, count) for count in (1, 2)}
    results = {}
    for count, pool in pools.items():  # every process reads its pictures
        run(pool, indices[: 2 * count])
        results[count] = []
    times: dict[int, list[float]] = {count: [] for count in pools}
    for turn in range(options.rounds):
        for count in sorted(pools, reverse=bool(turn % 2)):
            start = time.perf_counter()
            results[count].append(run(pools[count], indices))
            times[count].append(time.perf_counter() - start)
    for pool in pools.values():
        pool.close()
    same = all(result == results[1][0] for part in results.values() for result in part)
    print(f"{len(indices)} archs at {options.resolution} px, {len(scenes)} scenes")
    for one, two in zip(times[1], times[2], strict=True):
        print(f"1 worker {one:.1f} s, 2 workers {two:.1f} s, efficiency {one / two / 2:.2f}")
    print(f"scores equal to the last bit: {same}")


def run(pool: Pool, indices: Sequence[int]) -> dict[int, Mapping[str, float]]:
    """Evaluate, and return the scores by arch."""
    scores: dict[int, Mapping[str, float]] = {}
    for index, outcome in pool.evaluate(indices):
        if isinstance(outcome, Exception):
            raise outcome
        scores[index] = outcome
    return scores


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the lspet set; else synthetic scenes")
    parser.add_argument("--archs", type=int, default=12)
    parser.add_argument("--scenes", type=int, default=48)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
