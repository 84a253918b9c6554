"""What leaves: tiers, each one YAML with its weights beside it, and the files of runtimes."""

from ofa_pose.export.check import check_same_outputs
from ofa_pose.export.exporter import Exported
from ofa_pose.export.onnx import export_onnx
from ofa_pose.export.onnx_tier import OnnxTier, load_onnx, load_runnable
from ofa_pose.export.runtimes import EXPORTERS, export_tier
from ofa_pose.export.tier import Tier, TierCosts, load_tier, make_tier, save_tier

__all__ = [
    "EXPORTERS",
    "Exported",
    "OnnxTier",
    "Tier",
    "TierCosts",
    "check_same_outputs",
    "export_onnx",
    "export_tier",
    "load_onnx",
    "load_runnable",
    "load_tier",
    "make_tier",
    "save_tier",
]
