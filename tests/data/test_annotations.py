"""Annotation files that cannot be right are refused in one line."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ofa_pose.data.annotations import read_annotations
from ofa_pose.errors import DataError


def document(**annotation: Any) -> dict[str, Any]:
    person = {"id": 5, "image_id": 1, "keypoints": [1, 2, 2] * 3, "bbox": [0, 0, 4, 4]}
    return {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [person | annotation]}


@pytest.fixture
def refusal(tmp_path, three):
    """Return the message a file's content is refused with, the path cut off."""

    def refuse(content: Any) -> str:
        path = tmp_path / "people.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        with pytest.raises(DataError) as caught:
            read_annotations(path, three)
        message = str(caught.value)
        assert "\n" not in message
        assert message.startswith(f"{path}: ")
        return message.removeprefix(f"{path}: ")

    return refuse


def test_truncated(refusal):
    text = json.dumps(document(), indent=1)
    assert refusal(text[:-20]).startswith("broken JSON at line 2")
    assert refusal("").startswith("broken JSON at line 1, column 1")


def test_not_a_coco_file(refusal):
    assert refusal("[1, 2]") == (
        "not a COCO-keypoint JSON, lacks the list `images` and `annotations`"
    )
    assert refusal({"images": []}) == "not a COCO-keypoint JSON, lacks the list `annotations`"


def test_empty(refusal):
    assert refusal({"images": [], "annotations": []}) == (
        "lists no images; an empty set cannot be used"
    )


def test_without_keypoints(refusal):
    content = document()
    del content["annotations"][0]["keypoints"]
    assert refusal(content) == (
        "no annotation has `keypoints`; a COCO-keypoint file is expected "
        "(person_keypoints_*.json, not instances_*.json)"
    )


def test_another_joint_count(refusal):
    assert refusal(document(keypoints=[1, 2, 2] * 17)) == (
        "people with another number of joints than the skeleton: "
        "annotation 5 has 17 joints, skeleton 'three' has 3; "
        "tell the joints the file is annotated with: --data-skeleton coco matches them "
        "with those of 'three' by name; train --skeleton coco makes a network of these"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoints": [float("nan"), 2, 2] + [0] * 6}, "keypoints that are no flat list of 3"),
        ({"keypoints": [None, 2, 2] + [0] * 6}, "keypoints that are no flat list of 3"),
        ({"keypoints": [True, 2, 2] + [0] * 6}, "keypoints that are no flat list of 3"),
        ({"keypoints": [10**400, 2, 2] + [0] * 6}, "keypoints that are no flat list of 3"),
        ({"keypoints": ["1", "2", "2"] * 3}, "keypoints that are no flat list of 3"),
        ({"keypoints": "none"}, "keypoints that are no flat list of 3"),
        ({"keypoints": [[1, 2, 2]] * 3}, "keypoints that are no flat list of 3"),
        ({"keypoints": [1, 2, 2, 0]}, "keypoints that are no flat list of 3"),
        ({"bbox": [0, 0, float("inf"), 4]}, "boxes that are not x, y, width, height"),
        ({"bbox": "wide"}, "boxes that are not x, y, width, height"),
        ({"bbox": [1, 2, 3]}, "boxes that are not x, y, width, height"),
        ({"bbox": ["1", "2", "3", "4"]}, "boxes that are not x, y, width, height"),
        ({"bbox": [9, 9, -4, 4]}, "boxes of negative width or height: annotation 5: 9, 9, -4, 4"),
        ({"area": float("nan")}, "areas that are no numbers of 0 or more"),
        ({"area": [1]}, "areas that are no numbers of 0 or more"),
        ({"area": "9"}, "areas that are no numbers of 0 or more"),
        ({"area": True}, "areas that are no numbers of 0 or more"),
        ({"area": -1}, "areas that are no numbers of 0 or more: annotation 5: -1"),
    ],
)
def test_numbers_that_are_none(refusal, changes, message):
    told = refusal(document(**changes))
    assert told.startswith(message)
    assert told.endswith("; ofa-pose data check lists every fault")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoints": [1e300, 2, 2] + [0] * 6}, "joints beyond 1,000,000 px: annotation 5, left_"),
        ({"keypoints": [0] * 6 + [1, -2e6, 0]}, "joints beyond 1,000,000 px: annotation 5, head: "),
        ({"bbox": [0, 0, 1e39, 4]}, "boxes beyond 1,000,000 px: annotation 5: 0, 0, 1e+39, 4"),
        ({"area": 1e13}, "areas beyond 1,000,000,000,000 px: annotation 5: 10000000000000.0"),
        ({"area": 10**400}, "areas beyond 1,000,000,000,000 px: annotation 5: 1000"),
    ],
)
def test_beyond_every_picture(refusal, changes, message):
    assert refusal(document(**changes)).startswith(message)


def test_a_number_that_python_does_not_read(refusal):
    assert refusal('{"images": [{"id": ' + "9" * 5000 + "}]}").startswith(
        "holds a number of thousands of digits"
    )


