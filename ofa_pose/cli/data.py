"""`ofa-pose data`: make data sets, look them over, cut them into parts."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ofa_pose.cli import _console
from ofa_pose.cli._commands import refuse_idle
from ofa_pose.cli._options import (
    AnnotationsOption,
    ImagesOption,
    JsonOption,
    SeedOption,
    SplitOption,
)
from ofa_pose.cli._progress import Meter
from ofa_pose.cli._sources import Pictures, use_of_split
from ofa_pose.cli._verbs import Verbs
from ofa_pose.errors import DataError, OfaPoseError, UsageError
from ofa_pose.files import atomic_write
from ofa_pose.outputs import output_file

if TYPE_CHECKING:
    from ofa_pose.data.check import SetCheck, SetReport
    from ofa_pose.skeleton import Skeleton

_SHEET_CELLS, _SHEET_SIDE = 16, 384
_NAMED = 3  # of each kind of fault, so many are named
_PARTS = ("train=0.7", "calibrate=0.1", "search=0.1", "report=0.1")

app = typer.Typer(
    cls=Verbs, no_args_is_help=True, rich_markup_mode=None, help="Make, check and split data sets."
)


@app.command("synth", epilog="Example: ofa-pose data synth people --count 200 --split train")
def synth(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Of the data set; made if absent.")
    ],
    count: Annotated[int, typer.Option("--count", min=1, help="Number of scenes.")] = 100,
    size: Annotated[
        int,
        typer.Option("--size", min=64, max=4096, metavar="PIXELS", help="Side of the pictures."),
    ] = 256,
    skeleton: Annotated[
        str,
        typer.Option(
            "--skeleton",
            metavar="NAME|FILE",
            help="Joints: crowdpose, coco, mpii, aic or a YAML file.",
        ),
    ] = "crowdpose",
    split: Annotated[str, typer.Option("--split", help="Name of this part of the set.")] = "train",
    seed: SeedOption = 0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the split.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write synthetic people as a COCO-keypoint data set that every verb's --data takes.

    FOLDER/SPLIT.png shows the first scenes with their joints; anything but an earlier one stays
    unless --force is given. What was interrupted has no annotations and is written anew.
    """
    from ofa_pose.data import SyntheticScenes, write_coco, write_contact_sheet
    from ofa_pose.data.draw import source_of_png

    sheet = folder / f"{split}.png"
    source = (folder / "annotations" / f"{split}.json").resolve().as_uri()
    target = output_file(sheet, force=force or source_of_png(sheet) == source)
    scenes = SyntheticScenes(seed, count, size=size, skeleton=skeleton)
    start = time.monotonic()
    rate = 0.0
    with Meter("data synth") as meter:

        def progress(done: int, total: int) -> None:
            nonlocal rate
            rate = done / (time.monotonic() - start)
            meter.show(done, total, {"scenes/s": rate})

        path = write_coco(scenes, folder, split=split, force=force, progress=progress)
    write_contact_sheet(target, scenes, made_of=source)
    if as_json:
        made = {"folder": folder, "annotations": path, "sheet": sheet}
        _console.emit_json({**made, "scenes": count, "scenes_per_s": round(rate, 2)})
        return
    _console.line(
        f"wrote {count} {'scene' if count == 1 else 'scenes'} to {folder}, {rate:.3g} a second; "
        f"split {split!r}: {path}; a look: {sheet}"
    )


SetArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER|FILE",
        help="A data set in COCO's or CrowdPose's layout, or its annotations JSON.",
    ),
]


