"""What weight sharing costs: a sampled supernet step against a plain step of the same subnet.

    python benchmarks/sampled_step.py --space litepose-lite0

Forward and backward, batch 8, 128 px. The two take turns step by step, so that whatever else the
machine does falls on both; the medians are compared. Each arch is met for the first time by the
supernet too, as in training, where an arch hardly ever comes twice.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

import ofa_pose as op


def main() -> None:
    """Measure and print."""
    options = parse()
    torch.set_num_threads(options.threads)
    for name in options.space:
        supernet = op.Supernet(op.load_space(name), seed=0).train()
        rng = np.random.default_rng(options.seed)
        shape = (options.batch, 3, options.resolution, options.resolution)
        images = torch.rand(shape).contiguous(memory_format=torch.channels_last)
        step(lambda net=supernet, images=images: net(images, net.space.largest))  # warm up
        pairs = [
            pair
            for _ in range(options.archs)
            for pair in paired(supernet, supernet.space.sample(rng), images, options.rounds)
        ]
        plain_ms = statistics.median(plain for plain, _ in pairs)
        sampled_ms = statistics.median(sampled for _, sampled in pairs)
        ratio = statistics.median(sampled / plain for plain, sampled in pairs)
        added = statistics.median(sampled - plain for plain, sampled in pairs)
        print(
            f"{name}: plain {plain_ms:.1f} ms, sampled {sampled_ms:.1f} ms; "
            f"median of {len(pairs)} pairs: ratio {ratio:.3f}, added {added:.1f} ms"
        )


def paired(
    supernet: op.Supernet, arch: op.Arch, images: torch.Tensor, rounds: int
) -> list[tuple[float, float]]:
    """Milliseconds of (plain step, sampled step) of one arch, taken in turns."""
    subnet = supernet.extract(arch).train()
    for parameter in subnet.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    pairs = []
    for turn in range(rounds):
        supernet.zero_grad(set_to_none=True)
        subnet.zero_grad(set_to_none=True)
        if turn % 2:
            plain = step(lambda: subnet(images))
            sampled = step(lambda: supernet(images, arch))
        else:
            sampled = step(lambda: supernet(images, arch))
            plain = step(lambda: subnet(images))
        pairs.append((plain, sampled))
    return pairs


def step(forward: Callable[[], list[torch.Tensor]]) -> float:
    """Milliseconds of one forward and backward."""
    start = time.perf_counter()
    torch.stack([output.square().mean() for output in forward()]).sum().backward()
    return 1e3 * (time.perf_counter() - start)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--space", nargs="+", default=["litepose-lite0", "litepose-xs"])
    parser.add_argument("--archs", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5, help="pairs an arch")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
