"""A tier's network as one ONNX file, which needs no PyTorch where it runs."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from ofa_pose.converters.quiet import quiet
from ofa_pose.converters.told import told
from ofa_pose.export.exporter import SIDE_STEP, Converted, Exported, Exporter
from ofa_pose.export.onnx_tier import DOCUMENT, SUFFIX, import_onnxruntime, quiet_options
from ofa_pose.export.raw import RawNetwork, Run
from ofa_pose.export.tier import Tier

if TYPE_CHECKING:
    import onnx

INPUT = "images"
OPSET = 17


def export_onnx(tier: Tier, path: str | Path, *, force: bool = False) -> Exported:
    """Write a tier's network as ONNX, after onnxruntime gave what PyTorch gives.

    The input `images` is (N, 3, H, W) float32, RGB of 0 to 255: the tier's normalisation is part
    of the graph. N, H and W are free; the tier was made for its resolution, and sides are best
    multiples of 64. The outputs have the names of the plan's output units; for pose networks
    they are the maps that `pose.decode` takes. Batch norms are folded. The file's metadata holds
    the tier's name, space, arch, resolution, joints and weights' sha256, and what `load_onnx`
    needs.

    Args:
        tier: saved, with its weights.
        path: of the file.
        force: overwrite a file that exists.

    Raises:
        MissingExtraError: onnx or onnxruntime is not installed (extra `onnx`).
        OfaPoseError: as `Exporter.write` says.
    """
    return ONNXRUNTIME.write(tier, path, force=force)


def to_onnx(tier: Tier, network: RawNetwork, *, prepare: Callable[[bytes], Run]) -> Converted:
    """Convert a network; see `export_onnx`.

    Args:
        tier: what is told in the file.
        network: its network.
        prepare: makes what runs the file.
    """
    import onnx

    side = network.resolution
    model = onnx.load_from_string(_exported(network, network.outputs, resolution=side))
    _describe(model, tier)
    content = model.SerializeToString()
    return Converted(
        contents=(content,),
        run=prepare(content),
        sizes=((1, side, side), (2, side, side + SIDE_STEP)),
        input=INPUT,
        shape=("N", 3, "H", "W"),
        outputs=network.outputs,
    )


def _exported(module: nn.Module, outputs: tuple[str, ...], *, resolution: int) -> bytes:
    stream = io.BytesIO()
    free = {0: "batch", 2: "height", 3: "width"}
    with told("torch.onnx.export"), quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        torch.onnx.export(
            module,
            (torch.zeros(1, 3, resolution, resolution),),
            stream,  # pyright: ignore[reportArgumentType]
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(outputs),
            dynamic_axes={INPUT: free, **{name: {0: "batch"} for name in outputs}},
        )
    return stream.getvalue()


def _describe(model: onnx.ModelProto, tier: Tier) -> None:
    told = {
        "tier": tier.name,
        "space": tier.space.name,
        "arch": tier.arch.key,
        "resolution": str(tier.resolution),
        "weights_sha256": tier.sha256,
        "made_by": f"ofa_pose {tier.package_version}",
        DOCUMENT: json.dumps(tier.document()),
    }
    if tier.skeleton is not None:
        told["joints"] = json.dumps(list(tier.skeleton.joints))
    for key, value in told.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value


def _with_onnxruntime(content: bytes) -> Run:
    onnxruntime = import_onnxruntime()
    with told("onnxruntime"):
        options = quiet_options(onnxruntime)
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {INPUT: images})


def _with_openvino(content: bytes) -> Run:
    import openvino  # pyright: ignore[reportMissingImports]

    settings = {"INFERENCE_PRECISION_HINT": "f32"}  # fewer bits are some processors' default
    core = openvino.Core()
    with told("OpenVINO"):
        compiled = core.compile_model(core.read_model(content), "CPU", settings)
    return lambda images: list(compiled(images).values())


ONNXRUNTIME = Exporter("onnxruntime", SUFFIX, partial(to_onnx, prepare=_with_onnxruntime))
OPENVINO = Exporter("openvino", SUFFIX, partial(to_onnx, prepare=_with_openvino))
