"""What a predictor sees of an arch: its genes as sizes, and the costs of its units."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ofa_pose.space import SearchSpace

UnitCosts = Callable[[np.ndarray], np.ndarray]
"""Indices (n,) → a cost of every unit place (n, places), such as its MACs."""

_REFERENCE = 512
_UNIT_WEIGHT = 0.3


class Features:
    """The features of a space's archs.

    For every choice of several values one column: the logarithm of the value, 0 at the smallest
    and 1 at the largest. For every unit whose cost varies one more: the logarithm of the cost,
    standardised over a sample of the space, and all of them together weighing `_UNIT_WEIGHT`.

    Args:
        space: whose archs they are.
        units: costs of the units; None leaves them out.
    """

    def __init__(self, space: SearchSpace, units: UnitCosts | None = None) -> None:
        self.space = space
        self._units = units
        self._columns = [
            (position, np.log(np.array(choice.values) / choice.values[-1], dtype=np.float64))
            for position, choice in enumerate(space.choices)
            if len(choice.values) > 1
        ]
        if units is not None:
            reference = np.random.default_rng(0).integers(len(space), size=_REFERENCE)
            logs = np.log1p(np.asarray(units(np.unique(reference)), dtype=np.float64))
            self._varies = logs.std(axis=0) > 0
            self._centre = logs.mean(axis=0)[self._varies]
            self._scale = logs.std(axis=0)[self._varies]

    def __call__(self, indices: np.ndarray) -> np.ndarray:
        """Return the features (n, columns) float64 of archs (n,)."""
        genes = self.space.genes_of(indices)
        columns = [logs[genes[:, position]] / logs[0] for position, logs in self._columns]
        if self._units is not None and self._varies.any():
            logs = np.log1p(np.asarray(self._units(indices), dtype=np.float64))
            standard = (logs[:, self._varies] - self._centre) / self._scale
            columns += list(standard.T * (_UNIT_WEIGHT / np.sqrt(standard.shape[1])))
        return np.stack(columns, axis=1) if columns else np.zeros((len(genes), 1))
