"""Targets made at the sampled resolution: every tag index is the cell its joint falls into."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ofa_pose import load_skeleton, load_space
from ofa_pose.data import Augmentation, Scene, TrainBatches
from ofa_pose.skeleton import Skeleton
from ofa_pose.train import make_sampler

SPACE = load_space("litepose-xs")
RESOLUTIONS = (512, 448, 384, 320, 256)
SKELETON = load_skeleton("crowdpose")
TAG_STRIDE = 4
# Joints nearer to a cell's border, in pixels, may be rounded to either side of it: keypoints are
# float32, which tells numbers near 512 from each other at 6e-5.
ROUNDING = 1e-3

unit = st.floats(0, 1, exclude_max=True)


@dataclass(frozen=True)
class Window:
    """One drawn window: the five numbers in [0, 1) that an augmentation asks for, by their use."""

    side: float
    turn: float
    right: float
    down: float
    mirror: float

    def random(self, count: int) -> np.ndarray:
        """Stand in for the generator."""
        return np.array([self.side, self.turn, self.right, self.down, self.mirror])[:count]


@dataclass(frozen=True)
class Known(Augmentation):
    """The training augmentation, told what it will draw."""

    window: Window = Window(0.5, 0.5, 0.5, 0.5, 0.5)

    def apply(self, scene: Scene, resolution: int, rng: Any, *, skeleton: Skeleton) -> Scene:
        told: Any = self.window
        return super().apply(scene, resolution, told, skeleton=skeleton)


@dataclass(frozen=True)
class OneScene:
    """A grey picture of `size` (height, width) with (P, K, 2) joints."""

    size: tuple[int, int]
    joints: np.ndarray

    skeleton = SKELETON

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Scene:
        people = len(self.joints)
        visible = np.full((*self.joints.shape[:2], 1), 2.0)
        return Scene(
            image=np.full((*self.size, 3), 128, np.uint8),
            keypoints=np.concatenate([self.joints, visible], axis=2).astype(np.float32),
            valid=np.ones(self.size, bool),
            image_id=1,
            boxes=np.array([[0, 0, self.size[1], self.size[0]]] * people, np.float32),
            areas=np.ones(people, np.float32),
        )

    def ground_truth(self) -> dict[str, Any]:
        raise NotImplementedError

    def fingerprint(self) -> str:
        raise NotImplementedError


def landing(
    x: float, y: float, *, size: tuple[int, int], resolution: int, augmentation: Known
) -> tuple[float, float]:
    """Return where a point of the picture comes to lie in the network's input, in float64.

    The window's middle goes to the input's middle, its side to the input's side; the picture
    turns around it. Shifts are measured in a window of 200 px (HigherHRNet).
    """
    drawn = augmentation.window
    low, high = augmentation.scale
    window = min(size) * (low + (high - low) * drawn.side)
    angle = math.radians(augmentation.rotation * (2 * drawn.turn - 1))
    reach = window * augmentation.translation / 200
    right = x - (size[1] / 2 + reach * (2 * drawn.right - 1))
    down = y - (size[0] / 2 + reach * (2 * drawn.down - 1))
    zoom = resolution / window
    across = resolution / 2 + zoom * (right * math.cos(angle) - down * math.sin(angle))
    along = resolution / 2 + zoom * (right * math.sin(angle) + down * math.cos(angle))
    return (resolution - across if drawn.mirror < augmentation.flip else across), along


def test_the_resolutions_are_those_of_the_space():
    assert {arch.resolution for arch in (SPACE.largest, SPACE.smallest)} == {512, 256}
    choice = next(choice for choice in SPACE.choices if choice.name == "resolution")
    assert choice.values == RESOLUTIONS


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@settings(max_examples=40, deadline=None)
@given(
    window=st.builds(Window, unit, unit, unit, unit, unit),
    rotation=st.floats(0, 180),
    scale=st.tuples(st.floats(0.3, 3), st.floats(0.3, 3)).map(sorted),
    translation=st.floats(0, 100),
    size=st.tuples(st.integers(40, 200), st.integers(40, 200)),
    seed=st.integers(0, 2**31),
    people=st.integers(1, 3),
)
def test_tags_hit_the_cells_of_their_joints(
    resolution: int,
    window: Window,
    rotation: float,
    scale: list[float],
    translation: float,
    size: tuple[int, int],
    seed: int,
    people: int,
):
    """At each resolution that the sampler draws, for any turn, zoom, shift and mirror image."""
    sampler = make_sampler("uniform", SPACE, seed=seed)
    step = next(step for step in range(1000) if sampler.resolution(step) == resolution)
    places = np.random.default_rng(seed).random((people, SKELETON.num_joints, 2))
    joints = (places * (size[1], size[0])).astype(np.float32)
    augmentation = Known(
        rotation=rotation, scale=(scale[0], scale[1]), translation=translation, window=window
    )
    batches = TrainBatches(
        OneScene(size, joints), augmentation, batch_size=1, seed=seed,
        resolution_of=sampler.resolution,
    )  # fmt: skip
    batch = batches[step]
    cells = resolution // TAG_STRIDE
    assert batch.images.shape == (1, 3, resolution, resolution)
    assert batch.heatmaps[0].shape == (1, SKELETON.num_joints, cells, cells)

    mirrored = window.mirror < augmentation.flip
    rows, unsure = [], False
    for person in joints.astype(np.float64):
        row: dict[int, int] = {}
        for joint, (x, y) in enumerate(person):
            name = SKELETON.flip[joint] if mirrored else joint
            x, y = landing(x, y, size=size, resolution=resolution, augmentation=augmentation)
            off_x, off_y = (abs(v - round(v / TAG_STRIDE) * TAG_STRIDE) for v in (x, y))
            unsure = unsure or min(off_x, off_y) < ROUNDING
            if 0 <= x < resolution and 0 <= y < resolution:
                column, line = int(x // TAG_STRIDE), int(y // TAG_STRIDE)
                row[name] = (name * cells + line) * cells + column
        if row:  # a person of whom nothing is to be seen takes no row
            rows.append(row)
    assume(not unsure)
    found = [
        {joint: int(index) for joint, (index, counts) in enumerate(person) if counts}
        for person in batch.tags[0].tolist()
    ]
    assert found == rows + [{}] * (30 - len(rows))
