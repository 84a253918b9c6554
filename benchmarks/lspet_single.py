"""Real learning, one network: full-width `litepose-lite0` at 128 px, one person a picture.

    python benchmarks/lspet_single.py --data lspet --minutes 20 --out runs/lspet-single

From ImageNet weights, on the first 8,000 training pictures; AP on the 989 validation pictures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lspet_sources import photographs, train_pictures

import ofa_pose as op
from ofa_pose.evaluate import evaluate_network
from ofa_pose.memory import keep_freed_memory
from ofa_pose.models.imported import load_efficientnet_lite0
from ofa_pose.runs import RunFolder
from ofa_pose.train import Cadence, TrainBudget, finetune, make_recipe

OVERRIDES = {"lr": 2e-3, "augmentation": {"rotation": 25, "scale": [0.75, 1.1]}}


def main() -> None:
    """Train and score."""
    keep_freed_memory()
    options = parse()
    space = op.load_space("litepose-lite0")
    arch = space.arch({**space.largest, "resolution": 128})
    network = op.build(space, arch, seed=0, skeleton="crowdpose")
    load_efficientnet_lite0(network)
    config = {"verb": "train", "arch": arch.key, "minutes": options.minutes}
    with RunFolder.open(options.out, config=config, resume=options.resume) as run:
        result = finetune(
            network,
            train_pictures(options.data),
            space=space,
            arch=arch,
            run=run,
            recipe=make_recipe(space, "finetune", overrides=OVERRIDES),
            budget=TrainBudget(minutes=options.minutes),
            cadence=Cadence(log_every=100),
            resume=options.resume,
        )
    scores = evaluate_network(
        network, photographs(options.data, "val"), resolution=128, space=space
    )
    images = 16 * result.steps
    print(
        f"{images} images in {result.seconds / 60:.1f} min ({images / result.seconds:.0f} a "
        f"second): AP {scores['AP']:.3f}, AP50 {scores['AP50']:.3f}"
    )


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the lspet set")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--out", type=Path, default=Path("runs/lspet-single"))
    parser.add_argument("--resume", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
