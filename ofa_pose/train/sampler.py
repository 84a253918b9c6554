"""Which arch is trained at which step: a pure function of the seed and the step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ofa_pose.space import Arch, SearchSpace

# Keeps this stream apart from the others that are derived from the same seed and step.
_STREAM = 0x61726368


class ArchSampler(Protocol):
    """Gives the arch of every step; must be picklable, as data workers ask it too."""

    def arch(self, step: int) -> Arch:
        """Return the arch that step `step` trains."""
        ...

    def resolution(self, step: int) -> int:
        """Return the input side of step `step`, pixels."""
        ...


@dataclass(frozen=True)
class UniformSampler:
    """Draws uniformly over the distinct archs of a space (LitePose, section 4)."""

    space: SearchSpace
    seed: int

    def arch(self, step: int) -> Arch:
        """Return the arch that step `step` trains, the same on every call and machine."""
        return self.space.sample(np.random.default_rng([self.seed, step, _STREAM]))

    def resolution(self, step: int) -> int:
        """Return the input side of step `step`, pixels."""
        return self.arch(step).resolution


@dataclass(frozen=True)
class FixedSampler:
    """Gives one arch for ever: the training of a single network."""

    fixed: Arch

    def arch(self, step: int) -> Arch:
        """Return the arch."""
        return self.fixed

    def resolution(self, step: int) -> int:
        """Return the arch's input side, pixels."""
        return self.fixed.resolution
