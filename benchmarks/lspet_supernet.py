r"""Train the `litepose-lite0` supernet on photographs and synthetic scenes.

    python benchmarks/lspet_single.py --data lspet --out runs/lspet-single
    python benchmarks/lspet_supernet.py --data lspet --init runs/lspet-single/last.safetensors \
        --minutes 120 --out runs/lspet-supernet

As in the paper, the full-width network is trained first; its channels are sorted once and give
the shared weights.
`--resume` continues a stopped run. `starter.py` goes on from its result.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lspet_sources import calibration_scenes, search_scenes, train_scenes

import ofa_pose as op
from ofa_pose.evaluate import SubnetEvaluator
from ofa_pose.memory import keep_freed_memory
from ofa_pose.runs import RunFolder
from ofa_pose.supernet import load_state, load_weights, order_channels
from ofa_pose.train import (
    Cadence,
    TrainBudget,
    make_recipe,
    train_supernet,
    validate_subnets,
)

OVERRIDES = {"augmentation": {"scale": [0.6, 1.2]}}


def main() -> None:
    """Train, or go on training."""
    keep_freed_memory()
    options = parse()
    space = op.load_space("litepose-lite0")
    supernet = op.Supernet(space, seed=0, skeleton="crowdpose")
    state, _ = load_weights(options.init)
    load_state(supernet.network, state, source=str(options.init))
    order_channels(supernet)
    evaluate = SubnetEvaluator(
        supernet,
        calibration=calibration_scenes(options.data),
        scenes=search_scenes(options.data, count=40),
        calibration_images=32,
    )
    config = {
        "verb": "train",
        "space": space.name,
        "init": options.init,
        "minutes": options.minutes,
    }
    with RunFolder.open(options.out, config=config, resume=options.resume) as run:
        result = train_supernet(
            supernet,
            train_scenes(options.data),
            run=run,
            recipe=make_recipe(space, "supernet", overrides=OVERRIDES),
            budget=TrainBudget(minutes=options.minutes),
            validate=validate_subnets(supernet, evaluate),
            cadence=Cadence(validations=8, checkpoint_seconds=120),
            resume=options.resume,
        )
    print(f"{result.steps} steps in {result.seconds / 60:.0f} min, best AP {result.best}")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the lspet set")
    parser.add_argument("--init", type=Path, required=True, help="weights of the full width")
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--out", type=Path, default=Path("runs/lspet-supernet"))
    parser.add_argument("--resume", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
