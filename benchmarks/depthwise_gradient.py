"""What the compiled weight gradient of depthwise convolutions saves, on against off in one run.

    python benchmarks/depthwise_gradient.py --threads 2

First layer by layer: the convolution, torch's weight gradient and the compiled one, at kernel
width 3 too, which training leaves to torch. Then whole steps, that is forward, backward and Adam:
a network by itself, and the same arch inside its supernet. In channels_last, 16 pictures of
128 px unless asked otherwise. What is compared takes turns, so that whatever else the machine
does falls on all of it; a ratio is the median over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ofa_pose as op
from ofa_pose.memory import keep_freed_memory
from ofa_pose.models import _depthwise_kernel as compiled
from ofa_pose.models.depthwise import fast_depthwise

# Channels, side of the map, kernel, stride: what depthwise layers meet at 128 px (24 and 6: 96 px).
LAYERS = {
    "litepose-xs": [
        *[(96, 64, 7, 2), (96, 32, 7, 1), (96, 24, 7, 1), (192, 16, 7, 1), (288, 8, 7, 1)],
        *[(480, 8, 7, 1), (480, 6, 7, 1), (24, 32, 5, 1), (16, 64, 5, 1)],
    ],
    "litepose-lite0": [
        *[(32, 64, 3, 1), (96, 64, 3, 2), (144, 32, 3, 1), (144, 32, 5, 2), (240, 16, 5, 1)],
        *[(240, 16, 3, 2), (480, 8, 3, 1), (480, 8, 5, 1), (672, 8, 5, 1)],
    ],
    "kernel 9": [(96, 32, 9, 1), (480, 8, 9, 1)],
}
NETWORKS = ["litepose-xs:XS", "litepose-xs:largest", "litepose-lite0:largest"]


def main() -> None:
    """Measure and print."""
    keep_freed_memory()  # as training does
    options = parse()
    torch.set_num_threads(options.threads)
    for space, layers in LAYERS.items():
        print(f"{space}: ms of the convolution, torch's weight gradient, the compiled one; ratio")
        for channels, side, kernel, stride in layers:
            rounds = layer(channels, side, kernel, stride, options)
            ms = "".join(
                f"{median:8.2f}" for median in map(statistics.median, zip(*rounds, strict=True))
            )
            ratio = statistics.median(own / ours for _, own, ours in rounds)
            print(
                f"  {channels:3}×{side}×{side} k{kernel} s{stride}: {ms} {ratio:7.2f}", flush=True
            )
    for network in options.network:
        name, _, arch = network.partition(":")
        supernet = op.Supernet(op.load_space(name), seed=0)
        chosen = supernet.space.arch(arch)
        for kind, model, call in (
            ("alone", subnet := supernet.extract(chosen), subnet),
            ("in its supernet", supernet, partial(supernet, arch=chosen)),
        ):
            rounds = steps(model, call, options)
            off, on = map(statistics.median, zip(*rounds, strict=True))
            ratio = statistics.median(off / on for off, on in rounds)
            print(f"{network} {kind}: {off:.0f} ms off, {on:.0f} on, ratio {ratio:.2f}", flush=True)


def layer(
    channels: int, side: int, kernel: int, stride: int, options: argparse.Namespace
) -> list[tuple[float, ...]]:
    """Milliseconds of (convolution, torch's weight gradient, the compiled one) by round."""
    padding = kernel // 2
    weight = torch.rand(channels, 1, kernel, kernel, requires_grad=True)
    images = torch.rand(options.batch, channels, side, side)
    images = images.contiguous(memory_format=torch.channels_last)
    output = F.conv2d(images, weight, None, stride, padding, groups=channels)
    gradient = torch.rand_like(output)

    def forward() -> None:
        F.conv2d(images, weight.detach(), None, stride, padding, groups=channels)

    def own() -> None:
        torch.autograd.grad(output, weight, gradient, retain_graph=True)

    def ours() -> None:
        compiled.weight_gradient(
            images,
            gradient,
            kernel_size=(kernel, kernel),
            geometry=[(stride, stride), (padding, padding), (1, 1)],
        )

    return in_turns([forward, own, ours], options.rounds)


def steps(
    model: nn.Module, call: Callable[[Tensor], list[Tensor]], options: argparse.Namespace
) -> list[tuple[float, ...]]:
    """Milliseconds of (a step with torch's gradient, a step with the compiled one) by round."""
    model.train()
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters())
    images = torch.rand(options.batch, 3, options.resolution, options.resolution)
    images = images.contiguous(memory_format=torch.channels_last)

    def step(*, fast: bool) -> None:
        with fast_depthwise(fast):
            outputs = call(images)
        optimizer.zero_grad(set_to_none=True)
        torch.stack([output.square().mean() for output in outputs]).sum().backward()
        optimizer.step()

    return in_turns([partial(step, fast=False), partial(step, fast=True)], options.rounds)


def in_turns(calls: list[Callable[[], None]], rounds: int) -> list[tuple[float, ...]]:
    """Milliseconds of each call by round, after a round to warm up; every other one backwards."""
    for call in calls:
        call()
    measured = []
    for turn in range(rounds):
        times = dict.fromkeys(range(len(calls)), 0.0)
        for index in reversed(times) if turn % 2 else times:
            start = time.perf_counter()
            calls[index]()
            times[index] = 1e3 * (time.perf_counter() - start)
        measured.append(tuple(times.values()))
    return measured


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--network", nargs="*", default=NETWORKS, help="space:arch")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
