"""Left and right are read off names, and off the order of a pair where names do not tell."""

from dataclasses import replace

import pytest

from ofa_pose.sides import Side, joint_sides, limb_sides
from ofa_pose.skeleton import load_skeleton

LEFT, MIDDLE, RIGHT = Side.LEFT, Side.MIDDLE, Side.RIGHT


def test_names_tell(three):
    assert joint_sides(three) == (LEFT, RIGHT, MIDDLE)
    assert joint_sides(replace(three, joints=("r-hand", "l-hand", "head"))) == (RIGHT, LEFT, MIDDLE)


@pytest.mark.parametrize(
    ("right", "left"),
    [
        ("RAnkle", "LAnkle"),
        ("rightWrist", "leftWrist"),
        ("rightankle", "leftankle"),
        ("upper_right_arm", "upper_left_arm"),
        ("knee-r", "knee-l"),
        ("toe_r2", "toe_l2"),
    ],
)
def test_every_way_to_write_a_side(three, right, left):
    assert joint_sides(replace(three, joints=(right, left, "head"))) == (RIGHT, LEFT, MIDDLE)


def test_one_name_of_a_pair_is_enough(three):
    assert joint_sides(replace(three, joints=("hand", "left paw", "head"))) == (RIGHT, LEFT, MIDDLE)


def test_the_first_of_a_pair_is_left_where_no_name_tells(three):
    assert joint_sides(replace(three, joints=("a", "b", "c"))) == (LEFT, RIGHT, MIDDLE)


def test_a_limb_has_the_side_of_its_ends(three):
    assert limb_sides(three) == (LEFT, RIGHT, MIDDLE)  # hand-head, hand-head, hand-hand


def test_shipped_skeletons():
    for name in ("coco", "crowdpose"):
        skeleton = load_skeleton(name)
        for joint, side in zip(skeleton.joints, joint_sides(skeleton), strict=True):
            expected = LEFT if "left" in joint else RIGHT if "right" in joint else MIDDLE
            assert side is expected, joint
