"""The costs of every arch of a space at once.

A unit's spec depends on a few choices only. For each unit place those choices are found by
probing, each combination of their values is counted once, and the whole space is a sum of
look-ups: exact, and a thousand times faster than counting arch by arch.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ofa_pose.cost.counting import BYTES, count, scan_memory, unit_cost
from ofa_pose.cost.formulas import CONVENTIONS
from ofa_pose.cost.latency import LatencyTable
from ofa_pose.errors import CostError, suggest
from ofa_pose.models import NetworkPlan, UnitSpec, plan
from ofa_pose.space import Arch, SearchSpace, require_space

if TYPE_CHECKING:
    import pandas as pd

MOST_ARCHS = 20_000_000
"""Above this a table of all archs would not fit a small machine's memory."""

LATENCY = "latency:"
"""What the name of a latency starts with; the table's name follows."""

COUNTED = (*(f"macs_{convention}" for convention in CONVENTIONS), "params", "peak_memory")
"""The costs that are counted, whatever runs the network."""

_LOG = logging.getLogger(__name__)
_SUMMED = COUNTED[:-1]
_PROBES = 2
_CHECKS = 256
"""So many archs of a large space are compared with their plans."""

_CHECK_ALL = 2_000
"""Every arch is, of a space that has no more."""


