"""litert-torch makes LiteRT's file out of a module."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ofa_pose.converters.quiet import quiet
from ofa_pose.converters.told import told


def run_litert_torch(module: nn.Module, shapes: Sequence[tuple[int, ...]]) -> bytes:
    """Return the file of a module; maps go in and come out channels-last, as LiteRT computes.

    Its signature calls the inputs `args_0`, …, and the outputs `output_0`, …

    Args:
        module: in eval mode, with tensors `(N, C, H, W)` in and one or a tuple of them out.
        shapes: of its inputs; `(1, C, H, W)` becomes `(1, H, W, C)`.

    Raises:
        ConversionError: torch cannot export the module, or litert-torch fails.
    """
    inputs = tuple(torch.zeros(n, h, w, c) for n, c, h, w in shapes)
    with told("litert-torch"), quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import litert_torch  # pyright: ignore[reportMissingImports]

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.tflite"
            litert_torch.convert(_ChannelsLast(module).eval(), inputs).export(str(path))
            return path.read_bytes()


class _ChannelsLast(nn.Module):
    """A module that is fed with and returns `(N, H, W, C)`; what is no map stays as it is."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        outputs = self.module(*(tensor.permute(0, 3, 1, 2) for tensor in inputs))
        if isinstance(outputs, Tensor):
            return _turned(outputs)
        return tuple(_turned(output) for output in outputs)


def _turned(output: Tensor) -> Tensor:
    return output.permute(0, 2, 3, 1) if output.ndim == 4 else output
