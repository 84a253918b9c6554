"""Small scenes, run folders, and one short run that others are compared with."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ofa_pose import Supernet, load_skeleton, load_space
from ofa_pose.data import Scene
from ofa_pose.data.scene import ground_truth_of
from ofa_pose.runs import RunFolder
from ofa_pose.skeleton import Skeleton
from ofa_pose.supernet import load_weights
from ofa_pose.train import Cadence, Recipe, TrainBudget, TrainResult, train_supernet


class NoiseScenes:
    """Noise pictures with two people at random places; a pure function of the index."""

    def __init__(self, count: int = 10, size: int = 40) -> None:
        self.count, self.size = count, size

    @property
    def skeleton(self) -> Skeleton:
        return load_skeleton("crowdpose")

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Scene:
        rng = np.random.default_rng([7, index])
        keypoints = np.full((2, self.skeleton.num_joints, 3), 2.0, np.float32)
        keypoints[:, :, :2] = rng.uniform(4, self.size - 4, (2, self.skeleton.num_joints, 2))
        return Scene(
            image=rng.integers(0, 256, (self.size, self.size, 3), dtype=np.uint8),
            keypoints=keypoints,
            valid=np.ones((self.size, self.size), bool),
            image_id=index,
            boxes=np.array([[0, 0, self.size, self.size]] * 2, np.float32),
            areas=np.full(2, self.size**2, np.float32),
        )

    def ground_truth(self) -> dict[str, Any]:
        return ground_truth_of([self[i] for i in range(len(self))], self.skeleton)

    def fingerprint(self) -> str:
        return f"{self.count} of {self.size} px"


@pytest.fixture(scope="session")
def scenes() -> NoiseScenes:
    return NoiseScenes()


@pytest.fixture
def open_run(tmp_path: Path) -> Callable[..., RunFolder]:
    """Open a run folder by name; `resume=True` continues it."""

    def open_(name: str = "run", **options: Any) -> RunFolder:
        return RunFolder.open(tmp_path / name, config={"verb": "train"}, **options)

    return open_


class ShortRun:
    """Twelve steps of the toy supernet, with validations and checkpoints; and what they come to."""

    steps = 12

    def __init__(self) -> None:
        self.state: dict[str, Tensor] = {}
        self.folder = Path()

    def fresh(self) -> Supernet:
        """Return the supernet that every run starts from."""
        return Supernet(load_space("toy"), skeleton="crowdpose", seed=3)

    def count_up(self, step: int) -> dict[str, float]:
        """A validation whose AP has its maximum at step 8."""
        return {"AP": {4: 0.25, 8: 0.75, 12: 0.5}[step]}

    def interrupt_after(self, last: int) -> Callable[..., None]:
        """Return a progress callback that presses Ctrl-C after some step."""

        def progress(step: int, total: int | None, figures: Mapping[str, float]) -> None:
            if step == last:
                signal.raise_signal(signal.SIGINT)

        return progress

    def train(self, supernet: Supernet, scenes: Any, run: RunFolder, **options: Any) -> TrainResult:
        """Train, by default as the uninterrupted run was."""
        defaults: dict[str, Any] = {
            "recipe": Recipe(batch_size=3, lr=2e-3, schedule="cosine", warmup_steps=2),
            "budget": TrainBudget(steps=self.steps),
            "cadence": Cadence(log_every=5, validate_every=4, checkpoint_steps=3),
            "validate": self.count_up,
            "workers": 0,
            "seed": 1,
        }
        with run:
            return train_supernet(supernet, scenes, run=run, **{**defaults, **options})

    def assert_same(self, first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> None:
        """Compare two state dicts to the bit."""
        assert first.keys() == second.keys()
        for name, tensor in first.items():
            assert torch.equal(tensor, second[name]), name

    def assert_equals_whole(self, supernet: Supernet, folder: Path) -> None:
        """Compare a run's weights and rows with those of the uninterrupted run."""
        self.assert_same(supernet.state_dict(), self.state)
        for name in ("last.safetensors", "best.safetensors"):
            found, found_metadata = load_weights(folder / name)
            expected, metadata = load_weights(self.folder / name)
            self.assert_same(found, expected)
            assert found_metadata == metadata
        rows = [(path / "metrics.csv").read_text() for path in (folder, self.folder)]
        assert rows[0] == rows[1]


@pytest.fixture(scope="session")
def short(scenes: NoiseScenes, tmp_path_factory: pytest.TempPathFactory) -> ShortRun:
    """The short run, once taken without interruption: `state` and `folder` are its outcome."""
    run = ShortRun()
    supernet = run.fresh()
    run.folder = tmp_path_factory.mktemp("whole") / "run"
    run.train(supernet, scenes, RunFolder.open(run.folder, config={"verb": "train"}))
    run.state = supernet.state_dict()
    return run


@pytest.fixture
def finished(short: ShortRun, tmp_path: Path) -> Path:
    """A copy of the uninterrupted run, to be spoilt."""
    return shutil.copytree(short.folder, tmp_path / "run")
