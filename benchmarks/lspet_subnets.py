"""Inherited AP of a few fixed subnets of a supernet, on photographs and synthetic scenes.

    python benchmarks/lspet_subnets.py --data lspet --supernet runs/lspet-supernet/last.safetensors

The photographs are mosaics of the validation pictures; no training and no search has seen either
kind. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lspet_sources import CANVAS, calibration_scenes, report_scenes

import ofa_pose as op
from ofa_pose.data import SyntheticScenes
from ofa_pose.evaluate import SubnetEvaluator
from ofa_pose.supernet import load_supernet

RESOLUTIONS = (384, 256, 128)


def main() -> None:
    """Score and print."""
    options = parse()
    supernet = load_supernet(options.supernet)
    space = supernet.space

    def painted(seed: int, count: int) -> SyntheticScenes:
        return SyntheticScenes(seed, count, size=CANVAS, skeleton="crowdpose")

    evaluators = [
        SubnetEvaluator(supernet, calibration=calibration, scenes=scenes)
        for calibration, scenes in (
            (calibration_scenes(options.data), report_scenes(options.data, options.scenes)),
            (painted(101, 64), painted(102, options.scenes)),
        )
    ]
    print("| subnet | exact MACs | AP, mosaics of lspet/val | AP50 | AP, synthetic | AP50 |")
    print("|---|---|---|---|---|---|")
    for resolution in RESOLUTIONS:
        for width, extreme in (("full", space.largest), ("smallest", space.smallest)):
            arch = space.arch({**extreme, "resolution": resolution})
            scores = [evaluate(arch) for evaluate in evaluators]
            figures = " | ".join(f"{s['AP']:.3f} | {s['AP50']:.3f}" for s in scores)
            macs = op.count(space, arch).macs["exact"] / 1e6
            print(f"| {width} width, {resolution} px | {macs:,.0f} M | {figures} |", flush=True)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the lspet set")
    parser.add_argument("--supernet", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=150)
    return parser.parse_args()


if __name__ == "__main__":
    main()
