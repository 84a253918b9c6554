"""Uniform scaling: one ratio for every choice, which is what a search is compared with."""

from __future__ import annotations

from ofa_pose.space.arch import Arch
from ofa_pose.space.choice import Choice
from ofa_pose.space.space import SearchSpace

_RESOLUTION = "resolution"
_KEPT = 0.9  # of a width at least, as `make_divisible` has it


def uniform_archs(space: SearchSpace) -> tuple[Arch, ...]:
    """Return the archs of one ratio everywhere, at every resolution; the largest arch first.

    The ratios are those of the choice with the most values (of several, the widest). A choice with
    as many values takes the one at the same place; another takes the smallest that keeps 90 % of
    its share, which is how ratios become widths (`Choice.from_ratios`).
    """
    choices = [choice for choice in space.choices if choice.name != _RESOLUTION]
    (resolutions,) = (c.values for c in space.choices if c.name == _RESOLUTION)
    # Of wide layers, as their rounded values are nearest to the ratios.
    leader = max(choices, key=lambda choice: (len(choice.values), choice.values[0]), default=None)
    steps = range(1 if leader is None else len(leader.values))
    found = {}
    for resolution in resolutions:
        for step in steps:
            scaled = {choice.name: _scaled(choice, leader or choice, step) for choice in choices}
            found[space.arch({_RESOLUTION: resolution, **scaled})] = None
    return tuple(found)


def _scaled(choice: Choice, leader: Choice, step: int) -> int:
    if len(choice.values) == len(leader.values):
        return choice.values[step]
    least = _KEPT * choice.values[0] * leader.values[step] / leader.values[0]
    return min(value for value in choice.values if value >= least)
