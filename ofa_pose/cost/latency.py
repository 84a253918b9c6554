"""Latency tables: what every unit takes on one device, and from that what a network takes.

A network's time is predicted as the model's intercept plus the contributions of its units. It is
a sum over units, so the times of a whole space are sums of look-ups, as its MACs are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ofa_pose.cost.latency_files import UnitLatency, find_table, read_table, write_table
from ofa_pose.cost.latency_interpolation import Interpolator
from ofa_pose.cost.latency_schema import TableInfo
from ofa_pose.errors import LatencyError, listing
from ofa_pose.models import UnitSpec, plan
from ofa_pose.space import ArchLike, FrozenDict, SearchSpace

if TYPE_CHECKING:
    from ofa_pose.cost.table import CostTable

_SHOWN = 3
_TOO_LOW = "its model (intercept_ms, each_ms) cannot be right"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class LatencyTable:
    """What every unit takes on one device with one runtime.

    Attributes:
        info: how it was measured, and how units add up.
        rows: by the unit's key.
    """

    info: TableInfo
    rows: Mapping[str, UnitLatency] = field(repr=False)

    def __post_init__(self) -> None:
        wrong = [key for key, row in self.rows.items() if row.key != key]
        if wrong:
            raise LatencyError(f"the row of unit {wrong[0]} is of {self.rows[wrong[0]].key}")
        object.__setattr__(self, "rows", FrozenDict(self.rows))

    @classmethod
    def of(cls, info: TableInfo, rows: Iterable[UnitLatency]) -> LatencyTable:
        """Return the table of these rows.

        Raises:
            LatencyError: two rows are of one unit.
        """
        found: dict[str, UnitLatency] = {}
        for row in rows:
            if row.key in found:
                raise LatencyError(f"latency table {info.name!r}: unit {row.key} stands twice")
            found[row.key] = row
        return cls(info, found)

    @classmethod
    def load(cls, name: str | Path | LatencyTable) -> LatencyTable:
        """Load a table by its name in the catalogue, or by the path of its YAML or CSV.

        Raises:
            UnknownNameError: no table has this name; the message lists those there are.
            LatencyError: a file is missing, damaged, of another format or breaks the schema, or
                the YAML scales a kind of unit that the CSV does not hold.
        """
        if isinstance(name, LatencyTable):
            return name
        return cls(*read_table(find_table(name)))

    def save(self, folder: str | Path) -> Path:
        """Write the table's two files atomically and return the path of its YAML.

        Raises:
            OfaPoseError: the folder cannot be written.
        """
        write_table(folder, self.info, self.rows.values())
        return Path(folder) / f"{self.info.name}.yaml"

    @property
    def name(self) -> str:
        """The table's name, such as `x86-onnxruntime`."""
        return self.info.name

    def missing(self, specs: Iterable[UnitSpec]) -> tuple[UnitSpec, ...]:
        """Return the units that the table has no row for, each once."""
        return tuple(dict.fromkeys(spec for spec in specs if spec.key not in self.rows))

    def covering(self, specs: Iterable[UnitSpec]) -> LatencyTable:
        """Return the table with an estimated row (0 runs) for every unit it misses.

        How many were estimated, and how far off such estimates are, is logged as a warning.

        Raises:
            LatencyError: a unit has too few relatives in the table to be estimated.
        """
        specs = tuple(dict.fromkeys(specs))
        missing = self.missing(specs)
        if not missing:
            return self
        rows = self.interpolator.rows(missing)
        error = self.interpolator.left_out_error(missing)
        _LOG.warning(
            "latency table %s: %d of %d units interpolated, such as %s; measured units that are "
            "left out and interpolated are off by %.1f %% on average",
            *(self.name, len(missing), len(specs), missing[0].key, 100 * error),
        )
        return replace(self, rows={**self.rows, **{row.key: row for row in rows}})

    @cached_property
    def interpolator(self) -> Interpolator:
        """Estimates units from the measured rows."""
        return Interpolator([row for row in self.rows.values() if row.runs or self.info.adapted])

    def contribution(self, spec: UnitSpec) -> float:
        """What a unit adds to its network's time, in ms.

        Raises:
            LatencyError: the table misses it; see `covering`.
        """
        row = self.rows.get(spec.key)
        if row is None:
            raise self._misses((spec,), 1)
        return self.info.model.contribution(spec.kind, row.median_ms)

    def predict(
        self, space: SearchSpace, arch: ArchLike, *, interpolate: bool = False, **options: Any
    ) -> float:
        """Predict the time of one network for one picture at its resolution, in ms.

        Args:
            space: the arch's space.
            arch: which network; also what `space.arch` takes, such as `"XS"`.
            interpolate: estimate units that the table misses; see `covering`.
            options: the family's own, such as `skeleton="coco"`.

        Raises:
            LatencyError: the table misses units (the message names some), or predicts no time.
        """
        specs = [unit.spec for unit in plan(space, arch, **options).units]
        table = self._ready(specs, interpolate=interpolate)
        total = table.info.model.intercept_ms
        for spec in specs:
            total += table.contribution(spec)
        if not total > 0:
            raise LatencyError(
                f"latency table {self.name!r} predicts {total:g} ms for arch "
                f"{space.arch(arch).key} of space {space.name!r}; {_TOO_LOW}"
            )
        return total

    def predict_all(self, costs: CostTable, *, interpolate: bool = False) -> np.ndarray:
        """Predict the time of every arch of a space; the same numbers as `predict`.

        Args:
            costs: of the space.
            interpolate: as in `predict`.

        Returns:
            float64 array `(len(space),)`, in ms.

        Raises:
            LatencyError: the table misses units (the message names some), or predicts archs to
                take no time.
        """
        table = self._ready(costs.specs_of_all, interpolate=interpolate)
        times = costs.total(table.contribution, start=table.info.model.intercept_ms)
        impossible = len(times) - np.count_nonzero(times > 0)
        if impossible:
            raise LatencyError(
                f"latency table {self.name!r} predicts 0 ms or less for {impossible:,} of "
                f"{len(times):,} archs of space {costs.space.name!r}; {_TOO_LOW}"
            )
        return times

    def _ready(self, specs: Iterable[UnitSpec], *, interpolate: bool) -> LatencyTable:
        if interpolate:
            return self.covering(specs)
        specs = tuple(dict.fromkeys(specs))
        missing = self.missing(specs)
        if missing:
            raise self._misses(missing, len(specs))
        return self

    def _misses(self, missing: tuple[UnitSpec, ...], total: int) -> LatencyError:
        covered = listing(
            dict.fromkeys(f"{space.name} ({space.skeleton})" for space in self.info.spaces)
        )
        units = listing((spec.key for spec in missing), _SHOWN)
        return LatencyError(
            f"latency table {self.name!r} misses {len(missing):,} of {total:,} units: {units}; it "
            f"covers the spaces (and joints): {covered}; measure this one with `ofa-pose latency "
            "build`, with --skeleton for other joints, or have them estimated (interpolate=True, "
            "--interpolate)"
        )
