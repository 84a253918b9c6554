"""`ofa-pose export`: a tier's network as a file for a device without PyTorch."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from ofa_pose.cli import _console
from ofa_pose.cli._options import JsonOption

EPILOG = (
    "Example: ofa-pose export runs/finetune-XS/XS.yaml\n\n"
    "Example: ofa-pose export XS.yaml --out /media/card/pose.onnx --force"
)


def command(
    tier: Annotated[
        Path, typer.Argument(metavar="TIER.yaml", help="What a search or a training wrote.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Default: beside the tier, XS.onnx."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that exists.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a tier as one ONNX file, and check that onnxruntime gives what PyTorch gives.

    predict and eval take the file in place of the YAML, wherever it is.

    The input is RGB of 0 to 255, float32, (N, 3, H, W); pixels are normalised inside.
    """
    from ofa_pose.export import export_onnx, load_tier

    found = load_tier(tier)
    target = out or tier.with_name(f"{found.file_stem}.onnx")
    if target.is_dir():
        target /= f"{found.file_stem}.onnx"
    made = export_onnx(found, target, force=force)
    if as_json:
        _console.emit_json(
            {
                "file": made.path,
                "bytes": made.path.stat().st_size,
                "outputs": list(made.outputs),
                "resolution": found.resolution,
                "difference": made.difference,
            }
        )
        return
    _console.line(
        f"{made.path}: {made.path.stat().st_size / 1e6:.2f} MB, input images (N, 3, H, W) of "
        f"0 to 255, made for {found.resolution} px; outputs {', '.join(made.outputs)}"
    )
    _console.line(
        f"onnxruntime's outputs differ from PyTorch's by {made.difference:.1e} of their range"
    )
    _console.line(f"next: ofa-pose predict {shlex.quote(str(made.path))} photo.jpg")
