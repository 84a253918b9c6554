"""Dataset layouts seen in the wild."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ofa_pose.data import has_split, open_scenes
from ofa_pose.data.layouts import depends_on_split
from ofa_pose.errors import DataError, UsageError


def write(folder: Path, annotations: str, images: str) -> None:
    picture = folder / images / "a.png"
    picture.parent.mkdir(parents=True)
    cv2.imwrite(str(picture), np.zeros((20, 30, 3), np.uint8))
    path = folder / annotations
    path.parent.mkdir(parents=True, exist_ok=True)
    person = {"id": 1, "image_id": 4, "keypoints": [1, 2, 2] * 3, "bbox": [0, 0, 4, 4]}
    image = {"id": 4, "file_name": "a.png"}
    path.write_text(json.dumps({"images": [image], "annotations": [person]}))


@pytest.mark.parametrize(
    ("annotations", "images", "split"),
    [
        ("annotations/val.json", "images", "val"),
        ("annotations/train.json", "images/train", "train"),
        ("annotations/person_keypoints_val2017.json", "val2017", "val"),
        ("annotations/person_keypoints_train2017.json", "images/train2017", "train"),
        ("json/crowdpose_trainval.json", "images", "trainval"),
        ("json/crowdpose_test.json", "images", "test"),
    ],
)
def test_known_layouts(tmp_path, three, annotations, images, split):
    write(tmp_path, annotations, images)
    scenes = open_scenes(tmp_path, split=split, skeleton=three)
    assert scenes[0].image_id == 4
    # The annotation file alone finds its pictures too.
    assert len(open_scenes(tmp_path / annotations, split=split, skeleton=three)) == 1


def test_paths_given_are_taken(tmp_path, three):
    write(tmp_path, "labels/people.json", "pictures/here")
    scenes = open_scenes(
        annotations=tmp_path / "labels/people.json",
        images=tmp_path / "pictures/here",
        skeleton=three,
    )
    assert len(scenes) == 1


def test_every_path_tried_is_named(tmp_path, three):
    with pytest.raises(DataError) as caught:
        open_scenes(tmp_path, split="train", skeleton=three)
    message = str(caught.value)
    assert "\n" not in message
    assert "no annotations of split 'train'" in message
    for tried in (
        "annotations/train.json",
        "annotations/person_keypoints_train2017.json",
        "json/crowdpose_train.json",
    ):
        assert tried in message
    write(tmp_path, "annotations/train.json", "elsewhere")
    with pytest.raises(DataError, match="images/train2017, train2017, images/train, images, train"):
        open_scenes(tmp_path, split="train", skeleton=three)


def test_the_splits_that_are_there_are_named(tmp_path, three):
    write(tmp_path, "annotations/train.json", "images")
    with pytest.raises(DataError, match=r"'val' in .*; there is train: .*train.json$") as told:
        open_scenes(tmp_path, split="val", skeleton=three)
    named = str(told.value).rpartition(" ")[2]
    assert len(open_scenes(named, split="val", skeleton=three)) == 1
    (tmp_path / "json").mkdir()
    for name in ("json/crowdpose_trainval.json", "annotations/person_keypoints_minival2017.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(DataError, match="there are minival, train, trainval: a file can be"):
        open_scenes(tmp_path, split="val", skeleton=three)
    for split in ("minival", "train", "trainval"):
        assert has_split(tmp_path, split)


@pytest.mark.parametrize("content", [b"\xff\xd8\xff\xe0", b"<!doctype html>", b"", b"a,b\n1,2"])
def test_a_file_of_something_else(tmp_path, three, content):
    file = tmp_path / "something"
    file.write_bytes(content)
    for given in ({"folder": file}, {"annotations": file, "images": tmp_path}):
        with pytest.raises(DataError, match="something is no annotation file"):
            open_scenes(**given, skeleton=three)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_any_json_is_taken(tmp_path, three, encoding):
    write(tmp_path, "annotations/val.json", "images")
    file = tmp_path / "annotations" / "val.json"
    file.write_text("\n " + file.read_text(), encoding=encoding)
    assert len(open_scenes(file, skeleton=three)) == 1


def test_the_files_own_name_tells_where_its_pictures_lie(tmp_path, three):
    write(tmp_path, "annotations/person_keypoints_val2017.json", "images/val2017")
    (tmp_path / "images" / "train2017").mkdir()
    (tmp_path / "images" / "train").mkdir()
    path = tmp_path / "annotations" / "person_keypoints_val2017.json"
    assert len(open_scenes(path, split="train", skeleton=three)) == 1
    # A name that is no layout's says nothing: the split that is asked for does.
    other = path.rename(path.with_name("people.json"))
    assert len(open_scenes(other, split="val", skeleton=three)) == 1


def test_absent_folders(tmp_path, three):
    with pytest.raises(DataError, match="there is no dataset folder .*nowhere"):
        open_scenes(tmp_path / "nowhere", skeleton=three)
    write(tmp_path, "annotations/val.json", "images")
    with pytest.raises(DataError, match="there is no folder of images .*gone"):
        open_scenes(tmp_path, images=tmp_path / "gone", skeleton=three)
    with pytest.raises(UsageError, match="folder or an annotation JSON"):
        open_scenes(skeleton=three)


def test_a_split_is_there_when_its_own_annotations_are(tmp_path):
    for name in ("annotations/train.json", "annotations/validation.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert has_split(tmp_path, "train")
    assert not has_split(tmp_path, "val")  # its name is `validation`
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "crowdpose_trainval.json").touch()
    assert has_split(tmp_path, "trainval")
    assert not has_split(tmp_path, "val")
    assert not has_split(tmp_path / "absent", "train")


def test_when_a_split_has_a_part_in_what_is_found(tmp_path):
    write(tmp_path, "annotations/person_keypoints_val2017.json", "val2017")
    write(tmp_path, "annotations/mine.json", "train2017")
    val, mine = (tmp_path / "annotations" / name for name in (
        "person_keypoints_val2017.json", "mine.json"
    ))  # fmt: skip
    assert depends_on_split(tmp_path, split="train")
    assert depends_on_split(val, split="val")  # which is what it is of
    assert not depends_on_split(val, split="train")  # its pictures are val2017 by its name
    assert not depends_on_split(tmp_path, split="train", annotations=val)
    assert depends_on_split(mine, split="train")  # whose pictures lie in train2017
    assert not depends_on_split(mine, split="train", images=tmp_path / "train2017")


def test_two_annotation_files_are_refused(tmp_path, three):
    write(tmp_path, "annotations/val.json", "images")
    file = tmp_path / "annotations" / "val.json"
    with pytest.raises(UsageError, match="two annotation files; give one"):
        open_scenes(file, annotations=tmp_path / "other.json", skeleton=three)
