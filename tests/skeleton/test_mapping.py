"""Joints of two skeletons are matched by name, whatever the spelling."""

import pytest

from ofa_pose.errors import SkeletonError
from ofa_pose.skeleton import Skeleton, load_skeleton, map_joints, plain_name


def skeleton(*joints: str, aliases: tuple[tuple[str, ...], ...] = ()) -> Skeleton:
    every = tuple(range(len(joints)))
    return Skeleton(
        name="s",
        joints=joints,
        flip=every,
        limbs=(),
        sigmas=(0.1,) * len(joints),
        matching_order=every,
        aliases=aliases,
    )


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        *[(name, "left_ankle") for name in ("left_ankle", "LAnkle", "ankle-left", "l ankle")],
        *[(name, "left_ankle") for name in ("leftankle", "LeftAnkle", "ankle.L")],
        *[(name, "left_upper_arm") for name in ("upper_left_arm", "upperLArm", "upper arm l")],
        ("right", "right"),
        ("Upper Neck", "upper_neck"),
        ("HEAD_TOP", "head_top"),
        ("Schädel", "schädel"),
    ],
)
def test_one_spelling_of_a_name(written: str, plain: str) -> None:
    assert plain_name(written) == plain


def test_coco_to_crowdpose() -> None:
    joints = map_joints(load_skeleton("coco"), load_skeleton("crowdpose"))
    # CrowdPose's twelve limbs' joints are COCO's 5 to 16, in the same order.
    assert joints.places == (*range(5, 17), None, None)
    assert joints.missing == ("top_head", "neck")


def test_mpii_has_all_of_crowdpose_under_other_names() -> None:
    joints = map_joints(load_skeleton("mpii"), load_skeleton("crowdpose"))
    assert joints.missing == ()
    assert joints.places == (13, 12, 14, 11, 15, 10, 3, 2, 4, 1, 5, 0, 9, 8)


def test_a_name_goes_before_an_alias_and_no_joint_serves_twice() -> None:
    source = skeleton("top", "neck", aliases=(("neck",), ()))
    assert map_joints(source, skeleton("neck", "crown")).places == (1, None)
    target = skeleton("a", "b", aliases=(("top",), ("neck",)))
    assert map_joints(source, target).places == (0, 1)


def test_no_joint_in_common() -> None:
    with pytest.raises(SkeletonError, match="share no joint: a; and b; `aliases`"):
        map_joints(skeleton("a"), skeleton("b"))
