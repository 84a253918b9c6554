"""Scenes from COCO-keypoint JSON: what is read, what is masked, what is refused."""

from __future__ import annotations

import json
import logging
import os
import platform
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ofa_pose.data import CocoScenes
from ofa_pose.data.scene import ground_truth_of
from ofa_pose.errors import DataError
from ofa_pose.memory import give_back_freed_memory
from ofa_pose.pose import evaluate_predictions


def picture(height: int = 40, width: int = 60) -> np.ndarray:
    rng = np.random.default_rng(height * width)
    return cv2.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), (width, height))


def person(number: int, image_id: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": [10, 20, 2, 0, 0, 0, 30.5, 12.5, 1],
        "num_keypoints": 2,
        "bbox": [8, 10, 24, 20],
        "area": 300,
        **changes,
    }


def test_people_and_pictures_are_read(write_set, three):
    green = np.zeros((40, 60, 3), np.uint8)
    green[..., 1] = 200
    green[..., 0] = 90  # blue, in OpenCV's order
    paths = write_set({"a.png": green, "b.png": picture(30, 20)}, [person(1, 70), person(2, 70)])
    scenes = CocoScenes(*paths, skeleton=three)
    assert len(scenes) == 2
    scene = scenes[0]
    assert scene.image_id == 70
    assert scene.image[5, 5].tolist() == [0, 200, 90]
    assert scene.keypoints.shape == (2, 3, 3)
    np.testing.assert_array_equal(scene.keypoints[0], [[10, 20, 2], [0, 0, 0], [30.5, 12.5, 1]])
    np.testing.assert_array_equal(scene.boxes[0], [8, 10, 24, 20])
    np.testing.assert_allclose(scene.areas, 0.53 * 24 * 20)  # the skeleton's area rule
    assert scene.valid.all()
    assert scenes[1].keypoints.shape == (0, 3, 3)
    assert scenes[1].boxes.shape == (0, 4)
    assert scenes[-1].image_id == 71
    with pytest.raises(IndexError):
        scenes[2]


def test_crowds_and_people_without_joints_are_masked(write_set, three):
    none = {"keypoints": [0] * 9, "num_keypoints": 0}
    absent = person(4, 70, bbox=[50, 30, 20, 5], num_keypoints=0)
    del absent["keypoints"]
    # A column-major RLE on 40 x 60: skip 2 columns, then the upper 10 px of column 2.
    crowd = {"size": [40, 60], "counts": [80, 10, 40 * 60 - 90]}
    paths = write_set(
        {"a.png": picture()},
        [
            person(1, 70),
            person(2, 70, iscrowd=1, segmentation=crowd),
            person(3, 70, segmentation=[[20, 30, 30, 30, 30, 38, 20, 38]], **none),
            absent,
        ],
    )
    scene = CocoScenes(*paths, skeleton=three)[0]
    assert len(scene.keypoints) == 1
    expected = np.ones((40, 60), bool)
    expected[:10, 2] = False  # the crowd's RLE
    expected[30:38, 20:30] = False  # the polygon
    expected[30:35, 50:60] = False  # the box, cut at the picture's edge
    np.testing.assert_array_equal(scene.valid, expected)


def test_things_that_have_no_joints_are_no_ignored_people(write_set, three):
    worker = {"id": 1, "name": "worker", "keypoints": list(three.joints)}
    helmet = {"id": 2, "name": "helmet"}
    none = {"keypoints": [0] * 9, "num_keypoints": 0}
    people = [
        person(1, 70),
        person(2, 70, category_id=2, bbox=[5, 5, 9, 9], **none),
        person(3, 70, bbox=[40, 30, 5, 5], **none),  # a worker without joints is ignored
        person(4, 70, category_id=2),  # joints tell that it is somebody, whatever it is called
    ]
    paths = write_set({"a.png": picture()}, people, categories=[worker, helmet])
    scenes = CocoScenes(*paths, skeleton=three)
    expected = np.ones((40, 60), bool)
    expected[30:35, 40:45] = False
    np.testing.assert_array_equal(scenes[0].valid, expected)
    assert [entry["id"] for entry in scenes.ground_truth()["annotations"]] == [1, 3, 4]