def test_ids_that_do_not_meet(refusal):
    assert "image ids are used twice" in refusal(
        {"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}], "annotations": []}
    )
    assert refusal(document(image_id="1")) == (
        "no annotation's `image_id` is the `id` of an image it lists"
    )
    assert refusal({"images": [{"id": 1}], "annotations": []}).startswith(
        "images without a file name: image 1 (None)"
    )


@pytest.mark.parametrize("wrong", [None, "1", [1], {}, 1.5])
def test_an_id_that_is_none(refusal, wrong):
    images = [{"id": wrong, "file_name": "a.jpg"}]
    assert "image ids that are no whole numbers" in refusal({"images": images, "annotations": []})
    assert "no annotation's `image_id`" in refusal(document(image_id=wrong))


@pytest.mark.parametrize("wrong", [None, 7, "", "a\0b.jpg", ["a.jpg"]])
def test_a_file_name_that_is_none(refusal, wrong):
    images = [{"id": 1, "file_name": wrong}]
    assert refusal({"images": images, "annotations": []}).startswith("images without")


def test_a_crowd_index_that_is_no_number(refusal):
    for wrong in ("high", True, None, float("nan"), float("-inf"), 1e7):
        images = [{"id": 1, "file_name": "a.jpg", "crowdIndex": wrong}]
        assert refusal({"images": images, "annotations": []}).startswith("values of `crowdIndex`")


def test_nested_without_an_end(refusal):
    assert "not a COCO file" in refusal("[" * 100_000)


def test_an_absent_file(tmp_path, three):
    with pytest.raises(DataError, match="cannot read annotations .*nowhere.json: No such file"):
        read_annotations(tmp_path / "nowhere.json", three)


def test_what_is_missing_is_filled_in(tmp_path, three):
    content = document(keypoints=[10, 20, 2, 0, 0, 0, 30, 50, 1])
    del content["annotations"][0]["bbox"]
    path = tmp_path / "people.json"
    path.write_text(json.dumps(content))
    (annotation,) = read_annotations(path, three)["annotations"]
    assert annotation["bbox"] == [10, 20, 20, 30]  # of the labelled joints
    assert annotation["num_keypoints"] == 2
    assert annotation["iscrowd"] == 0


@pytest.mark.parametrize("category", ["person", "human"])
def test_a_file_that_names_its_joints_in_another_order(refusal, three, tmp_path, category):
    named = document()
    first, second, *rest = three.joints
    named["categories"] = [{"id": 1, "name": category, "keypoints": [second, first, *rest]}]
    assert refusal(named).startswith(
        "joints in another order than the skeleton's: "
        f"joint 1 is named {second!r}, where skeleton 'three' has {first!r}"
    )
    for names in (three.joints, ["muzzle", second, *rest]):  # an unknown name says nothing
        named["categories"][0]["keypoints"] = list(names)
        path = tmp_path / "right.json"
        path.write_text(json.dumps(named))
        assert len(read_annotations(path, three)["annotations"]) == 1


def test_animals_may_have_their_joints_in_another_order(three, tmp_path):
    mixed = document(category_id=1)
    animal = {"id": 2, "name": "dog", "keypoints": list(three.joints)[::-1]}
    mixed["categories"] = [{"id": 1, "name": "person", "keypoints": list(three.joints)}, animal]
    path = tmp_path / "mixed.json"
    path.write_text(json.dumps(mixed))
    assert len(read_annotations(path, three)["annotations"]) == 1


def test_people_of_another_category_are_counted(three, tmp_path, caplog):
    mixed = document()
    mixed["categories"] = [{"id": 1, "name": "person"}]
    mixed["annotations"] += [{**mixed["annotations"][0], "id": 6, "category_id": "1"}]
    path = tmp_path / "mixed.json"
    path.write_text(json.dumps(mixed))
    assert len(read_annotations(path, three)["annotations"]) == 1
    assert "1 annotations with joints are left out" in caplog.text


@pytest.mark.parametrize(
    ("rule", "changes", "told"),
    [
        ("annotated", {"area": 0}, True),
        ("annotated", {"area": 1}, False),
        ("annotated", {"area": 0, "iscrowd": 1}, False),
        ("annotated", {"area": 0, "num_keypoints": 0}, False),
        ("bbox0.53", {"area": 0}, False),
        ("bbox0.53", {"bbox": [0, 0, 0, 4]}, True),
    ],
)
def test_areas_of_0_are_told(three, tmp_path, caplog, rule, changes, told):
    path = tmp_path / "people.json"
    path.write_text(json.dumps(document(**changes)))
    read_annotations(path, replace(three, area_rule=rule))
    assert ("1 of 1 people have a stated area of 0" in caplog.text) == told


def peak_bytes(act: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_file_is_checked_in_the_memory_that_parsing_it_takes(three, tmp_path):
    path = tmp_path / "people.json"
    (person,) = document(keypoints=[1.5, 2.5, 2] * 3)["annotations"]
    everybody = [{**person, "id": number} for number in range(5000)]
    path.write_text(json.dumps({**document(), "annotations": everybody}))
    parsing = peak_bytes(lambda: json.loads(path.read_bytes()))
    # Raw and checked annotations side by side would take 1.9 times as much.
    assert peak_bytes(lambda: read_annotations(path, three)) < 1.5 * parsing