class CostTable:
    """Costs of all archs of a space, as arrays in the space's index order.

    Args:
        space: the space.
        latencies: tables, or their names or paths, that `latency:<name>` is predicted with,
            beside those of the catalogue.
        interpolate: whether units that these tables miss are estimated; see
            `LatencyTable.covering`.
        options: the family's own, such as `skeleton="coco"`.

    Raises:
        SpaceError: the space is none, but a name or the like.
        CostError: the space is too large, or its units' costs do not split by choices.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        latencies: Iterable[str | LatencyTable] = (),
        interpolate: bool = False,
        **options: Any,
    ) -> None:
        require_space(space)
        if len(space) > MOST_ARCHS:
            raise CostError(
                f"space {space.name!r} has {len(space):,} archs; "
                f"a table of all costs holds at most {MOST_ARCHS:,}"
            )
        self.space = space
        self.options = options
        self.interpolate = interpolate
        tables = map(LatencyTable.load, _listed(latencies))
        self.latencies = {table.name: table for table in tables}
        self._predicted: dict[str, np.ndarray] = {}
        self._used: dict[str, LatencyTable] = {}

    @property
    def used(self) -> tuple[LatencyTable, ...]:
        """The latency tables that something was predicted with."""
        return tuple(self._used.values())

    def __getitem__(self, cost: str) -> np.ndarray:
        """Return one cost of all archs.

        Args:
            cost: `macs_exact`, `macs_paper`, `macs_thop`, `params`, `peak_memory` (bytes), or
                `latency:<name or path of a latency table>` (ms).

        Returns:
            Array `(len(space),)`: int64, a latency float64; read-only, as the table keeps it.

        Raises:
            CostError: there is no such cost.
            UnknownNameError: there is no such latency table.
            LatencyError: the latency table cannot be used or misses units of the space.
        """
        if cost.startswith(LATENCY):
            return self._latency(cost.removeprefix(LATENCY))
        if cost == "peak_memory":
            return self._peak_memory
        if cost not in _SUMMED:
            raise CostError(
                f"unknown cost {cost!r}{suggest(cost, (*COUNTED, f'{LATENCY}<table>'))}"
            )
        return self._sums[_SUMMED.index(cost)]

    def arrays(self, *, latencies: Iterable[str | LatencyTable] = ()) -> dict[str, np.ndarray]:
        """Return every counted cost of all archs, and the latencies asked for, by name.

        Args:
            latencies: tables, or their names.

        Raises:
            CostError: as `[]`.
        """
        given = _listed(latencies)
        names = [table if isinstance(table, str) else self.use(table) for table in given]
        return {cost: self[cost] for cost in (*COUNTED, *(LATENCY + name for name in names))}

    def frame(self, *, latencies: Iterable[str | LatencyTable] = ()) -> pd.DataFrame:
        """Return `arrays` as a data frame of one's own, a row an arch in the index order."""
        import pandas as pd

        return pd.DataFrame(self.arrays(latencies=latencies), copy=True)

    def use(self, table: LatencyTable) -> str:
        """Predict `latency:<its name>` with this table from now on; return its name."""
        if self.latencies.get(table.name) is not table:
            self.latencies[table.name] = table
            self._predicted.pop(table.name, None)
        return table.name

    def _latency(self, name: str) -> np.ndarray:
        if name not in self._predicted:
            table = self.latencies.get(name) or LatencyTable.load(name)
            if table.info.adapted is not None:
                adapted = table.info.adapted
                _LOG.warning(
                    "latency table %s was adapted from %s, not measured: off by %.0f %% where it "
                    "could be checked",
                    *(table.name, adapted.table, 100 * adapted.leave_one_out.mape),
                )
            times = table.predict_all(self, interpolate=self.interpolate)
            self._predicted[name] = _fixed(times)
            self._used[name] = table
        return self._predicted[name]

    @property
    def specs_of_all(self) -> tuple[UnitSpec, ...]:
        """The distinct units of all the space's networks."""
        return tuple(dict.fromkeys(spec for place in self.places for spec in place.specs if spec))

    def total(self, value: Callable[[UnitSpec], float], *, start: float = 0.0) -> np.ndarray:
        """Sum a value of every unit over each arch's network.

        Args:
            value: of one unit.
            start: what the sum starts from.

        Returns:
            float64 array `(len(space),)`; units are added in the order of execution.
        """
        known = {spec: value(spec) for spec in self.specs_of_all}
        grid = np.full(self.space.gene_counts, start, dtype=np.float64)
        for place in self.places:
            values = [known[spec] if spec else 0.0 for spec in place.specs]
            grid += np.array(values, dtype=np.float64).reshape(place.shape)
        return grid.reshape(-1)

    def unit_macs(self, indices: np.ndarray) -> np.ndarray:
        """Return the exact MACs (n, unit places) int64 of archs (n,), by index; 0 for no unit."""
        genes = self.space.genes_of(indices)
        columns = []
        for place in self.places:
            macs = place.grid[_SUMMED.index("macs_exact")]
            spread = [genes[:, i] if count > 1 else 0 for i, count in enumerate(macs.shape)]
            columns.append(np.broadcast_to(macs[tuple(spread)], len(genes)))
        return np.stack(columns, axis=1)

    def verify(self, archs: Iterable[Arch]) -> None:
        """Compare the costs of archs with `count`; of a large space the table compares but a few.

        Raises:
            CostError: they differ.
        """
        for arch in archs:
            cost = count(self.space, arch, **self.options)
            macs = (cost.macs[convention] for convention in CONVENTIONS)
            index = self.space.index(arch)
            if [*macs, cost.params, cost.peak_memory] != [self[name][index] for name in COUNTED]:
                raise self._not_split(arch, "has other costs")

    @cached_property
    def _sums(self) -> np.ndarray:
        """(summed costs, archs): what `_SUMMED` names."""
        rows = len(_SUMMED)
        parts: dict[tuple[int, ...], np.ndarray] = {}  # few, as most places depend on the same
        for place in self.places:
            parts[place.shape] = parts.get(place.shape, 0) + place.grid[:rows]
        grid = np.zeros((rows, *self.space.gene_counts), dtype=np.int64)
        for part in parts.values():
            grid += part
        return _fixed(grid.reshape(rows, -1))

    @cached_property
    def _peak_memory(self) -> np.ndarray:
        """(archs,): the scan of `count`, on arrays; bytes.

        One scan for each combination of the choices that decide how the units are wired.
        """
        counts = self.space.gene_counts
        peak = np.empty(counts, dtype=np.int64)
        _, wired_by = self._dependencies
        wholes = [n if axis not in wired_by else 1 for axis, n in enumerate(counts)]
        starts = [range(0, n, whole) for n, whole in zip(counts, wholes, strict=True)]
        for genes in itertools.product(*starts):
            part = tuple(slice(g, g + whole) for g, whole in zip(genes, wholes, strict=True))
            network = plan(self.space, self.space.decode(genes), **self.options)
            memory = {place.name: place.part(part)[-3:] for place in self.places}
            units = {name: (own, output) for name, (own, output, _) in memory.items()}
            peak[part] = scan_memory(network, memory[network.units[0].name][-1], units)
        flat = peak.reshape(-1)
        for arch in self._some_archs():
            if flat[self.space.index(arch)] != count(self.space, arch, **self.options).peak_memory:
                raise self._not_split(arch, "is wired otherwise")
        return _fixed(flat)

    @cached_property
    def places(self) -> list[Place]:
        """The units' places in the order of execution; those the largest arch lacks come last."""
        depends, _ = self._dependencies
        sharing: dict[tuple[int, ...], list[str]] = {}
        for name, choices in depends.items():
            sharing.setdefault(tuple(sorted(choices)), []).append(name)
        found: dict[str, Place] = {}
        for positions, names in sharing.items():
            networks = self._networks(positions)
            for name in names:
                specs = tuple(network.get(name) for network in networks)
                found[name] = Place(self.space, name, positions=positions, specs=specs)
        places = [found[name] for name in depends]
        self._check(places)
        return places

    def _networks(self, positions: Sequence[int]) -> list[dict[str, UnitSpec]]:
        """The specs for every combination of these choices' values; other choices largest."""
        choices = [self.space.choices[position] for position in positions]
        names = [choice.name for choice in choices]
        return [
            self.specs(
                self.space.arch({**self.space.largest, **dict(zip(names, values, strict=True))})
            )
            for values in itertools.product(*(choice.values for choice in choices))
        ]

    def specs(self, arch: Arch) -> dict[str, UnitSpec]:
        """The specs of an arch's units by name."""
        return _specs(plan(self.space, arch, **self.options))

    @cached_property
    def _dependencies(self) -> tuple[dict[str, set[int]], set[int]]:
        """The choices, by position, that were seen to change each unit place, and the wiring.

        An arch that shows a unit for the first time is varied, too: what changes the unit, or
        builds further ones beside it, may be seen nowhere else.
        """
        rng = np.random.default_rng(0)
        space = self.space
        probes = [space.largest, space.smallest, *(space.sample(rng) for _ in range(_PROBES))]
        depends: dict[str, set[int]] = {}
        wired_by: set[int] = set()
        for base in probes:
            network = plan(space, base, **self.options)
            specs = _specs(network)
            for name in specs:
                depends.setdefault(name, set())
            for position, choice in enumerate(space.choices):
                for value in choice.values:
                    if value == base[choice.name]:
                        continue
                    arch = space.arch({**base, choice.name: value})
                    changed = plan(space, arch, **self.options)
                    other = _specs(changed)
                    if not other.keys() <= depends.keys():
                        probes.append(arch)
                    for name in dict.fromkeys([*specs, *other]):
                        if specs.get(name) != other.get(name):
                            depends.setdefault(name, set()).add(position)
                    if _wiring(network) != _wiring(changed):
                        wired_by.add(position)
        return depends, wired_by

    def _check(self, places: Sequence[Place]) -> None:
        """Compare with the plans of a random few archs, so that a wrong split is seen."""
        for arch in self._some_archs():
            genes = self.space.encode(arch)
            split = {place.name: place.spec(genes) for place in places}
            if {name: spec for name, spec in split.items() if spec} != self.specs(arch):
                raise self._not_split(arch, "has other units")

    def _some_archs(self) -> Iterable[Arch]:
        total = len(self.space)
        checks = total if total <= _CHECK_ALL else _CHECKS
        drawn = np.random.default_rng(1).choice(total, checks, replace=False)
        return (self.space[int(index)] for index in np.sort(drawn))

    def _not_split(self, arch: Arch, what: str) -> CostError:
        return CostError(
            f"the costs of space {self.space.name!r} do not split by choices: "
            f"arch {arch.key} {what} than its choices give one by one"
        )