@pytest.mark.parametrize(
    "segmentation",
    [
        [[float("nan"), 30, 30, 30, 30, 38]],
        [[20, 30, 1e9, 30, 30, 38]],
        [["x"] * 6],
        [5],
        "none",
        {"size": [40, 60], "counts": [-1, 2401]},
        {"size": [40, 60], "counts": [80, 10]},
        {"size": [10**6, 10**6], "counts": "0"},
        {"size": [40, 60], "counts": "rubbish"},
        {"size": [40, 60], "counts": "0"},
        {"size": [40, 60], "counts": ""},
        {"size": [40, 60], "counts": "X[2°"},
        {"size": [40, 60], "counts": 2400},
        {"size": [40, 60], "counts": [[80, 2320]]},
        {"size": [40, 60], "counts": None},
        {"counts": "0"},
    ],
)
def test_of_an_unusable_segmentation_the_box_is_masked(write_set, three, segmentation):
    ignored = person(2, 70, iscrowd=1, bbox=[50, 30, 10, 5], segmentation=segmentation)
    paths = write_set({"a.png": picture()}, [person(1, 70), ignored])
    expected = np.ones((40, 60), bool)
    expected[30:35, 50:60] = False
    np.testing.assert_array_equal(CocoScenes(*paths, skeleton=three)[0].valid, expected)


def test_a_crowd_of_compressed_run_lengths_is_masked(write_set, three):
    # 80 = 2 * 32 + 16, 10, 2310 = 2 * 1024 + 8 * 32 + 6: characters of 48 plus five bits, lowest
    # first, and 32 where more follow.
    counts = "".join(chr(48 + digit) for digit in (32 + 16, 2, 10, 32 + 6, 32 + 8, 2))
    crowd = person(2, 70, iscrowd=1, segmentation={"size": [40, 60], "counts": counts})
    paths = write_set({"a.png": picture()}, [person(1, 70), crowd])
    expected = np.ones((40, 60), bool)
    expected[:10, 2] = False
    np.testing.assert_array_equal(CocoScenes(*paths, skeleton=three)[0].valid, expected)


def test_ground_truth_keeps_ids_and_ignored_people(write_set, three):
    people = [person(1, 70), person(2, 71, iscrowd=1)]
    paths = write_set({"a.png": picture(), "b.png": picture()}, people)
    truth = CocoScenes(*paths, skeleton=three).ground_truth()
    assert [image["id"] for image in truth["images"]] == [70, 71]
    assert [a["id"] for a in truth["annotations"]] == [1, 2]
    assert truth["annotations"][0]["area"] == pytest.approx(0.53 * 24 * 20)
    assert truth["annotations"][1]["iscrowd"] == 1


def test_who_has_no_keypoints_by_the_files_count_is_not_scored(write_set, three):
    # As in CrowdPose, whose counts leave out head and neck; such people are learnt from.
    paths = write_set({"a.png": picture()}, [person(1, 70, num_keypoints=0), person(2, 70)])
    scenes = CocoScenes(*paths, skeleton=three)
    assert len(scenes[0].keypoints) == 2
    truth = scenes.ground_truth()["annotations"]
    assert [entry["num_keypoints"] for entry in truth] == [0, 2]
    assert "scored" not in truth[0]


