"""What the network predicts: targets, losses, decoding into people, OKS-AP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ofa_pose.lazy import names_on_use
from ofa_pose.pose.decode import Person, decode, decode_outputs
from ofa_pose.pose.evaluators import EvaluatorName, evaluator_name
from ofa_pose.pose.fuse import fuse_outputs
from ofa_pose.pose.maps import Pass
from ofa_pose.pose.oks import (
    BOX_AREA_FACTOR,
    CROWD_CUTS,
    evaluate_predictions,
    has_crowd_index,
    person_to_result,
)
from ofa_pose.pose.settings import PUBLISHED, SCORED, SCORING, DecodeSettings
from ofa_pose.pose.targets import Targets, make_targets

if TYPE_CHECKING:
    from ofa_pose.pose.distill import DistillationLoss, distillation_loss
    from ofa_pose.pose.losses import PoseLoss, pose_loss
    from ofa_pose.pose.matches import Matches, ap_gain_interval, ap_interval, match_people

__all__ = [
    "BOX_AREA_FACTOR",
    "CROWD_CUTS",
    "DecodeSettings",
    "PUBLISHED",
    "SCORED",
    "SCORING",
    "DistillationLoss",
    "EvaluatorName",
    "Matches",
    "Pass",
    "Person",
    "PoseLoss",
    "Targets",
    "ap_gain_interval",
    "ap_interval",
    "decode",
    "decode_outputs",
    "distillation_loss",
    "evaluate_predictions",
    "evaluator_name",
    "fuse_outputs",
    "has_crowd_index",
    "make_targets",
    "match_people",
    "person_to_result",
    "pose_loss",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = names_on_use(
        __name__,
        {
            "distill": "DistillationLoss distillation_loss",
            "losses": "PoseLoss pose_loss",
            "matches": "Matches ap_gain_interval ap_interval match_people",
        },
    )
