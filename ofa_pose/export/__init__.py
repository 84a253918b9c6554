"""What leaves: tiers, each one YAML with its weights beside it, and their networks as ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ofa_pose.export.onnx_tier import OnnxTier, load_onnx, load_runnable
from ofa_pose.export.tier import Tier, TierCosts
from ofa_pose.lazy import names_on_use

if TYPE_CHECKING:
    from ofa_pose.export.check import check_same_outputs
    from ofa_pose.export.onnx import OnnxExport, export_onnx
    from ofa_pose.export.tier_files import load_tier, make_tier, save_tier

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

__getattr__ = names_on_use(
    __name__,
    {
        "check": "check_same_outputs",
        "onnx": "OnnxExport export_onnx",
        "tier_files": "load_tier make_tier save_tier",
    },
)
