"""Which networks to measure so that every unit of a space is timed in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ofa_pose.cost import CostTable
from ofa_pose.models import NetworkPlan
from ofa_pose.space import Arch

_CANDIDATES = 24


def covering_archs(costs: CostTable) -> list[Arch]:
    """Return archs whose networks together hold every unit of the space.

    Greedy: of several archs made around units that are still missing, the one that adds most is
    taken. Where a unit depends on k choices there are at least as many networks as combinations
    of their values.
    """
    space, places = costs.space, costs.places
    rng = np.random.default_rng(0)
    # Of every place and combination of the choices it depends on: the number of its unit.
    numbers = {spec: number for number, spec in enumerate(costs.specs_of_all)}
    grids = [
        np.array([numbers[spec] if spec else -1 for spec in place.specs]).reshape(place.shape)
        for place in places
    ]
    distinct = list({(grid.shape, grid.tobytes()): grid for grid in grids}.values())
    missing = np.ones(len(numbers), dtype=bool)
    archs = []
    while missing.any():
        best: tuple[int, tuple[int, ...]] = (0, ())
        for _ in range(_CANDIDATES):
            genes = _candidate(distinct, missing, space.gene_counts, rng)
            gain = len({n for n in (_unit(grid, genes) for grid in distinct) if missing[n]} - {-1})
            best = max(best, (gain, genes))
        archs.append(space.decode(best[1]))
        for grid in distinct:
            number = _unit(grid, best[1])
            if number >= 0:
                missing[number] = False
    return archs


def _candidate(
    grids: Sequence[np.ndarray],
    missing: np.ndarray,
    counts: Sequence[int],
    rng: np.random.Generator,
) -> tuple[int, ...]:
    """Genes of an arch: place by place, a missing unit that fits what is fixed already."""
    fixed: dict[int, int] = {}
    for index in rng.permutation(len(grids)):
        grid = grids[index]
        picked = tuple(
            slice(fixed[i], fixed[i] + 1) if i in fixed and size > 1 else slice(None)
            for i, size in enumerate(grid.shape)
        )
        part = grid[picked]
        wanted = np.argwhere((part >= 0) & missing[part])
        if len(wanted):
            chosen = wanted[rng.integers(len(wanted))]
            for i, size in enumerate(grid.shape):
                if size > 1 and i not in fixed:
                    fixed[i] = int(chosen[i])
    return tuple(fixed.get(i, int(rng.integers(count))) for i, count in enumerate(counts))


def _unit(grid: np.ndarray, genes: Sequence[int]) -> int:
    place = tuple(gene if size > 1 else 0 for gene, size in zip(genes, grid.shape, strict=True))
    return int(grid[place])


def without_repeats(network: NetworkPlan) -> NetworkPlan:
    """Return the network without units that only repeat the unit they follow.

    What is left holds the same distinct units, each behind the neighbour it has in the whole.
    """
    kept: list = []
    specs: dict[str, object] = {}
    stands_for: dict[str, str] = {}
    for unit in network.units:
        inputs = tuple(stands_for.get(name, name) for name in unit.inputs)
        if len(inputs) == 1 and specs.get(inputs[0]) == unit.spec:
            stands_for[unit.name] = inputs[0]
            continue
        specs[unit.name] = unit.spec
        kept.append(replace(unit, inputs=inputs))
    outputs = tuple(stands_for.get(name, name) for name in network.outputs)
    return NetworkPlan(tuple(kept), outputs)
