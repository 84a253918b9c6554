"""How many synthetic scenes one core paints a second, and what painting into pictures costs.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/synth.py

The figures are of processor time, so what else the machine does counts only by the caches it takes;
the time on the clock is printed beside it. The kinds are taken in turns; a figure is the median of
the rounds. `pasted` are the scenes of the first line with painted people in all of them, without
the time of those scenes themselves.
"""

from __future__ import annotations

import argparse
import time

import cv2
import numpy as np

from ofa_pose.data import HeldScenes, PastedScenes, SceneSource, SyntheticScenes


def main() -> None:
    """Measure and print."""
    options = parse()
    cv2.setNumThreads(0)
    kinds = {
        f"{skeleton}, {size} px, {low} to {high} people": SyntheticScenes(
            options.seed, options.scenes, size=size, skeleton=skeleton, people=(low, high)
        )
        for skeleton, size, low, high in (
            ("crowdpose", 256, 1, 5),
            ("coco", 256, 1, 5),
            ("crowdpose", 256, 1, 1),
            ("crowdpose", 512, 1, 5),
        )
    }
    sources: dict[str, SceneSource] = dict(kinds)
    first = next(iter(kinds.values()))
    sources["pasted, 256 px, 1 to 3 people"] = PastedScenes(
        HeldScenes(first), seed=options.seed, share=1
    )
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sources}
    for _ in range(options.rounds):
        for name, source in sources.items():
            times[name].append(timed(source))
    width = max(map(len, sources))
    print(f"{'':{width}}  scenes a second: of one core   by the clock")
    for name, found in times.items():
        busy, clock = (options.scenes / np.median(each) for each in zip(*found, strict=True))
        print(f"{name:{width}}  {busy:28.1f}  {clock:13.1f}")


def timed(source: SceneSource) -> tuple[float, float]:
    """Return the seconds that all scenes take: of the processor and of the clock."""
    busy, clock = time.process_time(), time.perf_counter()
    for index in range(len(source)):
        source[index]
    return time.process_time() - busy, time.perf_counter() - clock


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenes", type=int, default=100, help="a round and kind")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
