"""Trains on noise under `torchrun`; run by test_distributed.py.

torchrun --nproc-per-node 2 train_together.py FOLDER SETTINGS(JSON)
"""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist

sys.path.insert(0, str(Path(__file__).parent))
from conftest import NoiseScenes
from deep_family import deep_space

from ofa_pose import Supernet, load_space
from ofa_pose.data import Scene
from ofa_pose.errors import DataError
from ofa_pose.evaluate import SubsetScenes
from ofa_pose.train import Cadence, Recipe, TrainBudget, World, joined, train_supernet


class Frozen(Supernet):
    """Its batch norms keep their statistics while it trains."""

    def train(self, mode: bool = True) -> "Frozen":
        super().train(mode)
        for module in self.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self


class Broken(NoiseScenes):
    """One picture cannot be read."""

    def __getitem__(self, index: int) -> Scene:
        if index == 3:
            raise DataError("picture 3 is gone")
        return super().__getitem__(index)


def train(folder: Path, settings: dict) -> None:
    """Train; every process checks that it holds what the first one holds."""
    kind = Frozen if settings.pop("frozen", False) else Supernet
    stop_after = settings.pop("stop_after", None)
    space = deep_space() if settings.pop("deep", False) else load_space("toy")
    supernet = kind(space, skeleton="crowdpose", seed=World.current().rank)

    bad_on = settings.pop("bad_picture_on", None)
    scenes = Broken() if bad_on == World.current().rank else NoiseScenes()
    if settings.pop("fewer_on", None) == World.current().rank:
        scenes = SubsetScenes(scenes, range(len(scenes) - 1))

    def progress(step, total, figures):
        if step == stop_after:
            raise SystemExit("stopped")

    options = {"config": {"verb": "train"}, "resume": settings.pop("resume", False)}
    with World.current().open_run(folder, **options) as run:
        train_supernet(
            supernet,
            scenes,
            run=run,
            recipe=Recipe.model_validate({"batch_size": 4, "lr": 2e-3, **settings}),
            seed=1,
            budget=TrainBudget(steps=20),
            cadence=Cadence(log_every=5, checkpoint_steps=5),
            workers=0,
            resume=run.resumed,
            progress=progress,
        )
    if World.current().size > 1:
        held: list = [None] * World.current().size
        dist.all_gather_object(held, supernet.state_dict())
        for name, tensor in held[0].items():
            if not all(torch.equal(tensor, other[name]) for other in held[1:]):
                raise SystemExit(f"{name} differs between the processes")


if __name__ == "__main__":
    with joined("cpu"):
        train(Path(sys.argv[1]), json.loads(sys.argv[2]))
