"""Networks as LiteRT files, through litert-torch."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from ofa_pose.latency.kit import network_inputs
from ofa_pose.latency.quiet import quiet
from ofa_pose.models import NetworkPlan


class _Plain(nn.Module):
    """A plan's modules run in order, fed with and returning maps of channels-last layout.

    LiteRT computes in that layout: between units nothing is turned, and neither is it here, where
    a lone unit would otherwise pay for it.
    """

    def __init__(self, plan: NetworkPlan) -> None:
        super().__init__()
        self.plan = plan
        self.inputs = tuple(network_inputs(plan))
        self.units = nn.ModuleList(unit.spec.build() for unit in plan.units)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        values = {
            name: tensor.permute(0, 3, 1, 2)
            for name, tensor in zip(self.inputs, inputs, strict=True)
        }
        for unit, module in zip(self.plan.units, self.units, strict=True):
            values[unit.name] = module(*(values[name] for name in unit.inputs))
        return tuple(values[name].permute(0, 2, 3, 1) for name in self.plan.outputs)


def to_litert(plan: NetworkPlan) -> bytes:
    """Return a network as a LiteRT file whose inputs and outputs are channels-last."""
    from ofa_pose.latency.to_onnx import patterned

    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import litert_torch

        module = patterned(_Plain(plan)).eval()
        inputs = tuple(
            torch.zeros(1, height, width, channels)
            for channels, height, width in network_inputs(plan).values()
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.tflite"
            litert_torch.convert(module, inputs).export(str(path))
            return path.read_bytes()
