"""`ofa-pose data`: make data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ofa_pose.cli import _console
from ofa_pose.cli._options import JsonOption, SeedOption
from ofa_pose.cli._progress import Meter

app = typer.Typer(no_args_is_help=True, help="Make data sets.")


@app.callback()
def _root() -> None:
    """Make data sets."""


@app.command("synth", epilog="Example: ofa-pose data synth people --count 200 --split train")
def synth(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Made if absent.")],
    count: Annotated[int, typer.Option("--count", min=1, help="Number of scenes.")] = 100,
    size: Annotated[
        int,
        typer.Option("--size", min=64, max=4096, metavar="PIXELS", help="Side of the pictures."),
    ] = 256,
    skeleton: Annotated[
        str, typer.Option("--skeleton", metavar="NAME|FILE", help="Joints: crowdpose, coco, ...")
    ] = "crowdpose",
    split: Annotated[str, typer.Option("--split", help="Name of this part of the set.")] = "train",
    seed: SeedOption = 0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the split.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write synthetic people as a COCO-keypoint data set that every verb's --data takes.

    SPLIT.png beside it shows the first scenes with their joints.
    """
    from ofa_pose.data import SyntheticScenes, write_coco, write_contact_sheet

    scenes = SyntheticScenes(seed, count, size=size, skeleton=skeleton)
    with Meter("data synth") as meter:
        path = write_coco(scenes, folder, split=split, force=force, progress=meter.show)
    sheet = folder / f"{split}.png"
    write_contact_sheet(sheet, scenes)
    if as_json:
        _console.emit_json({"folder": folder, "annotations": path, "sheet": sheet, "scenes": count})
    else:
        _console.line(f"wrote {count} scenes to {folder}; split {split!r}: {path}; a look: {sheet}")
