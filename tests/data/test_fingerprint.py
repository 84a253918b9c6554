"""A source's fingerprint changes with its scenes, and with nothing else."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ofa_pose.data import CocoScenes, MixedScenes, MosaicScenes, SyntheticScenes
from ofa_pose.data.fingerprint import fingerprint_of

PICTURE = np.full((40, 60, 3), 90, np.uint8)
PEOPLE = [
    {"id": 1, "image_id": 70, "category_id": 1, "iscrowd": 0,
     "keypoints": [10, 20, 2, 0, 0, 0, 30.5, 12.5, 1], "bbox": [8, 10, 24, 20], "area": 300},
    {"id": 2, "image_id": 71, "category_id": 1, "iscrowd": 1,
     "keypoints": [0] * 9, "bbox": [1, 1, 9, 9], "area": 81,
     "segmentation": [[1, 1, 9, 1, 9, 9]]},
]  # fmt: skip


@pytest.fixture
def coco(write_set: Callable[..., tuple[Path, Path]], three: Any) -> Callable[..., str]:
    """Return the fingerprint of two pictures, after a change of the annotation file."""
    path, folder = write_set({"a.png": PICTURE, "b.png": PICTURE}, PEOPLE)
    whole = path.read_text()

    def fingerprint(change: Callable[[dict[str, Any]], Any] = bool, **options: Any) -> str:
        document = json.loads(whole)
        change(document)
        path.write_text(json.dumps(document, indent=1))
        return CocoScenes(path, folder, skeleton=three, **options).fingerprint()

    return fingerprint


def test_form():
    assert len(fingerprint_of("a", [1, {"b": 2}])) == 16
    assert fingerprint_of("a", [1, {"b": 2, "c": 3}]) == fingerprint_of("a", [1, {"c": 3, "b": 2}])
    assert fingerprint_of("a", [1]) != fingerprint_of("b", [1])
    assert fingerprint_of("a", [[1, 2]]) != fingerprint_of("a", [1, 2])
    assert fingerprint_of("a", [np.int64(1), np.float64(0.5)]) == fingerprint_of("a", [1, 0.5])


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "one joint moved": lambda d: d["annotations"][0]["keypoints"].__setitem__(0, 10.01),
    "one joint hidden": lambda d: d["annotations"][0]["keypoints"].__setitem__(2, 1),
    "another box": lambda d: d["annotations"][0]["bbox"].__setitem__(2, 25),
    "another outline": lambda d: d["annotations"][1]["segmentation"][0].__setitem__(0, 2),
    "another order": lambda d: d["images"].reverse(),
    "one person less": lambda d: d["annotations"].pop(),
    "one picture less": lambda d: d["images"].pop(),
    "another picture": lambda d: d["images"][1].update(file_name="a.png"),
    "one person not scored": lambda d: d["annotations"][0].update(num_keypoints=0),
    "another crowd index": lambda d: d["images"][0].update(crowdIndex=0.3),
    "another id": lambda d: [d["images"][0].update(id=9), d["annotations"][0].update(image_id=9)],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_photographs_that_changed(coco: Callable[..., str], change: Callable[..., Any]):
    assert coco(change) != coco()


def test_photographs_that_did_not_change(coco: Callable[..., str]):
    def trifles(document: dict[str, Any]) -> None:
        document["info"] = {"year": 2026}
        document["annotations"].reverse()
        document["annotations"][1].update(id=9, note="mine")

    assert coco(trifles) == coco()


def test_photographs_with_people_only(coco: Callable[..., str]):
    def empty(document: dict[str, Any]) -> None:
        document["annotations"].pop()  # nobody is left in b.png

    assert coco(empty, only_people=True) != coco(empty)
    assert coco(only_people=True) == coco()  # a crowd counts as people


def test_where_photographs_lie_and_what_they_show_is_not_read(
    write_set: Callable[..., tuple[Path, Path]], three: Any, tmp_path: Path
):
    path, folder = write_set({"a.png": PICTURE, "b.png": PICTURE}, PEOPLE)
    here = CocoScenes(path, folder, skeleton=three)
    moved = tmp_path / "elsewhere"
    folder.rename(moved)
    assert here.fingerprint() == CocoScenes(path, moved, skeleton=three).fingerprint()


def test_mosaics(dots: Callable[..., Any]):
    def fingerprint(source: Any = None, **options: Any) -> str:
        return MosaicScenes(source or dots(5), **{"seed": 1, "count": 4, **options}).fingerprint()

    assert fingerprint() == fingerprint(size=256, people=(1, 4), scale=(0.6, 1))
    others = [
        fingerprint(dots(6)),
        fingerprint(seed=2),
        fingerprint(count=5),
        fingerprint(size=128),
        fingerprint(people=(1, 3)),
        fingerprint(scale=(0.5, 1)),
    ]
    assert len({fingerprint(), *others}) == 7


def test_synthetic_scenes():
    def fingerprint(seed: int = 1, count: int = 5, **options: Any) -> str:
        return SyntheticScenes(seed, count, **{"skeleton": "coco", **options}).fingerprint()

    assert fingerprint() == fingerprint(size=256)
    others = [
        fingerprint(seed=2),
        fingerprint(count=6),
        fingerprint(size=128),
        fingerprint(people=(1, 2)),
        fingerprint(skeleton="crowdpose"),
    ]
    assert len({fingerprint(), *others}) == 6


def test_mixtures(dots: Callable[..., Any]):
    one, other = dots(6), dots(5)

    def fingerprint(sources: Any = (one, other), weights: Any = (3, 1), **options: Any) -> str:
        return MixedScenes(sources, weights, **options).fingerprint()

    assert fingerprint() == fingerprint(weights=(0.75, 0.25))
    others = [
        fingerprint((other, one)),
        fingerprint(weights=(1, 1)),
        fingerprint(seed=1),
        fingerprint(count=100),
    ]
    assert len({fingerprint(), *others}) == 5


OTHER_PROCESS = """
import sys
from ofa_pose import load_skeleton
from ofa_pose.data import CocoScenes, MixedScenes, MosaicScenes, SyntheticScenes
coco = CocoScenes(sys.argv[1], sys.argv[2], skeleton="crowdpose")
mosaic = MosaicScenes(coco, seed=1, count=4)
print(MixedScenes([mosaic, SyntheticScenes(1, 5, skeleton="crowdpose")], [1, 2]).fingerprint())
"""


def test_the_same_in_another_process(write_set: Callable[..., tuple[Path, Path]]):
    person = {**PEOPLE[0], "keypoints": [10, 20, 2] * 14}
    path, folder = write_set({"a.png": PICTURE}, [person])
    command = [sys.executable, "-c", OTHER_PROCESS, str(path), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    mosaic = MosaicScenes(CocoScenes(path, folder, skeleton="crowdpose"), seed=1, count=4)
    mixed = MixedScenes([mosaic, SyntheticScenes(1, 5, skeleton="crowdpose")], [1, 2])
    assert done.stdout.strip() == mixed.fingerprint()
