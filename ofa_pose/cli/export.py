"""`ofa-pose export`: a tier's network as the files that a runtime loads."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ofa_pose.cli import _console
from ofa_pose.cli._options import JsonOption

if TYPE_CHECKING:
    from ofa_pose.export import Exported, Tier

EPILOG = (
    "Example: ofa-pose export runs/finetune-XS/XS.yaml\n\n"
    "Example: ofa-pose export XS.yaml --out /media/card/pose.onnx --force\n\n"
    "Example: ofa-pose export XS.yaml --runtime ncnn"
)


def command(
    tier: Annotated[
        Path, typer.Argument(metavar="TIER.yaml", help="What a search or a training wrote.")
    ],
    runtime: Annotated[
        str,
        typer.Option(
            "--runtime",
            metavar="NAME",
            help="What will run it: onnxruntime or openvino (XS.onnx), ncnn (XS.ncnn.param and "
            "XS.ncnn.bin), litert (XS.tflite).",
        ),
    ] = "onnxruntime",
    out: Annotated[
        str | None,  # as a path it would lose the slash that makes a folder of it
        typer.Option(
            "--out",
            metavar="FILE|FOLDER/",
            help="The file, or a folder for one with the tier's name; default: beside the tier.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that exist.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a tier for a runtime, and check that this runtime gives what PyTorch gives.

    predict and eval take an ONNX file in place of the YAML, wherever it is.

    The input is RGB of 0 to 255, float32; pixels are normalised inside.
    """
    from ofa_pose.export import export_tier, load_tier

    found = load_tier(tier)
    made = export_tier(found, runtime, path=out, force=force)
    size = sum(file.stat().st_size for file in made.files)
    if as_json:
        _console.emit_json(
            {
                "runtime": made.runtime,
                "file": made.path,
                "files": list(made.files),
                "bytes": size,
                "input": {"name": made.input, "shape": list(made.shape)},
                "outputs": list(made.outputs),
                "as_planned": made.as_planned,
                "resolution": found.resolution,
                "difference": made.difference,
            }
        )
        return
    files = " and ".join(map(str, made.files))
    _console.line(
        f"{files}: {size / 1e6:.2f} MB, input {made.input} {_shape(made)} of 0 to 255, made for "
        f"{found.resolution} px; outputs {', '.join(made.outputs)}"
    )
    _console.line(
        f"{made.runtime}'s outputs differ from PyTorch's by {made.difference:.1e} of their range"
    )
    _console.line(f"next: {_next(found, made)}")


def _next(tier: Tier, made: Exported) -> str:
    if made.runtime == "onnxruntime" and tier.skeleton is not None:
        return f"ofa-pose predict {shlex.quote(str(made.path))} photo.jpg"
    outputs = " and ".join(made.outputs)
    layout = "" if made.as_planned == "y" else f", each y as {made.as_planned},"
    takes = "the maps that ofa_pose.pose.decode_outputs takes" if tier.skeleton else "its outputs"
    return (
        f"give {made.runtime} a picture as {made.input}, float32 {_shape(made)}, RGB of 0 to 255; "
        f"{outputs}{layout} are {takes}"
    )


def _shape(made: Exported) -> str:
    return f"({', '.join(map(str, made.shape))})"
