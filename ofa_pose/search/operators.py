"""The moves of the evolution: selection, crossover, mutation and repair, all with an explicit rng.

Every gene takes part, resolution and stem included. Nothing is drawn again until it fits: what
lands outside the budget, or on an arch already taken, moves to the nearest one that is free.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ofa_pose.space import SearchSpace

_CHUNK = 1 << 18


def tournament(contestants: int, rng: np.random.Generator, *, size: int, count: int) -> np.ndarray:
    """Return the places (count,) of winners, each the best of `size` draws with replacement.

    Args:
        contestants: how many there are, in a list sorted best first.
        rng: source of every draw.
        size: draws in a tournament.
        count: tournaments.
    """
    return rng.integers(contestants, size=(count, size)).min(axis=1)


def crossover(one: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return children (n, choices) that have every gene from either parent, evenly."""
    return np.where(rng.random(one.shape) < 0.5, one, other)


def mutate(
    genes: np.ndarray, gene_counts: Sequence[int], rng: np.random.Generator, *, step: float
) -> np.ndarray:
    """Return a copy of `genes` (n, choices), in each row one changed on average, and at least one.

    Args:
        genes: one a choice.
        gene_counts: values of each choice; genes of a single value stay.
        rng: source of every draw.
        step: share of changes that go to a neighbouring value; the others go to any other.
    """
    genes = np.asarray(genes, dtype=np.int64)
    counts = np.asarray(gene_counts)
    free = np.flatnonzero(counts > 1)
    if not len(free):
        return genes.copy()
    changed = np.zeros(genes.shape, dtype=bool)
    changed[:, free] = rng.random((len(genes), len(free))) < 1 / len(free)
    unchanged = np.flatnonzero(~changed.any(axis=1))
    changed[unchanged, rng.choice(free, size=len(unchanged))] = True
    away = np.where(rng.random(genes.shape) < 0.5, 1, -1)
    inside = (genes + away >= 0) & (genes + away < counts)
    neighbour = genes + np.where(inside, away, -away)
    other = (genes + rng.integers(1, np.maximum(counts, 2), size=genes.shape)) % counts
    near = rng.random(genes.shape) < step
    return np.where(changed, np.where(near, neighbour, other), genes)


def redraw(
    genes: np.ndarray, gene_counts: Sequence[int], rng: np.random.Generator, *, probability: float
) -> np.ndarray:
    """Return a copy of `genes` (n, choices), each drawn again with a probability."""
    fresh = rng.integers(gene_counts, size=genes.shape)
    return np.where(rng.random(genes.shape) < probability, fresh, genes)


class GeneTable:
    """The genes of every arch of a space, compact, to find the nearest arch that is free."""

    def __init__(self, space: SearchSpace) -> None:
        signed = np.int8 if max(space.gene_counts) <= 64 else np.int16
        self.genes = np.empty((len(space), len(space.choices)), dtype=signed)
        for start in range(0, len(space), _CHUNK):
            stop = min(start + _CHUNK, len(space))
            self.genes[start:stop] = space.genes_of(np.arange(start, stop))

    def nearest(self, index: int, free: np.ndarray, rng: np.random.Generator) -> int | None:
        """Return the free arch with the fewest gene steps from arch `index`; ties by `rng`.

        Args:
            index: of an arch, itself free or not.
            free: (archs,) bool.
            rng: source of the draw among equally near archs.

        Returns:
            An index, or None when nothing is free.
        """
        if free[index]:
            return index
        candidates = np.flatnonzero(free)
        if not len(candidates):
            return None
        steps = np.abs(self.genes[candidates] - self.genes[index]).sum(axis=1, dtype=np.int32)
        near = candidates[steps == steps.min()]
        return int(near[rng.integers(len(near))])
