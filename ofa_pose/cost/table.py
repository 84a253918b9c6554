"""The costs of every arch of a space at once.

A unit's spec depends on a few choices only. For each unit place those choices are found by
probing, each combination of their values is counted once, and the whole space is a sum of
look-ups: exact, and a thousand times faster than counting arch by arch.
"""

from __future__ import annotations

import itertools
from functools import cached_property
from typing import Any

import numpy as np

from ofa_pose.cost.count import count_plan, unit_cost
from ofa_pose.cost.formulas import CONVENTIONS
from ofa_pose.errors import CostError, suggest
from ofa_pose.models import UnitSpec, plan
from ofa_pose.space import Arch, SearchSpace

MOST_ARCHS = 20_000_000
"""Above this a table of all archs would not fit a small machine's memory."""

_SUMMED = (*(f"macs_{convention}" for convention in CONVENTIONS), "params")
_PROBES = 2
_CHECKS = 32


class CostTable:
    """Costs of all archs of a space, as arrays in the space's index order.

    Args:
        space: the space.
        options: the family's own, such as `skeleton="coco"`.

    Raises:
        CostError: the space is too large, or its units' costs do not split by choices.
    """

    def __init__(self, space: SearchSpace, **options: Any) -> None:
        if len(space) > MOST_ARCHS:
            raise CostError(
                f"space {space.name!r} has {len(space):,} archs; "
                f"a table of all costs holds at most {MOST_ARCHS:,}"
            )
        self.space = space
        self.options = options

    def __getitem__(self, cost: str) -> np.ndarray:
        """Return `macs_exact`, `macs_paper`, `macs_thop`, `params` or `peak_memory` of all archs.

        Returns:
            int64 array `(len(space),)`.

        Raises:
            CostError: there is no such cost.
        """
        if cost == "peak_memory":
            return self._peak_memory
        if cost not in _SUMMED:
            raise CostError(f"unknown cost {cost!r}{suggest(cost, (*_SUMMED, 'peak_memory'))}")
        return self._sums[_SUMMED.index(cost)]

    def unit_macs(self, indices: np.ndarray) -> np.ndarray:
        """Return the exact MACs (n, unit places) int64 of archs (n,), by index; 0 for no unit."""
        genes = self.space.genes_of(indices)
        columns = []
        for place in self._places:
            macs = place.grid[_SUMMED.index("macs_exact")]
            spread = [genes[:, i] if count > 1 else 0 for i, count in enumerate(macs.shape)]
            columns.append(np.broadcast_to(macs[tuple(spread)], len(genes)))
        return np.stack(columns, axis=1)

    @cached_property
    def _sums(self) -> np.ndarray:
        """(summed costs, archs): what `_SUMMED` names."""
        rows = len(_SUMMED)
        grid = np.zeros((rows, *self.space.gene_counts), dtype=np.int64)
        for place in self._places:
            grid += place.grid[:rows]
        totals = grid.reshape(rows, -1)
        self._check(totals)
        return totals

    @cached_property
    def _peak_memory(self) -> np.ndarray:
        """(archs,): the scan of `count`, on arrays; bytes."""
        network = plan(self.space, self.space.largest, **self.options)
        if any(place.optional for place in self._places):
            archs = (plan(self.space, arch, **self.options) for arch in self.space)
            return np.array([count_plan(network).peak_memory for network in archs], dtype=np.int64)
        places = {place.name: place for place in self._places}
        end = len(network.units)
        last_use = {name: i for i, unit in enumerate(network.units) for name in unit.inputs}
        last_use.update(dict.fromkeys(network.outputs, end))
        peak = np.zeros(self.space.gene_counts, dtype=np.int64)
        alive: dict[str, np.ndarray] = {}
        for step, unit in enumerate(network.units):
            own, output = places[unit.name].grid[-2:]
            waiting = sum(size for name, size in alive.items() if name not in unit.inputs)
            peak = np.maximum(peak, own + waiting)
            alive[unit.name] = output
            alive = {n: size for n, size in alive.items() if last_use.get(n, -1) > step}
        return peak.reshape(-1)

    @cached_property
    def _places(self) -> list[_Place]:
        depends = self._dependencies()
        return [_Place(self, name, sorted(choices)) for name, choices in depends.items()]

    def specs(self, arch: Arch) -> dict[str, UnitSpec]:
        """The specs of an arch's units by name."""
        return {unit.name: unit.spec for unit in plan(self.space, arch, **self.options).units}

    def _dependencies(self) -> dict[str, set[int]]:
        """For every unit place the choices (by position) that were seen to change it."""
        rng = np.random.default_rng(0)
        space = self.space
        probes = [space.largest, space.smallest, *(space.sample(rng) for _ in range(_PROBES))]
        depends: dict[str, set[int]] = {}
        for base in probes:
            specs = self.specs(base)
            for name in specs:
                depends.setdefault(name, set())
            for position, choice in enumerate(space.choices):
                for value in choice.values:
                    if value == base[choice.name]:
                        continue
                    other = self.specs(space.arch({**base, choice.name: value}))
                    for name in specs.keys() | other.keys():
                        if specs.get(name) != other.get(name):
                            depends.setdefault(name, set()).add(position)
        return depends

    def _check(self, totals: np.ndarray) -> None:
        """Compare with counting arch by arch on a random few, so that a wrong split is seen."""
        rng = np.random.default_rng(1)
        for index in rng.integers(len(self.space), size=_CHECKS):
            cost = count_plan(plan(self.space, self.space[int(index)], **self.options))
            if (*(cost.macs[name] for name in CONVENTIONS), cost.params) != tuple(
                totals[:, index].tolist()
            ):
                raise CostError(
                    f"the costs of space {self.space.name!r} do not split by choices: "
                    f"arch {self.space[int(index)].key} costs otherwise than the sum of its units"
                )


class _Place:
    """One unit of the network over all archs.

    Attributes:
        name: the unit's.
        optional: whether some archs have no such unit.
        grid: (summed costs + 2, values of choice 1, values of choice 2, …) int64: what `_SUMMED`
            names, then peak and output memory in bytes; of length 1 along every choice that the
            unit does not depend on.
    """

    def __init__(self, table: CostTable, name: str, positions: list[int]) -> None:
        self.name = name
        self.optional = False
        space = table.space
        depends = [space.choices[position] for position in positions]
        rows = []
        for values in itertools.product(*(choice.values for choice in depends)):
            chosen = {choice.name: value for choice, value in zip(depends, values, strict=True)}
            spec = table.specs(space.arch({**space.largest, **chosen})).get(name)
            self.optional |= spec is None
            rows.append(_row(spec))
        shape = [
            count if position in positions else 1
            for position, count in enumerate(space.gene_counts)
        ]
        self.grid = np.array(rows, dtype=np.int64).T.reshape(-1, *shape)


def _row(spec: UnitSpec | None) -> tuple[int, ...]:
    """The figures of one unit; zeros where an arch has no such unit."""
    if spec is None:
        return (0,) * (len(_SUMMED) + 2)
    cost = unit_cost(spec)
    macs = (cost.macs[convention] for convention in CONVENTIONS)
    return (*macs, cost.params, cost.peak_memory, cost.output_memory)
