"""A tier's network as the one file that LiteRT loads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ofa_pose.converters.litert import run_litert_torch
from ofa_pose.converters.quiet import quiet
from ofa_pose.converters.told import told
from ofa_pose.export.exporter import Converted, Exporter
from ofa_pose.export.raw import RawNetwork, Run
from ofa_pose.export.tier import Tier

_INPUT = "args_0"


def to_litert(tier: Tier, network: RawNetwork) -> Converted:
    """Convert a network with litert-torch.

    The input `args_0` is (1, H, W, 3), sides are the tier's resolution. The outputs `output_0`, …
    are the plan's, maps channels-last like the input: so LiteRT has them inside, and so latency
    tables are measured.
    """
    side = network.resolution
    content = run_litert_torch(network, [(1, 3, side, side)])
    outputs = tuple(f"output_{number}" for number in range(len(network.outputs)))
    return Converted(
        contents=(content,),
        run=_runner(content, outputs),
        sizes=((1, side, side),),
        input=_INPUT,
        shape=(1, side, side, 3),
        outputs=outputs,
        as_planned=planned_layout(_dimensions(network, side)),
    )


def planned_layout(dimensions: Sequence[int]) -> str:
    """Return what makes the network's own layout of every output `y`, in numpy's words.

    Args:
        dimensions: of each output; maps `(N, H, W, C)` are turned, whatever else is left alone.
    """
    turned = "y.transpose(0, 3, 1, 2)"
    maps = {number == 4 for number in dimensions}
    if maps == {True}:
        return turned
    return f"{turned} if y.ndim == 4 else y" if True in maps else "y"


@torch.no_grad()
def _dimensions(network: RawNetwork, side: int) -> list[int]:
    return [output.ndim for output in network(torch.zeros(1, 3, side, side))]


def _runner(content: bytes, outputs: tuple[str, ...]) -> Run:
    """Return what runs the file and turns its maps channels-first."""
    with told("LiteRT"), quiet():
        from ai_edge_litert.interpreter import (  # pyright: ignore[reportMissingImports]
            Interpreter,
        )

        interpreter = Interpreter(model_content=content)
        signature = interpreter.get_signature_runner()

    def run(images: np.ndarray) -> list[np.ndarray]:
        with quiet():
            made = signature(**{_INPUT: np.ascontiguousarray(images.transpose(0, 2, 3, 1))})
        found = [made[name] for name in outputs]
        return [y.transpose(0, 3, 1, 2) if y.ndim == 4 else y for y in found]

    return run


LITERT = Exporter("litert", ".tflite", to_litert)
