"""Where people come from: datasets, augmentation, synthetic scenes, training batches."""

from __future__ import annotations

from ofa_pose.data.augment import Augmentation
from ofa_pose.data.batches import Batch, TrainBatches, image_batches, make_loader, normalize
from ofa_pose.data.coco import CocoScenes
from ofa_pose.data.mosaic import MosaicScenes
from ofa_pose.data.resize import resize_for_network
from ofa_pose.data.scene import Scene, SceneSource

__all__ = [
    "Augmentation",
    "Batch",
    "CocoScenes",
    "MosaicScenes",
    "Scene",
    "SceneSource",
    "TrainBatches",
    "image_batches",
    "make_loader",
    "normalize",
    "resize_for_network",
]
