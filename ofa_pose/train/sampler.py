"""Which archs are trained at which step: a pure function of the seed and the step."""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Literal, Protocol, get_args

import numpy as np

from ofa_pose.errors import RecipeError, suggest
from ofa_pose.space import Arch, SearchSpace

SamplerName = Literal["uniform", "sandwich", "fair"]

# Keeps this stream apart from the others that are derived from the same seed and step.
_STREAM = 0x61726368


class ArchSampler(Protocol):
    """Gives the archs of every step; must be picklable, as data workers ask it too."""

    def archs(self, step: int) -> tuple[Arch, ...]:
        """Return the archs that step `step` trains, at least one, all of one resolution.

        Each sees the step's pictures and their gradients are averaged. With several, the first
        is the one the others may learn from.
        """
        ...

    def resolution(self, step: int) -> int:
        """Return the input side of step `step`, pixels."""
        ...

    @property
    def largest(self) -> Arch:
        """The arch, drawn or not, that no drawn one needs more memory than."""
        ...


@dataclass(frozen=True)
class _SeededSampler(ABC):
    """What the samplers of a supernet share: a generator for each step.

    Attributes:
        space: whose archs are trained.
        seed: of what is drawn.
        resolutions: input sides to draw from, pixels; None: as the space's archs have them.
    """

    space: SearchSpace
    seed: int
    resolutions: tuple[int, ...] | None = field(default=None, kw_only=True)

    @abstractmethod
    def archs(self, step: int) -> tuple[Arch, ...]:
        """See `ArchSampler.archs`."""

    def resolution(self, step: int) -> int:
        """Return the input side of step `step`, pixels."""
        return self.archs(step)[0].resolution

    @property
    def largest(self) -> Arch:
        """The space's largest arch at the largest input side."""
        largest = self.space.largest
        if self.resolutions is None:
            return largest
        return self.space.arch({**largest, "resolution": max(self.resolutions)})

    def _rng(self, step: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, step, _STREAM])

    def _sample(self, rng: np.random.Generator) -> Arch:
        """Draw an arch of the wanted resolutions, uniformly over the distinct ones."""
        arch = self.space.sample(rng)
        if self.resolutions is None:
            return arch
        resolution = self.resolutions[rng.integers(len(self.resolutions))]
        return self.space.arch({**arch, "resolution": resolution})


@dataclass(frozen=True)
class UniformSampler(_SeededSampler):
    """Draws one arch a step, uniformly over the distinct archs (LitePose, section 4)."""

    def archs(self, step: int) -> tuple[Arch, ...]:
        """Return the one arch that step `step` trains, the same on every call and machine."""
        return (self._sample(self._rng(step)),)


@dataclass(frozen=True)
class SandwichSampler(_SeededSampler):
    """Trains the largest, the smallest and some random archs at one drawn resolution.

    Source: Yu & Huang, "Universally Slimmable Networks" (2019), section 3.

    Attributes:
        random: random archs a step.
    """

    random: int = 2

    def archs(self, step: int) -> tuple[Arch, ...]:
        """Return largest, smallest and random archs, in this order."""
        rng = self._rng(step)
        resolution = self._sample(rng).resolution
        drawn = [self.space.sample(rng) for _ in range(self.random)]
        return tuple(
            self.space.arch({**arch, "resolution": resolution})
            for arch in (self.space.largest, self.space.smallest, *drawn)
        )


@dataclass(frozen=True)
class FairSampler(_SeededSampler):
    """Trains, in every step, each value of each choice: as many archs as the longest choice has.

    A choice with fewer values repeats some; which ones is drawn, so that all are trained equally
    often in the long run. The resolution, which a step's archs share, is drawn.
    Source: Chu et al., "FairNAS" (2021), section 3 (strict fairness).
    """

    def archs(self, step: int) -> tuple[Arch, ...]:
        """Return the round of step `step`, in which a choice's values take turns."""
        rng = self._rng(step)
        resolution = self._sample(rng).resolution
        choices = [choice for choice in self.space.choices if choice.name != "resolution"]
        rounds = max((len(choice.values) for choice in choices), default=1)
        columns = {}
        for choice in choices:
            first = rng.integers(len(choice.values))
            places = (first + rng.permutation(rounds)) % len(choice.values)
            columns[choice.name] = [choice.values[place] for place in places]
        return tuple(
            self.space.arch(
                {"resolution": resolution, **{name: values[i] for name, values in columns.items()}}
            )
            for i in range(rounds)
        )


@dataclass(frozen=True)
class FixedSampler:
    """Gives one arch for ever: the training of a single network."""

    fixed: Arch

    def archs(self, step: int) -> tuple[Arch, ...]:
        """Return the arch."""
        return (self.fixed,)

    def resolution(self, step: int) -> int:
        """Return the arch's input side, pixels."""
        return self.fixed.resolution

    @property
    def largest(self) -> Arch:
        """The arch."""
        return self.fixed


def make_sampler(
    name: SamplerName,
    space: SearchSpace,
    *,
    seed: int,
    sandwich_random: int = 2,
    resolutions: tuple[int, ...] | None = None,
) -> ArchSampler:
    """Return the sampler of that name over a space.

    Raises:
        RecipeError: no sampler has the name; the space has no arch of one of the resolutions; a
            negative seed.
    """
    if name not in get_args(SamplerName):
        known = get_args(SamplerName)
        raise RecipeError(f"unknown sampler {name!r}{suggest(str(name), known)}")
    check_seed(seed)
    check_resolutions(space, resolutions)
    if name == "sandwich":
        return SandwichSampler(space, seed, sandwich_random, resolutions=resolutions)
    kind = FairSampler if name == "fair" else UniformSampler
    return kind(space, seed, resolutions=resolutions)


def check_seed(seed: int) -> None:
    """Refuse what no generator can be seeded with.

    Raises:
        RecipeError: it is no whole number of at least 0.
    """
    if not isinstance(seed, numbers.Integral) or isinstance(seed, bool) or seed < 0:
        raise RecipeError(f"a seed is a whole number of at least 0, not {seed!r}")


def check_resolutions(space: SearchSpace, resolutions: tuple[int, ...] | None) -> None:
    """Refuse input sides that a space does not have.

    Raises:
        RecipeError: they are named.
    """
    known = next(choice.values for choice in space.choices if choice.name == "resolution")
    unknown = [side for side in resolutions or () if side not in known]
    if unknown:
        raise RecipeError(
            f"resolutions: space {space.name!r} has no {', '.join(map(str, unknown))}; "
            f"it has {', '.join(map(str, known))}"
        )
