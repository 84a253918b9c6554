"""What oneDNN's 1×1 convolutions save on one thread, against torch's choice in one run.

    python benchmarks/pointwise.py

First layer by layer: forward, and forward with backward, of 8 pictures in channels_last. Then the
widest `litepose-lite0` whole: prediction with its batch norms folded, and training steps. What is
compared takes turns; a ratio is the median over the rounds, above 1 where oneDNN is faster.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial

import torch
from depthwise_gradient import in_turns
from torch import Tensor, nn

import ofa_pose as op
from ofa_pose.memory import keep_freed_memory
from ofa_pose.models import fold_batch_norms
from ofa_pose.models.depthwise import fast_depthwise
from ofa_pose.models.pointwise import fast_pointwise

# Channels in, channels out, side of the map: 1×1 layers of litepose-lite0 at 128 px.
LAYERS = [(16, 96, 64), (96, 24, 32), (144, 24, 32), (240, 40, 16), (480, 80, 8), (672, 112, 8)]


def main() -> None:
    """Measure and print."""
    options = parse()
    torch.set_num_threads(1)
    keep_freed_memory()  # as training and searching do
    print("| 8 pictures, one thread | torch's choice, ms | oneDNN, ms | ratio |\n|---|---|---|---|")
    for channels, out, side in LAYERS:
        layer = nn.Conv2d(channels, out, 1, bias=False)
        images = pictures(options.batch, channels, side)
        name = f"{channels} → {out} at {side}×{side}"
        row(name, partial(forward, layer, images), options.rounds)
        row(f"{name}, and backward", partial(step, layer, images), options.rounds)
    space = op.load_space("litepose-lite0")
    for side in (128, 256):
        network = op.build(space, space.arch({**space.largest, "resolution": side}))
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        images = pictures(options.batch, 3, side)
        row(f"a step of litepose-lite0, {side} px", partial(step, network, images), options.rounds)
        fold_batch_norms(network.eval())
        row(f"litepose-lite0 predicts, {side} px", partial(forward, network, images), 5)


def row(name: str, call: Callable[[], None], rounds: int) -> None:
    """Time a call with and without oneDNN in turns and print a line of the table."""

    def timed(fast: bool) -> None:
        with fast_pointwise(fast):
            call()

    pairs = in_turns([partial(timed, False), partial(timed, True)], rounds)
    own, onednn = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for one, other in pairs)
    print(f"| {name} | {own:.2f} | {onednn:.2f} | {ratio:.2f} |", flush=True)


@torch.no_grad()
def forward(network: nn.Module, images: Tensor) -> None:
    """Run a network or layer."""
    network(images)


def step(network: nn.Module, images: Tensor) -> None:
    """Run it forward and backward, with the other convolutions as training has them."""
    images = images.detach().requires_grad_()
    with fast_depthwise():
        outputs = network(images)
    outputs = [outputs] if isinstance(outputs, Tensor) else outputs
    torch.stack([output.square().mean() for output in outputs]).sum().backward()


def pictures(count: int, channels: int, side: int) -> Tensor:
    """Random maps in channels_last."""
    return torch.rand(count, channels, side, side).contiguous(memory_format=torch.channels_last)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    return parser.parse_args()


if __name__ == "__main__":
    main()
