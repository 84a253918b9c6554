"""The published search (LitePose's, after Once-for-all), to compare with.

Kept as it is: a ratio is drawn for every width (two ratios may name one width), crossover leaves
resolution and stem as the first parent has them, whatever does not fit is drawn again, every
proposal is evaluated whether it was evaluated before or not, and the children of the last
generation are evaluated but never looked at. Population 40, 40 generations, 25 % parents, half of
the children by mutation with probability 0.1 a gene: 1,640 evaluations.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ofa_pose.space import SearchSpace, make_divisible

POPULATION, GENERATIONS = 40, 40
PARENTS, MUTANTS, PROBABILITY = 10, 20, 0.1
RATIOS = (1.0, 0.75, 0.5, 0.25)
INHERITED = ("resolution", "stem")  # by crossover from the first parent


def published(
    space: SearchSpace, mask: np.ndarray, scores: np.ndarray, seed: int
) -> tuple[np.ndarray, int]:
    """Return what the procedure evaluates and what it returns.

    Args:
        space: what may vary.
        mask: (archs,) bool, the archs within the budget.
        scores: (archs,) float, what an evaluation gives.
        seed: of every draw.

    Returns:
        Indices (1640,) in the order of evaluation, repeats included; and the index it returns.
    """
    rng = np.random.default_rng((seed, 1640))
    tables = [_drawn(space, position) for position in range(len(space.choices))]
    fixed = np.array([choice.name in INHERITED for choice in space.choices])

    def fitting(make: Callable[[], np.ndarray]) -> int:
        while True:
            index = int(space.indices_of(make()[None])[0])
            if mask[index]:
                return index

    def sample() -> np.ndarray:
        return np.array([rng.choice(table) for table in tables])

    def mutant(parent: np.ndarray) -> np.ndarray:
        return np.where(rng.random(len(parent)) < PROBABILITY, sample(), parent)

    def child(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.where(fixed | (rng.random(len(one)) < 0.5), one, other)

    population = [fitting(sample) for _ in range(POPULATION)]
    asked, best = list(population), population[0]
    for _ in range(GENERATIONS):
        parents = sorted(population, key=lambda index: -scores[index])[:PARENTS]
        best = max(best, parents[0], key=lambda index: scores[index])
        genes = space.genes_of(np.array(parents))
        drawn = [int(rng.integers(PARENTS)) for _ in range(2 * POPULATION)]
        pairs = genes[drawn].reshape(POPULATION, 2, -1)
        children = [fitting(lambda one=one: mutant(one)) for one, _ in pairs[:MUTANTS]]
        children += [
            fitting(lambda one=one, two=two: child(one, two)) for one, two in pairs[MUTANTS:]
        ]
        asked += children
        population = parents + children
    return np.array(asked), best


def _drawn(space: SearchSpace, position: int) -> np.ndarray:
    """Return the genes that a draw of a choice picks from, some of them twice."""
    choice = space.choices[position]
    if choice.name == "resolution":
        return np.arange(len(choice.values))
    widths = (make_divisible(choice.values[0] * ratio, 8) for ratio in RATIOS)
    genes = [choice.gene(width) for width in widths if width in choice.values]
    return np.array(genes or range(len(choice.values)))
