"""What is written down of people."""

import json
import sys

import numpy as np
import pytest

from ofa_pose.errors import OfaPoseError, UsageError
from ofa_pose.predict import coco_result, describe_person, json_list

# Joints at (10.126, 20) and (30, 60.5); the head was not found.
PLACES = ((10.126, 20.0), (30.0, 60.5), (0.0, 0.0))


def test_coco(make_person):
    assert coco_result(make_person(*PLACES, score=0.123456), 7, track_id=3) == {
        "image_id": 7,
        "category_id": 1,
        "keypoints": [10.13, 20.0, 0.1235, 30.0, 60.5, 0.1235, 0.0, 0.0, 0.0],
        "score": 0.1235,
        "bbox": [10.13, 20.0, 19.87, 40.5],
        "area": 804.9,  # 19.874 * 40.5
        "track_id": 3,
    }
    assert "track_id" not in coco_result(make_person(*PLACES), 7)


def test_by_name(make_person, three):
    assert describe_person(make_person(*PLACES), three) == {
        "score": 0.5,
        "bbox": [10.13, 20.0, 19.87, 40.5],
        "joints": {"left_hand": [10.13, 20.0, 0.5], "right_hand": [30.0, 60.5, 0.5]},
    }
    assert describe_person(make_person(*PLACES), three, track_id=2)["track_id"] == 2


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_list_is_json_and_has_an_entry_a_line(tmp_path, count):
    path = tmp_path / "list.json"
    with json_list(path) as append:
        for number in range(count):
            append({"number": number})
    text = path.read_text()
    assert json.loads(text) == [{"number": number} for number in range(count)]
    assert text.count("\n") == (count + 2 if count else 1)


def test_a_list_that_is_given_up_leaves_nothing(tmp_path):
    with pytest.raises(TypeError), json_list(tmp_path / "list.json") as append:
        append({"a set is no JSON": {1, 2}})
    assert list(tmp_path.iterdir()) == []


def test_a_list_that_ends_early_holds_its_whole_entries(tmp_path, caplog):
    def write():
        with json_list(tmp_path / "list.json") as append:
            append({"number": 0})
            append({"a set is no JSON": {1, 2}})

    with pytest.raises(TypeError):
        write()
    assert json.loads((tmp_path / "list.json").read_text()) == [{"number": 0}]
    assert "list.json: holds what was found until then" in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size")
def test_a_full_disk_keeps_the_whole_entries(tmp_path, full_disk):
    path, told = tmp_path / "list.json", "x" * 1500

    def write():
        with json_list(path) as append:
            for number in range(9):
                append({"number": number, "told": told})

    # 8 KiB hold five of these entries and a part of the sixth, which is cut off.
    with full_disk(), pytest.raises(OfaPoseError, match="cannot write .*list.json"):
        write()
    assert [entry["number"] for entry in json.loads(path.read_text())] == [0, 1, 2, 3, 4]
    assert list(tmp_path.iterdir()) == [path]


def test_two_lists_of_which_one_cannot_be_written(tmp_path):
    def write():
        with json_list(tmp_path / "a.json") as first, json_list(tmp_path / "b.json") as second:
            first({"number": 0})
            second({"number": 0})
            raise OfaPoseError("cannot write the film")

    with pytest.raises(OfaPoseError, match="cannot write the film"):
        write()
    for name in ("a.json", "b.json"):
        assert json.loads((tmp_path / name).read_text()) == [{"number": 0}]


def test_numbers_of_numpy_are_written(make_person, three):
    person = make_person(*PLACES, score=np.float32(0.5))
    for entry in (
        coco_result(person, np.int64(7), track_id=np.int64(3)),  # pyright: ignore
        describe_person(person, three, track_id=np.int64(3)),  # pyright: ignore
    ):
        assert json.loads(json.dumps(entry))["track_id"] == 3


def test_joints_of_another_skeleton_are_not_named(make_person, three):
    with pytest.raises(UsageError, match="a person has 2 joints, skeleton 'three' has 3"):
        describe_person(make_person(*PLACES[:2]), three)