@pytest.mark.parametrize(
    ("rule", "stated", "scored"),
    [
        ("annotated", {}, False),
        ("annotated", {"area": 0}, True),  # as pycocotools has it
        ("annotated", {"area": 300}, True),
        ("annotated", {"area": None, "bbox": [8, 20, 24, 0]}, False),
        ("annotated", {"bbox": [8, 10, 24, 20]}, True),
        ("bbox0.53", {"area": 300}, False),
        ("bbox0.53", {"bbox": [8, 20, 24, 0]}, True),  # as CrowdPose's evaluation has it
    ],
)
@pytest.mark.parametrize("keypoints", [[10, 20, 2, 0, 0, 0, 30, 20, 1], [0] * 6 + [30, 12, 1]])
def test_who_has_no_area_by_the_joints_is_learnt_from_and_not_scored(
    write_set, three, caplog, rule, stated, scored, keypoints
):
    one = {"id": 1, "image_id": 70, "category_id": 1, "keypoints": keypoints, **stated}
    paths = write_set({"a.png": picture()}, [one, person(2, 70)])
    scenes = CocoScenes(*paths, skeleton=replace(three, area_rule=rule))
    assert len(scenes[0].keypoints) == 2
    assert scenes[0].valid.all()
    counts = [entry["num_keypoints"] for entry in scenes.ground_truth()["annotations"]]
    labelled = sum(flag > 0 for flag in keypoints[2::3])
    assert counts == [labelled if scored else 0, 2]
    assert ("1 of 2 people are learnt from and not scored" in caplog.text) is not scored


@pytest.mark.parametrize("rule", ["annotated", "bbox0.53"])
@pytest.mark.parametrize("found_alone", [True, False])
def test_who_has_no_area_does_not_hold_the_ap_down(write_set, three, rule, found_alone):
    """Off by 0.3 px in x and y: an OKS of e^(-0.18 / (0.53 * 24 * 20) / 0.2^2 / 2) = 0.99.

    Somebody of 32 px at the place of the one joint: e^(-0.18 / (0.53 * 32^2) / 0.2^2 / 2) = 0.996.
    """
    three = replace(three, area_rule=rule)
    alone = {"id": 1, "image_id": 70, "category_id": 1, "keypoints": [0] * 6 + [30, 12, 1]}
    paths = write_set({"a.png": picture()}, [alone, person(2, 70)])
    truth = CocoScenes(*paths, skeleton=three).ground_truth()
    found = [
        {
            "image_id": 70,
            "keypoints": [value + 0.3 * (n % 3 < 2) for n, value in enumerate(one["keypoints"])],
            "score": 0.9,
        }
        for one in truth["annotations"]
    ]
    found = found if found_alone else found[1:]
    assert evaluate_predictions(truth, found, three)["AP"] == pytest.approx(1)


def test_scenes_of_people_without_an_area(write_set, three):
    """A level line from (10, 20) to (50, 20): 0.53 * 40^2 = 848 px² around (30, 20)."""
    level = {"id": 1, "image_id": 70, "keypoints": [10, 20, 2, 0, 0, 0, 50, 20, 1]}
    scenes = CocoScenes(*write_set({"a.png": picture()}, [level, person(2, 70)]), skeleton=three)
    for truth in (scenes.ground_truth(), ground_truth_of([scenes[0]], three)):
        first, second = truth["annotations"]
        assert (first["num_keypoints"], first["bbox"]) == (0, [10, 0, 40, 40])
        assert first["area"] == pytest.approx(848)
        assert first["keypoints"] == level["keypoints"]
        assert (second["num_keypoints"], second["bbox"]) == (2, [8, 10, 24, 20])


def test_only_people_leaves_the_others_out(write_set, three):
    """A crowd, and who has no labelled joints, are people: HigherHRNet trains on them, masked."""
    pictures = {name: picture() for name in ("a.png", "b.png", "c.png", "d.png")}
    crowd = person(2, 72, iscrowd=1)
    unlabelled = person(3, 73, keypoints=[0] * 9)
    paths = write_set(pictures, [person(1, 71), crowd, unlabelled])
    scenes = CocoScenes(*paths, skeleton=three, only_people=True)
    assert [scenes[i].image_id for i in range(len(scenes))] == [71, 72, 73]
    (paths[1] / "a.png").unlink()  # image 70 shows nobody, so its picture need not be there
    assert len(CocoScenes(*paths, skeleton=three, only_people=True)) == 3
    with pytest.raises(DataError, match="1 of 4 images are not in"):
        CocoScenes(*paths, skeleton=three)


