"""Small data sets and scenes, with everything in them known by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ofa_pose.data.scene import Scene
from ofa_pose.skeleton import Skeleton

# Three joints: a left and a right hand that mirror, and a head.
THREE = Skeleton(
    name="three",
    joints=("left_hand", "right_hand", "head"),
    flip=(1, 0, 2),
    limbs=((0, 2), (1, 2)),
    sigmas=(0.1, 0.1, 0.1),
    matching_order=(2, 0, 1),
    area_rule="bbox0.53",
)


@pytest.fixture
def three() -> Skeleton:
    return THREE


class DotScenes:
    """Black pictures with a white 5x5 dot centred on each joint of one person, else known sizes."""

    skeleton = THREE

    def __init__(self, count: int, size: tuple[int, int] = (80, 60)) -> None:
        self.count = count
        self.size = size

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Scene:
        height, width = self.size
        image = np.zeros((height, width, 3), np.uint8)
        image[..., index % 3] = 40 + index % 50
        keypoints = np.zeros((1, 3, 3), np.float32)
        for joint, (x, y) in enumerate(((45, 40), (15, 40), (30, 12))):
            image[y - 2 : y + 3, x - 2 : x + 3] = 255
            keypoints[0, joint] = x + 0.5, y + 0.5, 2
        return Scene(
            image=image,
            keypoints=keypoints,
            valid=np.ones((height, width), bool),
            image_id=100 + index,
            boxes=np.array([[13, 10, 35, 33]], np.float32),
            areas=np.array([0.53 * 35 * 33], np.float32),
        )

    def ground_truth(self) -> dict[str, Any]:
        raise NotImplementedError

    def fingerprint(self) -> str:
        return f"{self.count} dots in {self.size}"


@pytest.fixture
def dots() -> Callable[..., DotScenes]:
    return DotScenes


@pytest.fixture
def write_set(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Write images (name to picture) and annotations; returns the JSON and the images' folder."""

    def write(
        images: dict[str, np.ndarray], annotations: list[dict[str, Any]], **document: Any
    ) -> tuple[Path, Path]:
        folder = tmp_path / "images"
        folder.mkdir(exist_ok=True)
        records = []
        for number, (name, picture) in enumerate(images.items()):
            cv2.imwrite(str(folder / name), picture)
            height, width = picture.shape[:2]
            record = {"id": 70 + number, "file_name": name, "width": width, "height": height}
            records.append(record)
        path = tmp_path / "set.json"
        content = {"images": records, "annotations": annotations, **document}
        path.write_text(json.dumps(content))
        return path, folder

    return write
