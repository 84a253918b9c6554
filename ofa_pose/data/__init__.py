"""Where people come from: datasets, augmentation, synthetic scenes, training batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ofa_pose.data.images import UnreadableImageError, read_image
from ofa_pose.data.resize import check_scales, resize_for_network, resize_to_scales
from ofa_pose.lazy import names_on_use

if TYPE_CHECKING:
    from ofa_pose.data.augment import Augmentation
    from ofa_pose.data.batches import Batch, TrainBatches, make_loader
    from ofa_pose.data.coco import CocoScenes
    from ofa_pose.data.draw import contact_sheet, draw_scene, write_contact_sheet
    from ofa_pose.data.export_coco import write_coco
    from ofa_pose.data.held import HeldScenes
    from ofa_pose.data.inputs import normalize
    from ofa_pose.data.layouts import has_split, open_scenes
    from ofa_pose.data.mapped import MappedScenes, map_scenes
    from ofa_pose.data.mixed import MixedScenes
    from ofa_pose.data.mosaic import MosaicScenes
    from ofa_pose.data.pasted import PastedScenes
    from ofa_pose.data.scene import Scene, SceneSource
    from ofa_pose.data.synth import SyntheticScenes

__all__ = [
    "Augmentation",
    "Batch",
    "CocoScenes",
    "HeldScenes",
    "MappedScenes",
    "MixedScenes",
    "MosaicScenes",
    "PastedScenes",
    "Scene",
    "SceneSource",
    "SyntheticScenes",
    "TrainBatches",
    "UnreadableImageError",
    "check_scales",
    "contact_sheet",
    "draw_scene",
    "has_split",
    "make_loader",
    "map_scenes",
    "normalize",
    "open_scenes",
    "read_image",
    "resize_for_network",
    "resize_to_scales",
    "write_coco",
    "write_contact_sheet",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = names_on_use(
        __name__,
        {
            "augment": "Augmentation",
            "batches": "Batch TrainBatches make_loader",
            "coco": "CocoScenes",
            "draw": "contact_sheet draw_scene write_contact_sheet",
            "export_coco": "write_coco",
            "held": "HeldScenes",
            "inputs": "normalize",
            "layouts": "has_split open_scenes",
            "mapped": "MappedScenes map_scenes",
            "mixed": "MixedScenes",
            "mosaic": "MosaicScenes",
            "pasted": "PastedScenes",
            "scene": "Scene SceneSource",
            "synth": "SyntheticScenes",
        },
    )
