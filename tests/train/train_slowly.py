"""The short run of conftest.py, slowed down to be killed; its argument is the folder."""

import sys
import time

from conftest import NoiseScenes

from ofa_pose import Supernet, load_space
from ofa_pose.runs import RunFolder
from ofa_pose.train import Cadence, Recipe, TrainBudget, train_supernet

if __name__ == "__main__":
    train_supernet(
        Supernet(load_space("toy"), skeleton="crowdpose", seed=3),
        NoiseScenes(),
        run=RunFolder.open(sys.argv[1], config={"verb": "train"}),
        recipe=Recipe(batch_size=3, lr=2e-3, schedule="cosine", warmup_steps=2),
        budget=TrainBudget(steps=12),
        cadence=Cadence(log_every=5, validate_every=4, checkpoint_steps=3),
        validate=lambda step: {"AP": {4: 0.25, 8: 0.75, 12: 0.5}[step]},
        workers=1,
        seed=1,
        progress=lambda step, total, figures: time.sleep(0.3),
    )