@app.command("check", epilog="Example: ofa-pose data check photos --split train --sheet look.png")
def check(
    context: typer.Context,
    data: SetArgument,
    split: SplitOption = "train",
    annotations: AnnotationsOption = None,
    images: ImagesOption = None,
    skeleton: Annotated[
        str | None,
        typer.Option(
            "--skeleton", metavar="NAME|FILE", help="Its joints; default: those the file names."
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            "--sheet",
            metavar="FILE",
            help="PNG of some pictures; default: check-<set>-<split>.png here, which the next "
            "check of the same set replaces.",
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Decode no picture: look at the two ends of its file only."),
    ] = False,
    without_pictures: Annotated[
        bool, typer.Option("--no-pictures", help="Check the annotations alone; draw no sheet.")
    ] = False,
    named: Annotated[
        int, typer.Option("--named", min=1, help="Of each kind of fault, name so many.")
    ] = _NAMED,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite a file that has the sheet's name.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Look a data set over: ids, files, sizes, joints, boxes, people twice; draws some of it.

    Exit code 1 if there is a fault. What is odd and does no harm is noted.
    """
    from ofa_pose.data.check import SetCheck
    from ofa_pose.data.layouts import has_split
    from ofa_pose.skeleton import load_skeleton

    of_pictures = "pictures are not looked at with --no-pictures"
    uses = {"split": use_of_split(Pictures(data, annotations, images), split)}
    for name in ("sheet", "quick", "images"):
        uses[name] = (not without_pictures, of_pictures)
    refuse_idle(context, uses)
    file, folder = _find(data, split, annotations, images, needed=not without_pictures)
    if sheet is not None:
        sheet = output_file(sheet, force=force, reads=[file, folder, skeleton])
    joints = None if skeleton is None else load_skeleton(skeleton)
    looked = SetCheck(file, None if without_pictures else folder, skeleton=joints, decode=not quick)
    with Meter("data check") as meter:
        report = looked.run(meter.show)
    written, unwritten = None, None
    try:
        written = _draw_sheet(looked, file, sheet, force=force)
    except OfaPoseError as error:  # what was found is told before
        unwritten = error
    if as_json:
        _console.emit_json(_check_document(file, looked.skeleton, report, sheet=written))
    else:
        _tell_check(file, looked.skeleton, report, sheet=written, named=named)
        other = "train" if split == "val" else "val"
        if annotations is None and data.is_dir() and has_split(data, other):
            _console.line(f"this is split {split!r}; --split {other} looks at the other")
    if unwritten is not None:
        raise unwritten
    if report.faults:
        raise typer.Exit(1)


def _draw_sheet(looked: SetCheck, file: Path, sheet: Path | None, *, force: bool) -> Path | None:
    """Draw some scenes of a set that was checked; return the file, None where there are none.

    Args:
        looked: the set.
        file: its annotations.
        sheet: where to; None is a file here that is named after the set, where the sheet of an
            earlier check of the same set may lie.
        force: overwrite another file of that name.

    Raises:
        RunFolderError: something else has the sheet's name.
        OfaPoseError: the sheet cannot be written.
    """
    from ofa_pose.data.draw import contact_sheet, draw_scene, fit_scene, source_of_png, write_png
    from ofa_pose.data.layouts import dataset_of

    scenes = looked.scenes(_SHEET_CELLS)
    if not scenes:
        return None
    source = file.resolve().as_uri()
    if sheet is None:
        sheet = Path(f"check-{dataset_of(file).name}-{file.stem}.png")
        output_file(sheet, force=force or source_of_png(sheet) == source, reads=[file])
    drawn = [draw_scene(fit_scene(s, _SHEET_SIDE), looked.skeleton, zoom=1) for s in scenes]
    names = [f"image {scene.image_id}" for scene in scenes]
    write_png(sheet, contact_sheet(drawn, captions=names, cell=_SHEET_SIDE), source=source)
    return sheet


def _find(
    data: Path, split: str, annotations: Path | None, images: Path | None, *, needed: bool
) -> tuple[Path, Path | None]:
    """Return the annotation file, and the folder of pictures if it is needed or there."""
    from ofa_pose.data.layouts import find_annotations, find_set

    file = find_annotations(data, split=split, annotations=annotations)
    try:
        return find_set(data, split=split, annotations=annotations, images=images)
    except DataError:
        if needed:
            raise
        return file, None


def _tell_check(
    file: Path, skeleton: Skeleton, report: SetReport, *, sheet: Path | None, named: int
) -> None:
    from ofa_pose.data.check import NAMED_BY_FILE, first_of

    _console.line(f"{file}: skeleton {skeleton.name!r}, {skeleton.num_joints} joints")
    _console.table(("what", "how many"), list(report.counts.items()))
    _console.line()
    _console.table(("joint", "labelled"), list(report.labelled.items()))
    for title, found in (("fault", report.faults), ("note", report.notes)):
        for kind, places in found.items():
            _console.line(f"{title}: {kind}: {len(places):,} ({first_of(places, named)})")
    number = "1 fault" if report.num_faults == 1 else f"{report.num_faults:,} faults"
    _console.line(number if report.faults else "no faults")
    if sheet is not None:
        _console.line(f"a look: {sheet}")
    if skeleton.name == NAMED_BY_FILE:
        _console.line("other verbs need these joints as a skeleton's YAML: --skeleton FILE")


def _check_document(
    file: Path, skeleton: Skeleton, report: SetReport, *, sheet: Path | None
) -> dict[str, Any]:
    return {
        "annotations": file,
        "skeleton": skeleton.name,
        "counts": report.counts,
        "labelled": report.labelled,
        "faults": report.faults,
        "notes": {kind: len(places) for kind, places in report.notes.items()},
        "sheet": sheet,
    }


@app.command(
    "split",
    epilog="Example: ofa-pose data split photos --out parts\n\n"
    "Example: ofa-pose data split photos --out parts --part train=0.9 --part val=0.1 --seed 7",
)
def split_(
    context: typer.Context,
    data: SetArgument,
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Folder of the parts; made if absent.")
    ],
    part: Annotated[
        list[str] | None,
        typer.Option(
            "--part",
            metavar="NAME=SHARE",
            help=f"A part and its share of the pictures; may be repeated; "
            f"default: {', '.join(_PARTS)}.",
        ),
    ] = None,
    split: SplitOption = "train",
    annotations: AnnotationsOption = None,
    images: ImagesOption = None,
    seed: SeedOption = 0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the parts.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Cut a data set into parts that share no picture, such as a search needs.

    Writes FOLDER/annotations/PART.json, and links the pictures below FOLDER/images.
    """
    import json

    from ofa_pose.data.annotations import load_document
    from ofa_pose.data.parts import split_document

    shares = _parse_shares(part or _PARTS)
    targets = {name: out / "annotations" / f"{name}.json" for name in shares}
    refuse_idle(context, {"split": use_of_split(Pictures(data, annotations, images), split)})
    file, folder = _find(data, split, annotations, images, needed=images is not None)
    written = {
        name: output_file(target, force=force, reads=[file]) for name, target in targets.items()
    }
    document = load_document(file)
    parts = split_document(document, shares, seed=seed, folder=folder)
    for name, target in written.items():
        atomic_write(target, json.dumps(parts[name]))
    linked = folder is not None and all([_link(out / "images" / name, folder) for name in shares])
    rows = [
        (name, len(each["images"]), len(each["annotations"]), targets[name])
        for name, each in parts.items()
    ]
    if as_json:
        keys = ("part", "pictures", "annotations", "file")
        listed = [dict(zip(keys, row, strict=True)) for row in rows]
        _console.emit_json({"seed": seed, "images": folder, "linked": linked, "parts": listed})
        return
    _console.table(("part", "pictures", "annotations", "file"), rows)
    rest = len(document["images"]) - sum(len(each["images"]) for each in parts.values())
    if rest:
        _console.line(f"{rest} picture{'s are' if rest > 1 else ' is'} in no part")
    if targets.keys() >= {"search", "report", "calibrate"}:
        given = {
            "--data": out,
            "--report": targets["report"],
            "--calibration": targets["calibrate"],
        }
        words = [word for option, path in given.items() for word in (option, str(path))]
        _console.line(f"next: ofa-pose search --split search {shlex.join(words)}")
    if not linked:
        where = folder or "FOLDER"
        _console.line(f"the pictures are not linked: give --images {where} with each part")


def _parse_shares(texts: Sequence[str]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for text in texts:
        name, _, number = text.partition("=")
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise UsageError(f"cannot read --part {text!r}; write NAME=SHARE, such as train=0.8")
        if name in shares:
            raise UsageError(f"--part {name} is given twice")
        try:
            shares[name] = float(number)
        except ValueError:
            raise UsageError(f"--part {text!r} has no share; write {name}=0.8") from None
    return shares


def _link(link: Path, folder: Path) -> bool:
    """Let `link` lead to a folder; False where this system has no links or something is there."""
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink():
            link.unlink()
        link.symlink_to(folder.resolve(), target_is_directory=True)
    except OSError:
        return False
    return True
