"""What leaves: tiers, each one YAML with its weights beside it."""

from ofa_pose.export.check import check_same_outputs
from ofa_pose.export.tier import Tier, TierCosts, load_tier, make_tier, save_tier

__all__ = ["Tier", "TierCosts", "check_same_outputs", "load_tier", "make_tier", "save_tier"]
