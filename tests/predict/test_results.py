"""What is written down of people."""

import json

import pytest

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
