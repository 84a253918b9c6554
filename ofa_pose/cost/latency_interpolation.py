"""Estimates of units that a latency table misses, from measured units of their own kind.

Mechanism: within one kind, kernel, stride and residual the logarithm of the time is a smooth
function of the logarithms of a unit's size (pixels, channels in, out and inside, MACs, bytes
held). A ridge regression gives its trend, and what the nearest measured units deviate from that
trend is added, weighted by their distance. Limits: a unit far from every measured one is little
more than the trend; a runtime that has a special case for certain sizes is not known to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ofa_pose.cost.counting import unit_cost
from ofa_pose.cost.latency_files import UnitLatency
from ofa_pose.errors import LatencyError, listing
from ofa_pose.models import UnitSpec

LEAST_RELATIVES = 8
"""Fewer measured units of a kind than this say too little."""

_RIDGE = 1e-3
_NEIGHBOURS = 4
_FOLDS = 10


class Interpolator:
    """Estimates units from measured rows.

    Args:
        rows: the measured units.
    """

    def __init__(self, rows: Iterable[UnitLatency]) -> None:
        self._measured: dict[tuple[object, ...], list[UnitLatency]] = defaultdict(list)
        for row in rows:
            self._measured[_relatives(UnitSpec.parse(row.key))].append(row)
        self._groups: dict[tuple[object, ...], _Group] = {}

    def rows(self, specs: Sequence[UnitSpec]) -> list[UnitLatency]:
        """Return an estimated row (0 runs) for each unit, in the order given.

        Raises:
            LatencyError: fewer than `LEAST_RELATIVES` units like one of them were measured.
        """
        found: dict[str, UnitLatency] = {}
        for key, members in _grouped(specs).items():
            times = self._group(key, members).estimate(_features(members))
            for spec, time in zip(members, times.tolist(), strict=True):
                found[spec.key] = UnitLatency(spec.key, time, time, 0.0, 0)
        return [found[spec.key] for spec in specs]

    def left_out_error(self, specs: Sequence[UnitSpec]) -> float:
        """Return the mean absolute error, as a fraction, of measured relatives left out in turn.

        Raises:
            LatencyError: as `rows`.
        """
        groups = [self._group(key, members) for key, members in _grouped(specs).items()]
        return float(np.concatenate([group.left_out_errors() for group in groups]).mean())

    def _group(self, key: tuple[object, ...], members: Sequence[UnitSpec]) -> _Group:
        if key not in self._groups:
            rows = self._measured.get(key, [])
            if len(rows) < LEAST_RELATIVES:
                raise LatencyError(
                    f"{len(members)} units cannot be interpolated "
                    f"({listing((spec.key for spec in members), 2)}): only {len(rows)} units of "
                    f"their kind, kernel and stride were measured, at least {LEAST_RELATIVES} "
                    "are needed"
                )
            features = _features([UnitSpec.parse(row.key) for row in rows])
            self._groups[key] = _Group(features, np.log([row.median_ms for row in rows]))
        return self._groups[key]


@dataclass(frozen=True, eq=False)
class _Group:
    """Measured units of one kind.

    Attributes:
        features: (units, features), logarithms.
        log_ms: (units,).
    """

    features: np.ndarray
    log_ms: np.ndarray

    def estimate(self, features: np.ndarray) -> np.ndarray:
        """Times (n,) in ms of units with these features (n, features)."""
        centre, spread = self.features.mean(axis=0), self.features.std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        known, wanted = ((table - centre) / spread for table in (self.features, features))
        mean = self.log_ms.mean()
        gram = known.T @ known + _RIDGE * len(known) * np.eye(known.shape[1])
        slopes = np.linalg.solve(gram, known.T @ (self.log_ms - mean))
        deviation = self.log_ms - mean - known @ slopes
        distance = np.sqrt(((wanted[:, None] - known[None]) ** 2).sum(axis=2))
        count = min(_NEIGHBOURS, len(known))
        nearest = np.argpartition(distance, count - 1, axis=1)[:, :count]
        weights = 1 / (np.take_along_axis(distance, nearest, axis=1) + 1e-6) ** 2
        nearby = (weights * deviation[nearest]).sum(axis=1) / weights.sum(axis=1)
        return np.exp(mean + wanted @ slopes + nearby)

    def left_out_errors(self) -> np.ndarray:
        """Absolute errors (units,) as fractions; every tenth of the units is estimated by the rest.

        A unit with the very features of another would be no test of it, but none is: rows differ.
        """
        folds = np.random.default_rng(0).permutation(len(self.log_ms)) % _FOLDS
        errors = np.empty(len(self.log_ms))
        for fold in range(_FOLDS):
            out = folds == fold
            rest = _Group(self.features[~out], self.log_ms[~out])
            errors[out] = np.abs(rest.estimate(self.features[out]) / np.exp(self.log_ms[out]) - 1)
        return errors


def _relatives(spec: UnitSpec) -> tuple[object, ...]:
    return spec.kind, len(spec.in_shapes), spec.kernel, spec.stride, spec.residual


def _grouped(specs: Iterable[UnitSpec]) -> dict[tuple[object, ...], list[UnitSpec]]:
    groups: dict[tuple[object, ...], list[UnitSpec]] = defaultdict(list)
    for spec in specs:
        groups[_relatives(spec)].append(spec)
    return groups


def _features(specs: Sequence[UnitSpec]) -> np.ndarray:
    """Logarithms of the sizes of units (n, features)."""
    rows = []
    for spec in specs:
        cost = unit_cost(spec)
        _, height, width = spec.in_shapes[0]
        sizes = (
            height * width,
            sum(spec.in_channels),
            spec.out_channels,
            max(spec.hidden, 1),
            cost.macs["exact"],
            cost.peak_memory,
        )
        rows.append(np.log(np.maximum(sizes, 1)))
    return np.array(rows)
