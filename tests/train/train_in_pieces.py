"""Begins or goes on with the run in a folder and prints each step; test_killed.py kills it.

python train_in_pieces.py FOLDER
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from conftest import NoiseScenes

from ofa_pose import Supernet, load_space
from ofa_pose.runs import RunFolder
from ofa_pose.train import Cadence, Recipe, TrainBudget, train_supernet

STEPS = 60


def tell(step, total, figures):
    """Print the step, and leave time for a kill between two steps."""
    print(step, flush=True)
    time.sleep(0.02)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    with RunFolder.open(path, config={"verb": "train"}, resume=path.exists()) as run:
        train_supernet(
            Supernet(load_space("toy"), skeleton="crowdpose", seed=3),
            NoiseScenes(),
            run=run,
            # All that has a memory: the optimizer, the schedule, the average, the sampler.
            recipe=Recipe(
                optimizer="adamw", weight_decay=0.1, batch_size=3, lr=2e-3, schedule="cosine",
                warmup_steps=5, ema=0.9, sampler="sandwich", sandwich_random=1,
            ),
            budget=TrainBudget(steps=STEPS),
            cadence=Cadence(log_every=7, validate_every=9, checkpoint_steps=2),
            validate=lambda step: {"AP": (step % 5) / 10},
            workers=1,
            seed=1,
            resume=run.resumed,
            progress=tell,
        )  # fmt: skip
