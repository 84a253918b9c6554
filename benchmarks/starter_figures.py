"""The figures of a starter's card: AP of a few of its subnets on what no training has seen.

    python benchmarks/starter_figures.py --data data --supernet runs/starter/sizes/last.safetensors

`data` holds the sets `lspet`, `coco_mini` and `pelota`; without it only painted scenes are scored.
Weights as inherited, batch norms re-calibrated on training pictures of the kind that is scored.
Prints a Markdown table of AP (AP50).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lspet_sources import photographs, report_scenes
from starter import held_out

import ofa_pose as op
from ofa_pose.data import CocoScenes, SceneSource, SyntheticScenes, map_scenes
from ofa_pose.evaluate import SubnetEvaluator, SubsetScenes
from ofa_pose.supernet import load_supernet

RESOLUTIONS = (384, 256, 128)
CALIBRATE_SEED, REPORT_SEED = 101, 102


def main() -> None:
    """Score and print."""
    options = parse()
    supernet = load_supernet(options.supernet)
    space = supernet.space
    sets = painted(options.scenes)
    if options.data is not None:
        sets = {**photographed(options.data, options.scenes), **sets}
    evaluators = {
        name: SubnetEvaluator(supernet, calibration=calibration, scenes=scenes, flip=options.flip)
        for name, (calibration, scenes) in sets.items()
    }
    sizes = (f"{name} ({len(scenes)})" for name, (_, scenes) in sets.items())
    print("| subnet | exact MACs | " + " | ".join(sizes) + " |")
    print("|---" * (len(sets) + 2) + "|")
    for resolution in RESOLUTIONS:
        for width, extreme in (("full", space.largest), ("smallest", space.smallest)):
            arch = space.arch({**extreme, "resolution": resolution})
            macs = op.count(space, arch).macs["exact"] / 1e6
            cells = []
            for evaluate in evaluators.values():
                scores = evaluate(arch)
                cells.append(f"{scores['AP']:.3f} ({scores['AP50']:.3f})")
            row = (f"{width} width, {resolution} px", f"{macs:,.0f} M", *cells)
            print("| " + " | ".join(row) + " |", flush=True)


def painted(count: int) -> dict[str, tuple[SceneSource, SceneSource]]:
    """Return painted scenes to calibrate on and to report on."""
    calibration, scenes = (
        SyntheticScenes(seed, number, size=256, skeleton="crowdpose")
        for seed, number in ((CALIBRATE_SEED, 64), (REPORT_SEED, count))
    )
    return {"painted": (calibration, scenes)}


def photographed(data: Path, count: int) -> dict[str, tuple[SceneSource, SceneSource]]:
    """Return for each set of photographs what calibrates (training pictures) and what reports."""
    known = held_out(data / "lspet")
    mosaics, singles = known["mosaic"][0], known["single"][0]
    single = photographs(data / "lspet", "val")
    return {
        "mosaics of lspet/val": (mosaics, report_scenes(data / "lspet", count)),
        "single lspet/val": (
            singles,
            SubsetScenes(single, range(0, len(single), len(single) // count)),
        ),
        **{name: (mosaics, coco(data / name)) for name in ("coco_mini", "pelota")},
    }


def coco(folder: Path) -> SceneSource:
    """Return a set with COCO's joints as one with CrowdPose's; what COCO lacks does not count."""
    path = folder / "annotations" / "train.json"
    source = CocoScenes(path, folder / "images", skeleton="coco", only_people=True)
    return map_scenes(source, op.load_skeleton("crowdpose"))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the sets")
    parser.add_argument("--supernet", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=100, help="of a set, at most")
    parser.add_argument("--flip", action="store_true", help="score with the flip test")
    return parser.parse_args()


if __name__ == "__main__":
    main()
