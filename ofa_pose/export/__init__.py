"""What leaves: tiers, each one YAML with its weights beside it, and the files of runtimes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ofa_pose.export.onnx_tier import OnnxTier, load_onnx, load_runnable
from ofa_pose.export.tier import Tier, TierCosts
from ofa_pose.lazy import names_on_use

if TYPE_CHECKING:
    from ofa_pose.export.check import check_same_outputs
    from ofa_pose.export.exporter import Exported
    from ofa_pose.export.onnx import export_onnx
    from ofa_pose.export.runtimes import EXPORTERS, export_tier
    from ofa_pose.export.tier_files import load_tier, make_tier, save_tier

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

if not TYPE_CHECKING:
    __getattr__, __dir__ = names_on_use(
        __name__,
        {
            "check": "check_same_outputs",
            "exporter": "Exported",
            "onnx": "export_onnx",
            "runtimes": "EXPORTERS export_tier",
            "tier_files": "load_tier make_tier save_tier",
        },
    )
