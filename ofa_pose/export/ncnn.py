"""A tier's network as the two files that ncnn loads."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ofa_pose.converters.pnnx import NcnnModel, run_pnnx
from ofa_pose.converters.quiet import quiet
from ofa_pose.errors import ConversionError
from ofa_pose.export.exporter import SIDE_STEP, Converted, Exporter
from ofa_pose.export.raw import RawNetwork
from ofa_pose.export.tier import Tier

_INPUT = "in0"


def to_ncnn(tier: Tier, network: RawNetwork) -> Converted:
    """Convert a network with pnnx.

    The input `in0` is (3, H, W); sides are the tier's resolution, or free where no layer depends
    on them, as in LitePose. The outputs `out0`, … are the plan's without the axis of pictures.
    Weights are float32, which is what is compared; ncnn halves them itself where it may.
    """
    side = network.resolution
    model = run_pnnx(network, [(1, 3, side, side)])
    missing = sorted({layer.kind for layer in model.layers if not layer.is_ncnns})
    if missing:
        raise ConversionError(f"ncnn has no layers for {', '.join(missing)}")
    free = all(layer.fits_any_size for layer in model.layers)
    outputs = tuple(f"out{number}" for number in range(len(network.outputs)))
    return Converted(
        contents=(model.param.encode(), model.weights),
        run=_Run(model, outputs),
        sizes=((1, side, side), *(((1, side, side + SIDE_STEP),) if free else ())),
        input=_INPUT,
        shape=(3, "H", "W") if free else (3, side, side),
        outputs=outputs,
        as_planned="y[None]",
    )


class _Run:
    """ncnn on the processor, in float32 as latency tables are measured."""

    def __init__(self, model: NcnnModel, outputs: Sequence[str]) -> None:
        self._ncnn: Any = importlib.import_module("ncnn")  # its classes are made in C++
        self._net = self._ncnn.Net()
        for half in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
            setattr(self._net.opt, f"use_{half}", False)
        with quiet():
            failed = self._net.load_param_mem(model.param)
            failed = failed or self._net.load_model_mem(model.weights)
        if failed:
            raise ConversionError("ncnn cannot load what pnnx made of the network")
        self._outputs = outputs

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        (image,) = images
        extractor = self._net.create_extractor()
        extractor.input(_INPUT, self._ncnn.Mat(image).clone())
        found = []
        for name in self._outputs:
            with quiet():
                failed, output = extractor.extract(name)
            if failed:
                raise ConversionError(f"ncnn cannot compute {name}")
            found.append(np.array(output)[None])
        return found


NCNN = Exporter("ncnn", ".ncnn.param", to_ncnn, beside=(".bin",))
