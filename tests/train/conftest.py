"""Small scenes and run folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ofa_pose import load_skeleton
from ofa_pose.data import Scene
from ofa_pose.data.scene import ground_truth_of
from ofa_pose.runs import RunFolder
from ofa_pose.skeleton import Skeleton


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
