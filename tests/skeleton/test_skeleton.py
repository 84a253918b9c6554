"""Skeletons: the shipped ones carry the published constants, and a bad one is refused clearly."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from ofa_pose.errors import SkeletonError, UnknownNameError
from ofa_pose.skeleton import Skeleton, load_skeleton, skeleton_names

# fmt: off
COCO_SIGMAS = (.026, .025, .025, .035, .035, .079, .079, .072, .072, .062, .062, .107, .107,
               .087, .087, .089, .089)
CROWDPOSE_SIGMAS = (.079, .079, .072, .072, .062, .062, .107, .107, .087, .087, .089, .089,
                    .079, .079)
# fmt: on

THREE = {
    "format": 1,
    "name": "three",
    "joints": {"head": 0.1, "left": 0.2, "right": 0.3},
    "flip": [["left", "right"]],
    "limbs": [["head", "left"], ["head", "right"]],
}


def write(folder: Path, content: object) -> Path:
    path = folder / "own.yaml"
    path.write_text(
        content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
    )
    return path


def test_the_shipped_skeletons_are_found() -> None:
    assert list(skeleton_names()) == ["aic", "coco", "crowdpose", "mpii"]


def test_coco_carries_the_published_constants() -> None:
    coco = load_skeleton("coco")
    assert coco.name == "coco"
    assert coco.num_joints == 17
    assert coco.joints[0] == "nose"
    assert coco.joints[16] == "right_ankle"
    assert coco.sigmas == COCO_SIGMAS
    assert coco.flip == (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
    assert coco.matching_order == (*range(7), 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)
    assert coco.area_rule == "annotated"


def test_crowdpose_carries_the_published_constants() -> None:
    crowdpose = load_skeleton("crowdpose")
    assert crowdpose.num_joints == 14
    assert crowdpose.joints[0] == "left_shoulder"
    assert crowdpose.joints[12:] == ("top_head", "neck")
    assert crowdpose.sigmas == CROWDPOSE_SIGMAS
    assert crowdpose.flip == (1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 12, 13)
    assert set(crowdpose.matching_order[:6]) == {0, 1, 6, 7, 12, 13}
    assert crowdpose.area_rule == "bbox0.53"


def test_mpii_in_the_order_of_its_annotations() -> None:
    # The order of MPII's MATLAB annotations: 0 r ankle ... 9 head top, 10 r wrist ... 15 l wrist.
    mpii = load_skeleton("mpii")
    assert mpii.num_joints == 16
    assert mpii.joints[:6] == (
        *("right_ankle", "right_knee", "right_hip"),
        *("left_hip", "left_knee", "left_ankle"),
    )
    assert mpii.joints[6:10] == ("pelvis", "thorax", "upper_neck", "head_top")
    assert mpii.flip == (5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 15, 14, 13, 12, 11, 10)


def test_aic_carries_the_sigmas_of_its_official_evaluation() -> None:
    aic = load_skeleton("aic")
    assert aic.num_joints == 14
    assert aic.joints[0] == "right_shoulder"
    assert aic.joints[12:] == ("head_top", "neck")
    assert aic.flip == (3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8, 12, 13)
    assert (aic.sigmas[0], aic.sigmas[6], aic.sigmas[13]) == (0.01388152, 0.03909642, 0.01236173)


@pytest.mark.parametrize("name", sorted(skeleton_names()))
def test_limbs_connect_every_joint_and_mirror_onto_limbs(name: str) -> None:
    skeleton = load_skeleton(name)
    assert {joint for limb in skeleton.limbs for joint in limb} == set(range(skeleton.num_joints))
    limbs = {frozenset(limb) for limb in skeleton.limbs}
    assert {frozenset(skeleton.flip[joint] for joint in limb) for limb in limbs} == limbs


def test_a_skeleton_is_loaded_from_a_file_and_passed_through(tmp_path: Path) -> None:
    skeleton = load_skeleton(write(tmp_path, THREE))
    expected = Skeleton(
        name="three",
        joints=("head", "left", "right"),
        flip=(0, 2, 1),
        limbs=((0, 1), (0, 2)),
        sigmas=(0.1, 0.2, 0.3),
        matching_order=(0, 1, 2),
        area_rule="annotated",
    )
    assert skeleton == expected
    assert load_skeleton(str(tmp_path / "own.yaml")) == expected
    assert load_skeleton(skeleton) is skeleton


def test_joints_may_be_called_by_numbers(tmp_path: Path) -> None:
    content = "format: 1\nname: numbers\njoints: {1: 0.1, 2: 0.1}\nlimbs: [[1, 2]]\nflip: [[1, 2]]"
    skeleton = load_skeleton(write(tmp_path, content))
    assert (skeleton.joints, skeleton.flip, skeleton.limbs) == (("1", "2"), (1, 0), ((0, 1),))


@pytest.mark.parametrize("name", sorted(skeleton_names()))
def test_a_skeleton_as_json_comes_back_equal(name: str) -> None:
    skeleton = load_skeleton(name)
    assert Skeleton.from_dict(json.loads(json.dumps(skeleton.to_dict()))) == skeleton


def test_an_unknown_name_suggests_the_near_one() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown skeleton 'coc'; did you mean 'coco'\?"):
        load_skeleton("coc")


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SkeletonError, match=r"cannot read .*absent\.yaml"):
        load_skeleton(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("joints: [", "is not YAML"),
        ("- a", "is a list; a skeleton is a mapping of keys to values"),
        (
            "format: 1\nname: a\njoints: {head: 0.1, hand: 0.1, head: 0.2}\nlimbs: []",
            "stands twice: joints: head",
        ),
        ({**THREE, "format": 2}, "format is 2, this version reads 1"),
        ({**THREE, "limb": []}, "unknown key 'limb'; did you mean 'limbs'"),
        ({**THREE, "joints": ["head"]}, "must map each joint's name to its sigma"),
        ({**THREE, "joints": None}, "'joints' is missing"),
        ({**THREE, "flip": [["left", "rigth"]]}, "unknown joint 'rigth'; did you mean 'right'"),
        ({**THREE, "flip": [["left", "right"], ["left", "head"]]}, "'left' appears 2 times"),
        ({**THREE, "flip": 3}, "'flip' must be a list of pairs"),
        ({**THREE, "flip": [["left"]]}, "is not a pair of joint names"),
        ({**THREE, "limbs": [["head", "head"]]}, "do not join two different joints"),
        ({**THREE, "joints": {"head": 0.1, "left": -1, "right": "x"}}, "must be positive numbers"),
        ({**THREE, "joints": {"head": float("nan"), "left": 1, "right": 1}}, "positive numbers"),
        ({**THREE, "matching_order": ["head", "left"]}, "must name each of the 3 joints once"),
        ({**THREE, "matching_order": "head"}, "'matching_order' must be a list"),
        ({**THREE, "area_rule": "box"}, "expected one of annotated, bbox0.53"),
        ({**THREE, "aliases": ["top"]}, "'aliases' must map joint names"),
        ({**THREE, "aliases": {"haed": "top"}}, "unknown joint 'haed'; did you mean 'head'"),
        ({**THREE, "aliases": {"head": [3]}}, "'head' needs a name or a list of names"),
        ({**THREE, "synthetic": {"head": 3}}, "'head' needs a point or point: weight"),
        ({**THREE, "synthetic": {"head": {"neck": 0.5}}}, "weights of 'head' must be .* add up"),
        ({**THREE, "synthetic": {"head": {"neck": float("nan")}}}, "must be .* add up to 1"),
    ],
)
def test_a_bad_declaration_is_refused(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(SkeletonError, match=message) as caught:
        load_skeleton(write(tmp_path, content))
    assert "own.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_fault_is_in_the_message(tmp_path: Path) -> None:
    path = write(tmp_path, {"name": "x", "limbs": [["a", "b"]], "colour": 1})
    with pytest.raises(SkeletonError) as caught:
        load_skeleton(path)
    for part in ("'colour'", "'format' is missing", "'joints' is missing", "unknown joint 'a'"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joints": ("a", "a", "b")}, "used twice: a"),
        ({"flip": (1, 2, 0)}, "mirror images both ways"),
        ({"limbs": ((0, 3),)}, "two different joints of 0 to 2"),
        ({"sigmas": (0.1,)}, "has 1 sigmas for 3 joints"),
        ({"sigmas": (0.1, 0.0, 0.1)}, "must be positive"),
        ({"matching_order": (0, 0, 1)}, "must name each"),
    ],
)
def test_a_contradiction_is_refused_at_construction(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    skeleton = load_skeleton(write(tmp_path, THREE))
    with pytest.raises(SkeletonError, match=message):
        dataclasses.replace(skeleton, **change)


def test_flip_pairs_are_guessed_from_the_names_and_told(tmp_path: Path, caplog) -> None:
    joints = {"nose": 0.1, "l_hand": 0.1, "FootRight": 0.1, "r_hand": 0.1, "FootLeft": 0.1}
    with caplog.at_level("INFO"):
        skeleton = load_skeleton(write(tmp_path, {"format": 1, "name": "g", "joints": joints}))
        load_skeleton(tmp_path / "own.yaml")
    assert skeleton.flip == (0, 3, 4, 1, 2)
    (record,) = caplog.records  # told once, however often it is loaded
    assert record.getMessage().endswith(
        "these mirror each other: l_hand and r_hand, FootRight and FootLeft"
    )


def test_a_side_without_its_counterpart_is_no_guess(tmp_path: Path) -> None:
    content = {"format": 1, "name": "g", "joints": {"left_hand": 0.1, "head": 0.1}}
    with pytest.raises(SkeletonError, match="left_hand have no counterpart of the other side"):
        load_skeleton(write(tmp_path, content))
    assert load_skeleton(write(tmp_path, {**content, "flip": []})).flip == (0, 1)


def test_hints_are_read_kept_and_do_not_make_another_skeleton(tmp_path: Path) -> None:
    hints = {
        "aliases": {"head": ["top_head", "skull"], "left": "left_wrist"},
        "synthetic": {"head": {"neck": 0.25, "top_head": 0.75}, "right": "right_hand"},
    }
    hinted = load_skeleton(write(tmp_path, {**THREE, **hints}))
    plain = load_skeleton(write(tmp_path, THREE))
    assert hinted.aliases == (("top_head", "skull"), ("left_wrist",), ())
    assert hinted.synthetic == (
        *((("neck", 0.25), ("top_head", 0.75)), ()),
        (("right_hand", 1.0),),
    )
    assert hinted == plain
    assert not hinted.differences(plain)
    again = Skeleton.from_dict(json.loads(json.dumps(hinted.to_dict())))
    assert (again.aliases, again.synthetic) == (hinted.aliases, hinted.synthetic)
    assert "aliases" not in plain.to_dict()


def test_differences_are_named(tmp_path: Path) -> None:
    skeleton = load_skeleton(write(tmp_path, THREE))
    other = dataclasses.replace(skeleton, sigmas=(0.1, 0.1, 0.1), limbs=())
    assert skeleton.differences(other) == ["limbs", "sigmas"]


def test_lists_and_arrays_become_tuples() -> None:
    parts = {"joints": ["a", "b"], "flip": np.array([1, 0]), "limbs": [[0, 1]],
             "sigmas": np.array([0.1, 0.1]), "matching_order": [0, 1]}  # fmt: skip
    own: Any = Skeleton(name="two", **parts)  # pyright: ignore[reportArgumentType]
    plain = Skeleton("two", ("a", "b"), (1, 0), ((0, 1),), (0.1, 0.1), (0, 1))
    assert own == plain
    assert hash(own) == hash(plain)
    parts["joints"].append("c")  # pyright: ignore[reportAttributeAccessIssue]
    assert Skeleton.from_dict(json.loads(json.dumps(own.to_dict()))) == plain
