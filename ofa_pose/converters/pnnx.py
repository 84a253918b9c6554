"""pnnx makes ncnn's two files out of a module."""

from __future__ import annotations

import importlib
import os
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ofa_pose.converters.told import lines_of, told
from ofa_pose.errors import ConversionError

# Layers whose parameters do not depend on the size of the map.
_ANY_SIZE = frozenset(
    {
        "BatchNorm", "BinaryOp", "Clip", "Concat", "Convolution", "ConvolutionDepthWise",
        "Deconvolution", "DeconvolutionDepthWise", "HardSigmoid", "HardSwish", "Input", "ReLU",
        "Sigmoid", "Split", "Swish", "UnaryOp",
    }
)  # fmt: skip
_A_VALUE_A_CHANNEL = "0=1 1=1 "  # width and height of a constant


@dataclass(frozen=True)
class Layer:
    """One line of a parameter file."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: str = ""

    @classmethod
    def parse(cls, line: str) -> Layer:
        """Read a line: kind, name, numbers of inputs and outputs, their names, parameters."""
        kind, name, inputs, outputs, *rest = line.split()
        first, second = int(inputs), int(inputs) + int(outputs)
        return cls(
            kind, name, tuple(rest[:first]), tuple(rest[first:second]), " ".join(rest[second:])
        )

    def __str__(self) -> str:
        counts = (str(len(self.inputs)), str(len(self.outputs)))
        parts = (self.kind, self.name, *counts, *self.inputs, *self.outputs, self.parameters)
        return " ".join(part for part in parts if part)

    @property
    def is_ncnns(self) -> bool:
        """Whether ncnn can have it: pnnx writes `aten::cumsum` or `F.fold` where it cannot."""
        return self.kind.isalnum()

    @property
    def fits_any_size(self) -> bool:
        """Whether its parameters do not depend on the size of the map."""
        if self.kind == "MemoryData":
            return self.parameters.startswith(_A_VALUE_A_CHANNEL)
        return self.kind in _ANY_SIZE


@dataclass(frozen=True)
class NcnnModel:
    """What ncnn loads: inputs are called `in0`, …, outputs `out0`, …; none has an axis of pictures.

    Attributes:
        param: text of the parameter file.
        weights: float32, of the `.bin`.
    """

    param: str
    weights: bytes

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The parameter file's lines."""
        return tuple(Layer.parse(line) for line in self.param.splitlines()[2:])


@torch.no_grad()
def run_pnnx(module: nn.Module, shapes: Sequence[tuple[int, ...]]) -> NcnnModel:
    """Run pnnx.

    Args:
        module: in eval mode, with tensors in and one or a tuple of them out.
        shapes: of its inputs, with the axis of pictures.

    Raises:
        ConversionError: torch cannot trace the module, or pnnx fails.
    """
    pnnx: Any = importlib.import_module("pnnx")  # which pyright takes for this file
    inputs = tuple(torch.zeros(shape) for shape in shapes)
    with tempfile.TemporaryDirectory() as folder:
        with warnings.catch_warnings(), told("torch.jit.trace, whose result pnnx reads,"):
            warnings.simplefilter("ignore")  # pnnx reads TorchScript, which torch calls deprecated
            traced = torch.jit.trace(module, inputs, check_trace=False)
            torch.jit.save(traced, f"{folder}/network.pt")
        sizes = ",".join(str(list(shape)).replace(" ", "") + "f32" for shape in shapes)
        done = subprocess.run(
            [pnnx.EXEC_PATH, "network.pt", "fp16=0", f"inputshape={sizes}"],
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        param, weights = (Path(folder) / f"network.ncnn.{kind}" for kind in ("param", "bin"))
        if done.returncode or not (param.is_file() and weights.is_file()):
            said = lines_of(f"{done.stdout}\n{done.stderr}") or ["it says nothing"]
            raise ConversionError(f"pnnx stopped with code {done.returncode}: {said[-1]}")
        return NcnnModel(param.read_text(), weights.read_bytes())
