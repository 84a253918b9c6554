"""The moves of the evolution: selection, crossover, mutation and repair, all with an explicit rng.

Every gene takes part, resolution and stem included. Nothing is drawn again until it fits: what
lands outside the budget, or on an arch already taken, moves to the nearest one that is free.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from ofa_pose.space import SearchSpace

T = TypeVar("T")

_CHUNK = 1 << 18


def tournament(ranked: Sequence[T], rng: np.random.Generator, *, size: int) -> T:
    """Return the best of `size` draws (with replacement) from a list sorted best first."""
    return ranked[int(rng.integers(len(ranked), size=size).min())]


def crossover(one: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a child (choices,) that has every gene from either parent, evenly."""
    return np.where(rng.random(len(one)) < 0.5, one, other)


def mutate(
    genes: np.ndarray, gene_counts: Sequence[int], rng: np.random.Generator, *, step: float
) -> np.ndarray:
    """Return a copy of `genes` (choices,) with one gene changed on average, and at least one.

    Args:
        genes: one a choice.
        gene_counts: values of each choice; genes of a single value stay.
        rng: source of every draw.
        step: share of changes that go to a neighbouring value; the others go to any other.
    """
    child = np.array(genes, dtype=np.int64)
    free = np.flatnonzero(np.asarray(gene_counts) > 1)
    if not len(free):
        return child
    changed = free[rng.random(len(free)) < 1 / len(free)]
    if not len(changed):
        changed = rng.choice(free, size=1)
    for gene in changed:
        count = gene_counts[gene]
        if rng.random() < step:
            away = 1 if rng.random() < 0.5 else -1
            inside = 0 <= child[gene] + away < count
            child[gene] += away if inside else -away
        else:
            child[gene] = (child[gene] + rng.integers(1, count)) % count
    return child


def redraw(
    genes: np.ndarray, gene_counts: Sequence[int], rng: np.random.Generator, *, probability: float
) -> np.ndarray:
    """Return a copy of `genes` (choices,), each drawn again with a probability."""
    fresh = rng.integers(gene_counts)
    return np.where(rng.random(len(genes)) < probability, fresh, genes)


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
