"""What a person is made of: joints, mirror images, limbs, sigmas; and how skeletons correspond."""

from ofa_pose.skeleton.declared import load_skeleton, skeleton_names
from ofa_pose.skeleton.mapping import JointMap, map_joints
from ofa_pose.skeleton.names import plain_name
from ofa_pose.skeleton.skeleton import Skeleton

__all__ = [
    "JointMap",
    "Skeleton",
    "load_skeleton",
    "map_joints",
    "plain_name",
    "skeleton_names",
]