@pytest.mark.parametrize("only_people", [False, True])
def test_a_set_without_annotations_says_so(write_set, three, only_people):
    paths = write_set({"a.png": picture()}, [])
    with pytest.raises(DataError, match="nobody in its 1 images has labelled joints"):
        CocoScenes(*paths, skeleton=three, only_people=only_people)


def test_other_categories_are_left_out(write_set, three):
    dog = person(2, 70, category_id=18, keypoints=[0, 0, 0, 1, 1, 2])
    categories = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]
    paths = write_set({"a.png": picture()}, [person(1, 70), dog], categories=categories)
    assert len(CocoScenes(*paths, skeleton=three)[0].keypoints) == 1


def with_orientation(path: Path, orientation: int) -> None:
    """Give a JPEG an EXIF orientation, as cameras do."""
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    tiff = b"MM\x00\x2a\x00\x00\x00\x08" + b"\x00\x01" + entry + b"\x00\x00\x00\x00"
    content = b"Exif\x00\x00" + tiff
    segment = b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content
    jpeg = path.read_bytes()
    path.write_bytes(jpeg[:2] + segment + jpeg[2:])


@pytest.mark.parametrize(("stated", "top_left"), [((40, 60), 250), ((60, 40), 0)])
def test_exif_rotation_only_counts_where_the_annotations_say_so(write_set, three, stated, top_left):
    left_white = np.zeros((40, 60, 3), np.uint8)
    left_white[:, :30] = 255
    path, folder = write_set({"a.jpg": left_white}, [person(1, 70)])
    with_orientation(folder / "a.jpg", 8)  # shown turned to the left: the right half is on top
    document = json.loads(path.read_text())
    document["images"][0].update(height=stated[0], width=stated[1])
    path.write_text(json.dumps(document))
    image = CocoScenes(path, folder, skeleton=three)[0].image
    assert image.shape[:2] == stated
    assert abs(int(image[3, 3, 0]) - top_left) < 10


