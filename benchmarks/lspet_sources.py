"""The photographs of the `lspet` experiments: which train, which pick winners, which report."""

from __future__ import annotations

from pathlib import Path

from ofa_pose.data import CocoScenes, MosaicScenes, SceneSource
from ofa_pose.data.mixed import MixedScenes
from ofa_pose.data.synth import SyntheticScenes
from ofa_pose.evaluate import SubsetScenes

CANVAS = 288
TRAIN, SEARCH = 8000, 500
"""Pictures of the training file that are trained on, and that calibrate and pick winners."""


def photographs(folder: Path, split: str) -> CocoScenes:
    """One person a picture."""
    return CocoScenes(
        folder / "annotations" / f"{split}.json", folder / "images", skeleton="crowdpose"
    )


def train_pictures(folder: Path) -> SceneSource:
    """Single pictures to train on."""
    return SubsetScenes(photographs(folder, "train"), range(TRAIN))


def train_scenes(folder: Path) -> SceneSource:
    """Mosaics of one to four photographs, and a quarter of synthetic scenes."""
    mosaics = MosaicScenes(train_pictures(folder), seed=1, count=30_000, size=CANVAS)
    synthetic = SyntheticScenes(1, 10_000, size=CANVAS, skeleton="crowdpose")
    return MixedScenes([mosaics, synthetic], [0.75, 0.25], seed=1, count=40_000)


def calibration_scenes(folder: Path, count: int = 64) -> SceneSource:
    """Mosaics of training pictures, without augmentation, for batch norm."""
    return MosaicScenes(train_pictures(folder), seed=2, count=count, size=CANVAS)


def search_scenes(folder: Path, count: int = 100) -> SceneSource:
    """Mosaics of held-out training pictures: these pick the winners."""
    held_out = SubsetScenes(photographs(folder, "train"), range(TRAIN, TRAIN + SEARCH))
    return MosaicScenes(held_out, seed=3, count=count, size=CANVAS)


def report_scenes(folder: Path, count: int = 300) -> SceneSource:
    """Mosaics of the validation pictures: these are only reported."""
    return MosaicScenes(photographs(folder, "val"), seed=4, count=count, size=CANVAS)
