"""A search space written out, so that what is made of it needs no file but its own."""

from __future__ import annotations

from typing import Any

from ofa_pose.space.frozen import thaw
from ofa_pose.space.space import SearchSpace


def declare_space(space: SearchSpace) -> dict[str, Any]:
    """Return a space in the form of its own YAML file, choices as actual values."""
    return {
        "format": 1,
        "name": space.name,
        "family": space.family,
        "description": space.description,
        "skeleton": space.skeleton,
        "pixels": {"mean": list(space.pixel_mean), "std": list(space.pixel_std)},
        "choices": {choice.name: {"values": list(choice.values)} for choice in space.choices},
        "network": thaw(space.network),
        "archs": thaw(space.archs),
        "tiers": thaw(space.tiers),
        "recipe": thaw(space.recipe),
    }
