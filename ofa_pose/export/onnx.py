"""A tier's network as one ONNX file, which needs no PyTorch where it runs."""

from __future__ import annotations

import io
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ofa_pose.data import normalize
from ofa_pose.errors import MissingExtraError, WeightsError
from ofa_pose.export.check import compare_outputs
from ofa_pose.export.onnx_tier import DOCUMENT, import_onnxruntime
from ofa_pose.export.tier import Tier
from ofa_pose.files import atomic_write
from ofa_pose.models import fold_batch_norms
from ofa_pose.outputs import output_file

if TYPE_CHECKING:
    import onnx
    import onnxruntime

INPUT = "images"
OPSET = 17
TOLERANCE = 1e-4
"""Largest difference to PyTorch's outputs that is let pass, in the unit of `compare_outputs`."""
_SIDE_STEP = 64  # longer sides are a multiple of it


@dataclass(frozen=True)
class OnnxExport:
    """A file that was written and compared.

    Attributes:
        path: of the file.
        outputs: names of its outputs.
        difference: largest difference to PyTorch's outputs under onnxruntime, as a fraction of
            the largest output (of 1 if that is smaller).
    """

    path: Path
    outputs: tuple[str, ...]
    difference: float


def export_onnx(tier: Tier, path: str | Path, *, force: bool = False) -> OnnxExport:
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
        RunFolderError: the file exists and `force` is not set, or it may not be replaced at all;
            see `output_file`.
        WeightsError: the weights cannot be used, or onnxruntime gives something else.
    """
    path = Path(path)
    target = output_file(path, force=force, reads=(tier.path, tier.weights))
    onnxruntime = import_onnxruntime()
    try:
        import onnx
    except ImportError:
        raise MissingExtraError(
            "writing an ONNX file needs onnx: pip install 'ofa-pose[onnx]'"
        ) from None
    network = tier.build()
    outputs = tuple(network.plan.outputs)
    fold_batch_norms(network)
    raw = _OfBytes(network, tier).eval()
    model = onnx.load_from_string(_exported(raw, outputs, resolution=tier.resolution))
    _describe(model, tier)
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    difference = _difference(raw, session, resolution=tier.resolution)
    atomic_write(target, content)
    return OnnxExport(path, outputs, difference)


class _OfBytes(nn.Module):
    """A network behind its normalisation."""

    def __init__(self, network: nn.Module, tier: Tier) -> None:
        super().__init__()
        self.network = network
        self.mean, self.std = tier.space.pixel_mean, tier.space.pixel_std

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network(normalize(images, self.mean, self.std)))


def _exported(module: nn.Module, outputs: tuple[str, ...], *, resolution: int) -> bytes:
    stream = io.BytesIO()
    free = {0: "batch", 2: "height", 3: "width"}
    with warnings.catch_warnings():
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


@torch.no_grad()
def _difference(
    module: nn.Module, session: onnxruntime.InferenceSession, *, resolution: int
) -> float:
    """Compare at the tier's resolution, and where a side is longer and there are two pictures."""
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for batch, width in ((1, resolution), (2, resolution + _SIDE_STEP)):
        images = 255 * torch.rand(batch, 3, resolution, width, generator=generator)
        found = [torch.from_numpy(map_) for map_ in session.run(None, {INPUT: images.numpy()})]
        try:
            worst = max(worst, compare_outputs(found, module(images), tolerance=TOLERANCE))
        except WeightsError as error:
            raise WeightsError(f"onnxruntime against PyTorch: {error}; nothing written") from None
    return worst
