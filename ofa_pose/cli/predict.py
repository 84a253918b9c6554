"""`ofa-pose predict`: a tier's network on pictures, a video or a camera."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ofa_pose.cli import _console
from ofa_pose.cli._options import (
    DeviceOption,
    FlipOption,
    ForceOption,
    JsonOption,
    OutOption,
    ScalesOption,
)
from ofa_pose.cli._scales import parse_scales
from ofa_pose.errors import UsageError
from ofa_pose.interrupt import terminated_as_interrupted

EPILOG = (
    "Example: ofa-pose predict runs/search-litepose-lite0/XS.yaml photo.jpg\n\n"
    "Example: ofa-pose predict XS.yaml video.mp4 --track --smooth\n\n"
    "Example: ofa-pose predict XS.yaml 0 --frames 300 --json\n\n"
    "Example: ofa-pose predict XS.onnx 0 --track"
)

_HOW = (
    "`ofa-pose search --budget 600M` makes one, runs/search-litepose-lite0/M.yaml, from the "
    "weights in the box"
)


def _how(given: Path) -> str:
    """Return where a tier is to be had: beside the weights or in the run's folder given."""
    beside = given.with_suffix(".yaml")
    if given.is_file() and beside.is_file():
        return f"beside it is {beside}"
    found = sorted(
        path for path in given.glob("*.yaml") if path.with_suffix(".safetensors").exists()
    )
    if not found:
        return _HOW
    return f"give one of its own: {', '.join(map(str, found))}"


def command(
    tier: Annotated[
        Path | None,
        typer.Argument(
            metavar="TIER",
            help="YAML that a search or a training wrote, or the ONNX file that export made of it.",
        ),
    ] = None,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE...",
            help="Pictures and folders of pictures; or one video; or a camera's number.",
        ),
    ] = None,
    flip: FlipOption = False,
    scales: ScalesOption = "1",
    min_score: Annotated[
        float,
        typer.Option(
            "--min-score", min=0.0, max=1.0, help="Leave out people of a lower score; 0: keep all."
        ),
    ] = 0.2,
    overlays: Annotated[
        bool, typer.Option("--overlays/--no-overlays", help="Draw what was found.")
    ] = True,
    track: Annotated[
        bool, typer.Option("--track", help="Give people of a video ids that stay theirs.")
    ] = False,
    smooth: Annotated[
        bool,
        typer.Option("--smooth", help="Steady the joints of a video (One-Euro filter; tracks)."),
    ] = False,
    frames: Annotated[
        int | None, typer.Option("--frames", min=1, help="Stop after so many frames.")
    ] = None,
    device: DeviceOption = "cpu",
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            min=1,
            help="Processors that run the network, as in latency build; default: all.",
        ),
    ] = None,
    out: OutOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find people: skeletons drawn over pictures or frames, and their joints as JSON.

    Writes overlays/ or overlay.mp4, results.json (COCO's form) and people.json.
    Left limbs are light with white joints, right limbs dark with black joints.
    """
    if tier is None:
        raise UsageError(f"a tier's YAML and something to look at are needed; {_HOW}")
    if tier.suffix.lower() not in (".yaml", ".yml", ".onnx"):
        raise UsageError(f"{tier} is not the YAML of a tier, which comes first; {_how(tier)}")
    if not sources:
        raise UsageError(
            "nothing to look at: give pictures, a folder, a video or the number of a camera"
        )
    sizes = parse_scales(scales)
    from ofa_pose.cli._predicting import Request, predict_film, predict_pictures
    from ofa_pose.export import load_runnable
    from ofa_pose.predict import film_source, find_pictures

    films = [film_source(name) for name in sources]
    film = films[0] if len(films) == 1 else None
    if film is None:
        given = {"--track": track, "--smooth": smooth, "--frames": frames is not None}
        for option in (option for option, is_given in given.items() if is_given):
            raise UsageError(f"{option} is for a video or a camera, given alone")
    if any(isinstance(one, int) for one in films) and film is None:
        raise UsageError("a camera is given alone, without other sources")
    pictures = find_pictures(sources) if film is None else []
    found = load_runnable(tier, device=device, threads=threads)
    request = Request(
        tier=found,
        sources=tuple(sources),
        device=device,
        threads=threads,
        flip=flip,
        scales=sizes,
        min_score=min_score,
        overlays=overlays,
        track=track,
        smooth=smooth,
        out=out,
        force=force,
    )
    with terminated_as_interrupted(hangup=True):
        summary = (
            predict_pictures(request, pictures)
            if film is None
            else predict_film(request, film, most=frames)
        )
    if as_json:
        _console.emit_json(summary.document())
    else:
        _console.line(summary.text())
    if summary.interrupted:
        raise KeyboardInterrupt
