"""The runtimes that a tier can be exported for."""

from __future__ import annotations

import os
from pathlib import Path

from ofa_pose.errors import UnknownNameError, UsageError
from ofa_pose.export.exporter import Exported
from ofa_pose.export.litert import LITERT
from ofa_pose.export.ncnn import NCNN
from ofa_pose.export.onnx import ONNXRUNTIME, OPENVINO
from ofa_pose.export.onnx_tier import OnnxTier
from ofa_pose.export.tier import Tier

EXPORTERS = {exporter.runtime: exporter for exporter in (ONNXRUNTIME, NCNN, OPENVINO, LITERT)}
"""By the runtime's name."""


def export_tier(
    tier: Tier,
    runtime: str = ONNXRUNTIME.runtime,
    *,
    path: str | Path | None = None,
    force: bool = False,
) -> Exported:
    """Write a tier's network as what a runtime loads, after the runtime gave what PyTorch gives.

    Every file takes float32, RGB of 0 to 255: the normalisation is part of the graph, and batch
    norms are folded. What is returned tells names and layouts.

    Args:
        tier: saved, with its weights.
        runtime: `onnxruntime`, `ncnn`, `openvino` or `litert`.
        path: of the file, or the folder that it goes into, which is there or ends in a slash; by
            default beside the tier. ncnn's is the `.param`, beside which a `.bin` goes.
        force: overwrite files that exist.

    Raises:
        UnknownNameError: there is no such runtime.
        UsageError: the tier has not been saved, or comes from an ONNX file itself.
        OfaPoseError: as `Exporter.write` says.
    """
    if runtime not in EXPORTERS:
        raise UnknownNameError("runtime", runtime, EXPORTERS, list_all=True)
    if isinstance(tier, OnnxTier):
        raise UsageError(f"{tier.path} is exported already; give the tier's YAML for another file")
    exporter = EXPORTERS[runtime]
    if path is None:
        if tier.path is None:
            raise UsageError(f"tier {tier.name!r} has no weights yet: save it first")
        path = tier.path.parent
    if str(path).endswith(("/", os.sep)) or Path(path).is_dir():
        path = Path(path) / f"{tier.file_stem}{exporter.suffix}"
    return exporter.write(tier, path, force=force)
