"""A look over a data set counts every fault and says where it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ofa_pose.data.check import SetCheck, SetReport, first_of, recognise_skeleton
from ofa_pose.data.coco import CocoScenes
from ofa_pose.errors import DataError, UsageError
from ofa_pose.skeleton import load_skeleton

JOINTS = [10, 20, 2, 0, 0, 0, 30, 12, 1]
Look = Callable[..., SetReport]
_CROWD_INDEX = "values of `crowdIndex` that are no numbers of at most 1,000,000"


def person(number: Any, image: Any = 70, **changes: Any) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": JOINTS,
        "num_keypoints": 2,
        "bbox": [8, 10, 24, 20],
        "area": 300,
        **changes,
    }


@pytest.fixture
def look(write_set, three) -> Look:
    """Write two pictures of 60x40 and these annotations, change what is wanted, and look."""

    def check(
        annotations: list[Any], change: Callable[[dict, Path], None] | None = None, **options: Any
    ) -> SetReport:
        grey = np.full((40, 60, 3), 99, np.uint8)
        people = [{"id": 1, "name": "person"}]
        path, folder = write_set({"a.png": grey, "b.png": grey}, annotations, categories=people)
        if change is not None:
            document = json.loads(path.read_text())
            change(document, folder)
            path.write_text(json.dumps(document))
        return SetCheck(path, folder, skeleton=three, **options).run()

    return check


def test_a_sound_set(look: Look) -> None:
    report = look(
        [person(1), person(2, 71, keypoints=[0] * 9, num_keypoints=0), person(3, iscrowd=1)]
    )
    assert report.faults == {}
    assert report.notes == {}
    assert report.counts == {
        "pictures": 2,
        "with people": 1,
        "annotations": 3,
        "people with keypoints": 1,
        "people without keypoints": 1,
        "crowds": 1,
        "labelled joints": 2,
    }
    assert report.labelled == {"left_hand": 1, "right_hand": 0, "head": 1}


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (7, "entries of `annotations` that are no objects"),
        (person(None), "annotation ids that are no whole numbers"),
        (person(2**63), "annotation ids of more than 64 bits"),
        (person(1), "annotation ids used twice"),
        (person(2, category_id="1"), "values of `category_id` that are no whole numbers"),
        (person(2, category_id=None), "values of `category_id` that are no whole numbers"),
        (person(2, 99), "annotations of images that are not listed"),
        (person(2, [70]), "annotations of images that are not listed"),
        (person(2, keypoints=[1, 2, 2]), "people with another number of joints"),
        (person(2, keypoints=[float("nan"), *JOINTS[1:]]), "keypoints that are no flat list"),
        (person(2, keypoints=[10**400, *JOINTS[1:]]), "keypoints that are no flat list"),
        (person(2, keypoints="none"), "keypoints that are no flat list"),
        (person(2, keypoints=[9, 9, 3, *JOINTS[3:]]), "visibility flags other than 0, 1 and 2"),
        (person(2, keypoints=[70, 9, 2, *JOINTS[3:]]), "labelled joints outside of their picture"),
        (person(2, keypoints=[9, 9, 2] * 3, bbox=[1, 2, -3, 4]), "boxes of negative width"),
        (person(2, keypoints=[9, 9, 2] * 3, bbox=[1, 2, 0, 4]), "boxes of no width or height"),
        (person(2, keypoints=[9, 9, 2] * 3, bbox=[1, 2, 3]), "boxes that are not x, y, width"),
        (person(2, keypoints=[9, 9, 2] * 3, bbox=[30, 9, 32, 4]), "boxes that reach out of"),
        (person(2, keypoints=[9, 9, 2] * 3, bbox=[-2, 9, 9, 4]), "boxes that reach out of"),
        (person(2, keypoints=[9, 9, 2] * 3, bbox=[3, 30, 9, 12]), "boxes that reach out of"),
        (person(2, keypoints=[0.2, 1, 2] * 3, bbox=[0, 0, 9, 9]), "joints within one pixel"),
        (person(2, keypoints=[9, 9, 2] * 3, area=-5), "areas that are no numbers of 0 or more"),
        (person(2, keypoints=[9, 9, 2] * 3, area="x"), "areas that are no numbers of 0 or more"),
        (person(2, keypoints=[9, 9, 2] * 3, iscrowd=7), "values of `iscrowd` other than 0 and 1"),
        (person(2), "people annotated twice"),
    ],
)
def test_a_fault_of_an_annotation(look: Look, annotation: Any, kind: str) -> None:
    faults = look([person(1), annotation]).faults
    if isinstance(annotation, dict) and annotation["id"] != 2:
        faults.pop("people annotated twice")
    (found,) = faults
    assert found.startswith(kind)
    assert len(faults[found]) == 1


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"id": "1"}, "image ids that are no whole numbers"),
        ({"id": -(2**63)}, "image ids of more than 64 bits"),
        ({"id": 70}, "image ids used twice"),
        ({"file_name": ""}, "images without a file name"),
        ({"file_name": "a.png"}, "pictures listed under several ids"),
        ({"file_name": "c.png"}, "pictures that are not there"),
        ({"width": -60}, "widths and heights that are no whole numbers of 1 to 1,000,000 px"),
        ({"width": 61}, "sizes that are not the picture's"),
        ({"crowdIndex": float("nan")}, _CROWD_INDEX),
    ],
)
def test_a_fault_of_an_image(look: Look, changes: dict[str, Any], kind: str) -> None:
    def change(document: dict, folder: Path) -> None:
        document["images"][1].update(changes)

    faults = look([person(1)], change).faults
    assert list(faults) == [kind]


def _unsized(document: dict[str, Any]) -> None:
    for image in document["images"]:
        del image["width"], image["height"]


def _reordered(document: dict[str, Any]) -> None:
    document["categories"][0]["keypoints"] = ["right_hand", "left_hand", "head"]


def _renamed(document: dict[str, Any]) -> None:
    _reordered(document)
    document["categories"][0]["name"] = "human"


def _with_index(value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["images"][1].update(crowdIndex=value)


@pytest.mark.parametrize(
    ("annotation", "change", "kind"),
    [
        (person(2, 71), _reordered, "joints in another order than the skeleton's"),
        (person(2, 71), _renamed, "joints in another order than the skeleton's"),
        (person(2, keypoints=[3e6, 20, 0, *JOINTS[3:]]), None, "joints beyond 1,000,000 px"),
        (person(2, keypoints=[2e6, 20, 2, *JOINTS[3:]]), _unsized, "joints beyond 1,000,000 px"),
        (person(2, 71, bbox=[8, 10, 2e6, 20]), None, "boxes beyond 1,000,000 px"),
        (person(2, 71, area=1e13), None, "areas beyond 1,000,000,000,000 px"),
        (person(2, keypoints=list("123456789")), None, "keypoints that are no flat list of 3"),
        (person(2, 71, area="9"), None, "areas that are no numbers of 0 or more"),
        (person(2, 71), _with_index(1e7), _CROWD_INDEX),
        (person(2, 71), _with_index(True), _CROWD_INDEX),
    ],
)
def test_what_no_verb_reads_is_a_fault(
    look: Look, tmp_path: Path, three, annotation: Any, change: Any, kind: str
) -> None:
    def spoil(document: dict[str, Any], folder: Path) -> None:
        if change is not None:
            change(document)

    faults = look([person(1), annotation], spoil).faults
    assert any(found.startswith(kind) for found in faults)
    with pytest.raises(DataError, match=kind):
        CocoScenes(tmp_path / "set.json", tmp_path / "images", skeleton=three)


def test_joints_of_another_category_are_noted(look: Look) -> None:
    dog, cat = person(2, category_id=18, keypoints=[1, 2, 2]), person(3, category_id=17)
    del cat["keypoints"]
    report = look([person(1), dog, cat])
    assert report.faults == {}
    assert report.notes == {
        "joints of other categories than person's are left out": ["annotation 2: 18"]
    }
    assert report.counts["people with keypoints"] == 1


def test_an_outline_that_cannot_be_used_is_noted(look: Look) -> None:
    turned = {"size": [60, 40], "counts": [80, 10, 40 * 60 - 90]}  # the picture is 40 high
    sound = {"size": [40, 60], "counts": [80, 10, 40 * 60 - 90]}
    report = look(
        [
            person(1, segmentation=[[1, 2]]),  # of who has joints nobody looks at it
            person(2, 71, iscrowd=1, segmentation=turned),
            person(3, 71, keypoints=[0] * 9, num_keypoints=0, segmentation=[[1, 2, 9, 9, 3]]),
            person(4, 71, iscrowd=1, segmentation=sound),
            person(5, 71, iscrowd=1, segmentation=[]),
        ]
    )
    assert report.faults == {}
    assert report.notes == {
        "outlines of ignored people that cannot be used; their box is ignored instead": [
            "annotation 2",
            "annotation 3",
        ]
    }


def test_things_are_not_counted_as_people(look: Look, three) -> None:
    def list_workers(document: dict[str, Any], folder: Path) -> None:
        worker = {"id": 1, "name": "worker", "keypoints": list(three.joints)}
        document["categories"] = [worker, {"id": 2, "name": "helmet"}]

    helmet = person(2, category_id=2, keypoints=[0] * 9, num_keypoints=0)
    report = look([person(1), helmet], list_workers)
    assert report.faults == {}
    assert report.notes == {}
    assert report.counts["annotations"] == 2
    assert report.counts["people without keypoints"] == 0


def test_nobody_is_labelled(look: Look) -> None:
    faults = look([person(1, keypoints=[0] * 9, num_keypoints=0)]).faults
    assert faults == {"nobody has labelled joints": ["of 1 annotated"]}


def test_an_entry_that_is_no_image(look: Look) -> None:
    def change(document: dict, folder: Path) -> None:
        document["images"].append(3)

    assert list(look([person(1)], change).faults) == ["entries of `images` that are no objects"]


@pytest.mark.parametrize(("content", "quick"), [(b"", True), (b"no picture", False)])
def test_a_damaged_picture(look: Look, content: bytes, quick: bool) -> None:
    def change(document: dict, folder: Path) -> None:
        (folder / "b.png").write_bytes(content)

    faults = look([person(1)], change).faults
    assert list(faults) == ["pictures that are damaged"]
    assert faults["pictures that are damaged"][0].startswith("'b.png': ")
    # Rubbish inside is seen by reading it alone.
    assert bool(look([person(1)], change, decode=False).faults) == quick


_UNSCORED = "no area is stated and that of joints or box is 0: learnt from, not scored"
_BOXLESS = "people have no box; the bounds of their joints serve"
_NO_AREA = "people have no area; 0.53 of their box serves"
_LEVEL = {"keypoints": [10, 20, 2, 40, 20, 2, 30, 20, 1], "num_keypoints": 3}


@pytest.mark.parametrize(
    ("rule", "left_out", "changes", "faults", "notes"),
    [
        ("annotated", ["bbox", "area"], _LEVEL, [], [_UNSCORED, _BOXLESS, _NO_AREA]),
        ("annotated", ["bbox"], _LEVEL, [], [_BOXLESS]),
        ("annotated", ["area"], _LEVEL, [], [_NO_AREA]),
        ("annotated", [], {"area": 0}, ["areas of 0, of which only exact predictions score"], []),
        ("bbox0.53", ["bbox"], _LEVEL, [], [_UNSCORED, _BOXLESS]),
        ("bbox0.53", [], {"area": 0}, [], []),
        ("bbox0.53", ["bbox"], {**_LEVEL, "iscrowd": 1}, [], [_BOXLESS]),
    ],
)
def test_who_has_no_area(
    write_set, three, rule: Any, left_out: list[str], changes: Any, faults: Any, notes: Any
) -> None:
    one = person(1, **changes)
    for key in left_out:
        del one[key]
    grey = np.full((40, 60, 3), 99, np.uint8)
    other = person(2, keypoints=[9, 11, 2, 0, 0, 0, 31, 12, 1])
    path, folder = write_set({"a.png": grey}, [one, other])
    report = SetCheck(path, folder, skeleton=replace(three, area_rule=rule)).run()
    assert list(report.faults) == faults
    assert list(report.notes) == notes


def test_joints_outside_of_a_picture_whose_size_is_not_stated(look: Look) -> None:
    def change(document: dict[str, Any], folder: Path) -> None:
        _unsized(document)
        document["images"][1]["width"] = 60  # a width alone is no size

    people = [
        person(1, keypoints=[5000, 20, 2, 0, 0, 0, 30, 12, 1]),
        person(2, 71, keypoints=[10, 20, 2, -300, 35, 1, 61, 41, 2]),
        person(3, 71, keypoints=[10, 20, 2, 900, 900, 0, 30, 43, 2]),
    ]
    report = look(people, change)
    assert report.faults == {
        "labelled joints outside of their picture": [
            "annotation 1, left_hand: 5000, 20 in 60x40",
            "annotation 2, right_hand: -300, 35 in 60x40",
            "annotation 3, head: 30, 43 in 60x40",
        ]
    }
    assert look(people, change, decode=False).faults == {}


def test_notes_are_no_faults(look: Look) -> None:
    odd = person(2, keypoints=[59, 39, 2, 5, 5, 0, 0, 0, 0], num_keypoints=3)
    none = person(3, 71, num_keypoints=0)
    del none["bbox"]
    report = look([person(1), odd, none])
    assert report.faults == {}
    assert {kind: len(where) for kind, where in report.notes.items()} == {
        "`num_keypoints` is not how many are labelled": 1,
        "joints have a place and v = 0, so they are not used": 1,
        "joints lie far from their box": 1,
        "`num_keypoints` is 0 though joints are labelled: learnt from, not scored": 1,
        "people have no box; the bounds of their joints serve": 1,
    }


def test_what_lies_on_the_edge_is_no_fault(look: Look) -> None:
    """Rounding takes a box a pixel beside its picture; one joint may lie in the corner."""
    edge = person(1, bbox=[-1, -1, 62, 42])
    corner = person(2, keypoints=[0, 0, 2, 0, 0, 0, 0, 0, 0], num_keypoints=1)
    assert look([edge, corner]).faults == {}


def test_scenes_for_the_eye(write_set, three) -> None:
    grey = np.full((40, 60, 3), 99, np.uint8)
    names = {f"{n}.png": grey for n in range(5)}
    people = [person(n, 70 + n) for n in (0, 2, 4)]
    path, folder = write_set(names, people)
    (folder / "4.png").unlink()
    looked = SetCheck(path, folder, skeleton=three)
    looked.run()
    assert [scene.image_id for scene in looked.scenes(9)] == [70, 72]
    (scene,) = looked.scenes(1)
    np.testing.assert_array_equal(scene.keypoints.ravel(), np.array(JOINTS, np.float32))


def test_the_eye_sees_what_losses_ignore(write_set, three) -> None:
    crowd = person(2, iscrowd=1, bbox=[10, 5, 20, 10], keypoints=[0] * 9, num_keypoints=0)
    odd = {**crowd, "id": 3, "bbox": "none", "segmentation": {"size": [2]}}  # told as faults
    path, folder = write_set({"a.png": np.full((40, 60, 3), 99, np.uint8)}, [person(1), crowd, odd])
    looked = SetCheck(path, folder, skeleton=three)
    looked.run()
    (scene,) = looked.scenes(1)
    expected = np.ones((40, 60), bool)
    expected[5:15, 10:30] = False
    np.testing.assert_array_equal(scene.valid, expected)


@pytest.mark.parametrize(("stated", "top_left"), [((40, 60), 255), ((60, 40), 0)])
def test_the_eye_sees_a_picture_turned_as_it_is_learnt(
    write_set, three, stated: tuple[int, int], top_left: int
) -> None:
    path, folder = write_set({"a.png": np.zeros((40, 60, 3), np.uint8)}, [person(1)])
    left_white = np.zeros((40, 60, 3), np.uint8)
    left_white[:, :30] = 255
    exif = Image.Exif()
    exif[0x0112] = 8  # shown turned to the left: the right half is on top
    Image.fromarray(left_white).save(folder / "a.png", exif=exif)
    document = json.loads(path.read_text())
    document["images"][0].update(height=stated[0], width=stated[1])
    path.write_text(json.dumps(document))
    looked = SetCheck(path, folder, skeleton=three)
    report = looked.run()
    assert report.faults == {}
    stored = "pictures are taken as stored, though viewers turn them (EXIF): do the joints fit?"
    assert report.notes == ({stored: ["'a.png'"]} if stated == (40, 60) else {})
    (scene,) = looked.scenes(9)
    assert scene.image.shape[:2] == stated
    assert scene.image[3, 3].tolist() == [top_left] * 3


def test_a_file_that_cannot_be_read_at_all(tmp_path: Path, three) -> None:
    path = tmp_path / "people.json"
    path.write_text('{"images": [')
    with pytest.raises(DataError, match="broken JSON"):
        SetCheck(path, None, skeleton=three)


def test_the_skeleton_is_known_by_its_joints_names() -> None:
    for name in ("coco", "crowdpose", "mpii", "aic"):
        joints = list(load_skeleton(name).joints)
        document = {"categories": [{"name": "person", "keypoints": joints}]}
        assert recognise_skeleton(document).name == name
    # CrowdPose's own files call the top of the head otherwise.
    joints = [*load_skeleton("crowdpose").joints[:12], "head", "neck"]
    assert recognise_skeleton({"categories": [{"keypoints": joints}]}).name == "crowdpose"
    joints = ["chest", "HandLeft", "HandRight"]
    limbs = [[1, 2], [1, 3], [1, 4], [0, 1], [2, 2], "no", [1.5, 2]]
    own = recognise_skeleton({"categories": [{"keypoints": joints, "skeleton": limbs}]})
    assert own.joints == tuple(joints)
    assert own.flip == (0, 2, 1)
    assert own.limbs == ((0, 1), (0, 2))
    with pytest.raises(UsageError, match="give --skeleton"):
        recognise_skeleton({"categories": [{"keypoints": ["a", "a"]}]})
    with pytest.raises(UsageError, match="categories name no joints"):
        recognise_skeleton({})


def test_the_skeleton_is_the_persons_where_there_is_one() -> None:
    dog = {"id": 1, "name": "dog", "keypoints": ["snout", "tail"]}
    own = {"id": 2, "name": "person", "keypoints": ["head", "left_hand", "right_hand"]}
    assert recognise_skeleton({"categories": [dog, own]}).joints == tuple(own["keypoints"])
    assert recognise_skeleton({"categories": [dog]}).joints == ("snout", "tail")
    nameless = {"id": 2, "name": "person"}
    with pytest.raises(UsageError, match="categories name no joints; give --skeleton"):
        recognise_skeleton({"categories": [dog, nameless]})


def test_the_first_few_are_named() -> None:
    assert first_of(["a", "b"], 2) == "a; b"
    assert first_of(["a", "b", "c"], 2) == "a; b; and 1 more"
