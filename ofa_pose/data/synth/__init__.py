"""Synthetic people: a jointed figure, its painter, the scenes it appears in."""

from __future__ import annotations

from ofa_pose.data.synth.scenes import SyntheticScenes

__all__ = ["SyntheticScenes"]
