"""What a search shows a person: one self-contained page of its front, tiers, archs and origin."""

from ofa_pose.report.drawing import draw_architecture
from ofa_pose.report.origin import Origin
from ofa_pose.report.page import Finalist, Report, write_report

__all__ = ["Finalist", "Origin", "Report", "draw_architecture", "write_report"]