def _listed(tables: Iterable[str | LatencyTable]) -> Iterable[str | LatencyTable]:
    """Return tables or names, where one that stands alone is a list of itself."""
    return [tables] if isinstance(tables, str | LatencyTable) else tables


def _fixed(values: np.ndarray) -> np.ndarray:
    """Return an array that can no longer be changed."""
    values.flags.writeable = False
    return values


def _specs(network: NetworkPlan) -> dict[str, UnitSpec]:
    return {unit.name: unit.spec for unit in network.units}


def _wiring(network: NetworkPlan) -> tuple[object, ...]:
    return (network.outputs, *((unit.name, unit.inputs) for unit in network.units))


class Place:
    """One unit of the network over all archs.

    Args:
        space: the space.
        name: the unit's.
        positions: the choices that it depends on.
        specs: for every combination of their values; None where an arch has no such unit.

    Attributes:
        shape: the number of values of every choice, 1 where the unit does not depend on it.
    """

    def __init__(
        self,
        space: SearchSpace,
        name: str,
        *,
        positions: Sequence[int],
        specs: tuple[UnitSpec | None, ...],
    ) -> None:
        self.name = name
        self.specs = specs
        counts = enumerate(space.gene_counts)
        self.shape = tuple(count if position in positions else 1 for position, count in counts)

    def spec(self, genes: Sequence[int]) -> UnitSpec | None:
        """The unit in the arch of these genes."""
        index = 0
        for gene, values in zip(genes, self.shape, strict=True):
            index = index * values + (gene if values > 1 else 0)
        return self.specs[index]

    def part(self, part: Sequence[slice]) -> np.ndarray:
        """Return `grid` for a part of the archs: a slice of the values of every choice."""
        own = (slice(None) if n == 1 else cut for cut, n in zip(part, self.shape, strict=True))
        return self.grid[(slice(None), *own)]

    @cached_property
    def grid(self) -> np.ndarray:
        """(summed costs + 3, *shape) int64.

        What `_SUMMED` names, then peak, output and first input's memory in bytes.
        """
        rows = np.array([_row(spec) for spec in self.specs], dtype=np.int64)
        return rows.T.reshape(-1, *self.shape)


def _row(spec: UnitSpec | None) -> tuple[int, ...]:
    """The figures of one unit; zeros where an arch has no such unit."""
    if spec is None:
        return (0,) * (len(_SUMMED) + 3)
    cost = unit_cost(spec)
    macs = (cost.macs[convention] for convention in CONVENTIONS)
    first_input = BYTES * math.prod(spec.in_shapes[0])
    return (*macs, cost.params, cost.peak_memory, cost.output_memory, first_input)
