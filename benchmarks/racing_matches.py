"""What every arch of a small space gets on every picture, for `racing.py` and `search.py`.

    python benchmarks/racing_matches.py --data lspet --out runs/racing

The space: part of `litepose-lite0`, with the starter's weights. An arch that is there is not
computed again.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from lspet_sources import CANVAS, calibration_scenes, report_scenes

import ofa_pose as op
from ofa_pose.data import SyntheticScenes
from ofa_pose.evaluate import SubnetEvaluator
from ofa_pose.memory import keep_freed_memory
from ofa_pose.pose.matches import Matches
from ofa_pose.space import Choice
from ofa_pose.supernet import load_supernet

STARTER = Path(__file__).parents[1] / "search_spaces/weights/litepose-lite0-starter.safetensors"
VARIED = {
    "resolution": (192, 128),
    "stage2": (40, 24),
    "stage3": (80, 64, 40),
    "stage4": (112, 88, 56),
    "deconv1": (48, 40, 24),
    "deconv2": (32, 16),
}
"""The choices that vary; the others stay at their largest value."""


def part_of_space() -> op.SearchSpace:
    """The small space: the choices that do not vary have only their largest value."""
    whole = op.load_space("litepose-lite0")
    choices = [
        Choice(choice.name, VARIED.get(choice.name, choice.values[:1])) for choice in whole.choices
    ]
    return replace(whole, name="part of litepose-lite0", choices=tuple(choices), archs={}, tiers={})


def load(folder: Path, space: op.SearchSpace) -> dict[op.Arch, Matches]:
    """What has been computed so far."""
    found = {}
    for index in range(len(space)):
        path = folder / f"{index}.npz"
        if path.exists():
            with np.load(path) as arrays:
                found[space[index]] = Matches(**arrays)
    return found


def main() -> None:
    """Compute and save."""
    options = parse()
    keep_freed_memory()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    supernet = load_supernet(STARTER)
    space = part_of_space()
    if options.data is None:
        scenes = SyntheticScenes(202, options.scenes, size=CANVAS, skeleton="crowdpose")
        calibration = SyntheticScenes(201, 16, size=CANVAS, skeleton="crowdpose")
    else:
        scenes = report_scenes(options.data, options.scenes)
        calibration = calibration_scenes(options.data, 16)
    evaluate = SubnetEvaluator(supernet, calibration=calibration, scenes=scenes)
    order = np.random.default_rng(0).permutation(len(space))  # the first few are a sample
    for number, index in enumerate(order[::-1] if options.reverse else order, start=1):
        if (options.out / f"{index}.npz").exists():
            continue
        arch = supernet.space.arch(dict(space[index]))
        matches = evaluate.matches(evaluate.prepared(arch), arch, range(len(scenes)))
        part = options.out / f"{index}.part"
        with part.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **matches.arrays())
        part.replace(options.out / f"{index}.npz")
        print(f"{number} of {len(space)}: AP {matches.ap():.4f}", flush=True)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the lspet set; else synthetic scenes")
    parser.add_argument("--scenes", type=int, default=96)
    parser.add_argument("--reverse", action="store_true", help="for a second process beside")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
