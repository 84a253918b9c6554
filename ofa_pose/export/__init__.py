"""What leaves: tiers, each one YAML with its weights beside it, and their networks as ONNX."""

from ofa_pose.export.check import check_same_outputs
from ofa_pose.export.onnx import OnnxExport, export_onnx
from ofa_pose.export.onnx_tier import OnnxTier, load_onnx, load_runnable
from ofa_pose.export.tier import Tier, TierCosts, load_tier, make_tier, save_tier

__all__ = [
    "OnnxExport",
    "OnnxTier",
    "Tier",
    "TierCosts",
    "check_same_outputs",
    "export_onnx",
    "load_onnx",
    "load_runnable",
    "load_tier",
    "make_tier",
    "save_tier",
]
