"""What the network predicts: targets, losses, decoding into people, OKS-AP."""

from ofa_pose.pose.decode import DecodeSettings, Person, decode, decode_outputs
from ofa_pose.pose.distill import DistillationLoss, distillation_loss
from ofa_pose.pose.fuse import fuse_outputs
from ofa_pose.pose.losses import PoseLoss, pose_loss
from ofa_pose.pose.matches import Matches, ap_interval, match_people
from ofa_pose.pose.oks import BOX_AREA_FACTOR, evaluate_predictions, person_to_result
from ofa_pose.pose.targets import Targets, make_targets

__all__ = [
    "BOX_AREA_FACTOR",
    "DecodeSettings",
    "DistillationLoss",
    "Matches",
    "Person",
    "PoseLoss",
    "Targets",
    "ap_interval",
    "decode",
    "decode_outputs",
    "distillation_loss",
    "evaluate_predictions",
    "fuse_outputs",
    "make_targets",
    "match_people",
    "person_to_result",
    "pose_loss",
]
