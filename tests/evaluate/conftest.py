"""Photographs of white dots, some of them damaged, and a network that sees them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ofa_pose.data import CocoScenes
from ofa_pose.skeleton import Skeleton
from ofa_pose.space import Choice, SearchSpace

DOT = Skeleton(
    name="dot",
    joints=("dot",),
    flip=(0,),
    limbs=(),
    sigmas=(0.3,),
    matching_order=(0,),
)
SIDE = 64


class DotNetwork(nn.Module):
    """The heatmap is the brightness, a picture of one dot has one person."""

    def forward(self, images: Tensor) -> list[Tensor]:
        brightness = images.mean(dim=1, keepdim=True)
        low = F.avg_pool2d(brightness, 4)
        return [torch.cat([low, torch.zeros_like(low)], dim=1), F.avg_pool2d(brightness, 2)]


@dataclass(frozen=True)
class DotSet:
    """An annotation file and a folder of pictures, written once and opened by every rank.

    Attributes:
        folder: where it lies.
        max_bad: share of the pictures that may be damaged.
    """

    folder: Path
    max_bad: float = 0.5

    network = DotNetwork()
    space = SearchSpace(
        name="none",
        family="none",
        choices=(Choice("resolution", (SIDE,)),),
        pixel_mean=(0.0, 0.0, 0.0),
        pixel_std=(255.0, 255.0, 255.0),
    )

    def open(self) -> CocoScenes:
        """Return a source that knows nothing yet of damage."""
        return CocoScenes(self.folder / "set.json", self.folder, skeleton=DOT, max_bad=self.max_bad)

    def write(self, count: int, damaged: Collection[int]) -> None:
        """Write pictures with a dot each, every third of which is labelled elsewhere.

        Args:
            count: how many pictures.
            damaged: of these, those that turn out damaged only when they are read.
        """
        images, annotations = [], []
        for place in range(count):
            picture = np.zeros((SIDE, SIDE - 2 * (place in damaged), 3), np.uint8)
            x, y = np.random.default_rng(place).integers(8, SIDE - 8, 2).tolist()
            cv2.circle(picture, (x, y), 4, (255, 255, 255), cv2.FILLED)
            cv2.imwrite(str(self.folder / f"{place}.png"), picture)
            # A damaged one is not of the size that is stated here.
            size = {"width": SIDE, "height": SIDE}
            images.append({"id": 100 + place, "file_name": f"{place}.png", **size})
            if place % 3 == 0:
                x = (x + SIDE // 2) % SIDE
            annotations.append(
                {
                    "id": 1 + place,
                    "image_id": 100 + place,
                    "category_id": 1,
                    "iscrowd": 0,
                    "keypoints": [x + 0.5, y + 0.5, 2],
                    "num_keypoints": 1,
                    "bbox": [x - 10, y - 10, 20, 20],
                    "area": 400,
                }
            )
        content = {"images": images, "annotations": annotations, "categories": [{"id": 1}]}
        (self.folder / "set.json").write_text(json.dumps(content))


@pytest.fixture
def dots(tmp_path: Path) -> Callable[..., Any]:
    """Write a set of dots by the number of pictures and the places of the damaged ones."""

    def write(count: int, damaged: Collection[int] = (), *, max_bad: float = 0.5) -> DotSet:
        written = DotSet(tmp_path, max_bad)
        written.write(count, damaged)
        return written

    return write
