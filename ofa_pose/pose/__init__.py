"""What the network predicts: targets, losses, decoding into people, OKS-AP."""

from ofa_pose.pose.losses import PoseLoss, pose_loss
from ofa_pose.pose.targets import Targets, make_targets

__all__ = ["PoseLoss", "Targets", "make_targets", "pose_loss"]