def break_set(write_set, three, *, count: int, broken: dict[str, bytes | None]):
    """Write `count` JPEGs and replace some files' bytes (None: the first half of the file)."""
    names = [f"{n:03d}.jpg" for n in range(count)]
    path, folder = write_set(dict.fromkeys(names, picture()), [person(1, 70 + count - 1)])
    for name, content in broken.items():
        file = folder / name
        half = file.read_bytes()[: file.stat().st_size // 2]
        file.write_bytes(half if content is None else content)
    return path, folder


def test_truncated_pictures_are_named_skipped_and_counted(write_set, three, caplog):
    path, folder = break_set(write_set, three, count=20, broken={"004.jpg": None})
    with caplog.at_level(logging.WARNING):
        scenes = CocoScenes(path, folder, skeleton=three)
    assert len(scenes) == 19
    assert scenes.bad == {folder / "004.jpg": "the JPEG is truncated"}
    assert [record.getMessage() for record in caplog.records] == [
        f"skipped {folder / '004.jpg'}: the JPEG is truncated (1 of 20 damaged)"
    ]
    assert 74 not in {scenes[i].image_id for i in range(19)}
    assert 74 not in {image["id"] for image in scenes.ground_truth()["images"]}


def test_more_than_the_tolerated_share_is_an_error(write_set, three, caplog):
    broken: dict[str, bytes | None] = {"001.jpg": None, "003.jpg": b"", "005.jpg": None}
    path, folder = break_set(write_set, three, count=100, broken=broken)
    with pytest.raises(DataError) as caught, caplog.at_level(logging.INFO):
        CocoScenes(path, folder, skeleton=three)
    assert not caplog.records
    assert str(caught.value) == (
        f"{folder}: 3 of 100 images are damaged, more than the 1 % that are tolerated: "
        "001.jpg (the JPEG is truncated), 003.jpg (the file is empty), "
        "005.jpg (the JPEG is truncated)"
    )
    assert len(CocoScenes(path, folder, skeleton=three, max_bad=0.03)) == 97


def test_a_picture_found_undecodable_is_replaced_by_the_next(write_set, three, caplog):
    rubbish = b"\xff\xd8" + b"no picture" * 20 + b"\xff\xd9"
    path, folder = break_set(write_set, three, count=6, broken={"002.jpg": rubbish})
    scenes = CocoScenes(path, folder, skeleton=three)
    assert len(scenes) == 6
    with caplog.at_level(logging.WARNING):
        assert scenes[2].image_id == 73
        assert scenes[2].image_id == 73
    assert len(caplog.records) == 1
    assert "002.jpg" in caplog.text
    assert 72 not in {image["id"] for image in scenes.ground_truth()["images"]}


def test_too_many_undecodable_pictures_are_an_error(write_set, three):
    rubbish = b"\xff\xd8" + b"no picture" * 20 + b"\xff\xd9"
    path, folder = break_set(
        write_set, three, count=6, broken={"001.jpg": rubbish, "002.jpg": rubbish}
    )
    scenes = CocoScenes(path, folder, skeleton=three)
    with pytest.raises(DataError, match="2 of 6 images are damaged"):
        scenes[1]


def test_a_picture_of_another_size_than_stated_is_damaged(write_set, three):
    path, folder = write_set({"a.png": picture(), "b.png": picture()}, [person(1, 70)])
    cv2.imwrite(str(folder / "a.png"), picture(30, 60))
    scenes = CocoScenes(path, folder, skeleton=three)
    assert scenes[0].image_id == 71
    assert scenes.bad[folder / "a.png"] == "the picture is 60x30, the annotations say 60x40"


def test_absent_pictures_are_named(write_set, three):
    names = [f"{n}.png" for n in range(6)]
    path, folder = write_set(dict.fromkeys(names, picture()), [person(1, 70)])
    for name in names[:4]:
        (folder / name).unlink()
    with pytest.raises(DataError) as caught:
        CocoScenes(path, folder, skeleton=three)
    assert str(caught.value) == f"{path}: 4 of 6 images are not in {folder}: 0.png, 1.png, 2.png, …"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the call is glibc's")
def test_memory_that_reading_took_is_given_back(write_set, three):
    """What the C library can return after a set was opened is little beside what reading took."""
    path, folder = write_set({"a.jpg": picture()}, [])
    document = json.loads(path.read_text())
    document["images"] = [{**document["images"][0], "id": number} for number in range(2400)]
    document["annotations"] = [person(number, number % 2400) for number in range(24000)]
    path.write_text(json.dumps(document))
    del document

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    give_back_freed_memory()
    scenes = CocoScenes(path, folder, skeleton=three)
    after = resident()
    give_back_freed_memory()
    assert len(scenes) == 2400
    assert after - resident() < 2 << 20


@pytest.mark.data
def test_real_sets(test_data):
    folder = test_data / "coco_mini"
    scenes = CocoScenes(folder / "annotations/train.json", folder / "images", skeleton="coco")
    # The data set's own description: 96 images, 121 people with joints, 38 images have some.
    assert len(scenes) == 96
    every = [scenes[i] for i in range(96)]
    assert sum(len(scene.keypoints) for scene in every) == 121
    assert sum(len(scene.keypoints) > 0 for scene in every) == 38
    assert any(not scene.valid.all() for scene in every)
    assert not scenes.bad
    assert len(scenes.ground_truth()["annotations"]) == 239
    with pytest.raises(DataError, match="17 joints, skeleton 'crowdpose' has 14"):
        CocoScenes(folder / "annotations/train.json", folder / "images", skeleton="crowdpose")
