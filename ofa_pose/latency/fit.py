"""How the times of units become the time of a network: a scale for each kind, and an intercept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import lsq_linear

from ofa_pose.cost.latency_schema import KindModel, ModelSection
from ofa_pose.errors import LatencyError
from ofa_pose.models import NetworkPlan

_BOUNDS = (0.2, 5.0)
_PRIOR = 0.03
_AT = 0.01  # a scale within this fraction of a bound was held by it


def fit_model(
    times: Mapping[str, float], networks: Sequence[NetworkPlan], measured: Sequence[float]
) -> ModelSection:
    """Fit the model to whole networks, least squares of relative errors.

    Scales are held near 1 (a ridge worth an error of 3 % of the networks' time for a scale that
    is off by one): units that were measured in place add up by themselves, and what few networks
    cannot tell apart is left alone.

    Args:
        times: units' medians in ms, by key.
        networks: plans of the networks.
        measured: their times in ms.

    Raises:
        LatencyError: a network holds a unit without a time.
    """
    kinds = sorted({unit.spec.kind for network in networks for unit in network.units})
    if not networks:
        return ModelSection()
    sums = np.zeros((len(networks), len(kinds)))
    for row, network in zip(sums, networks, strict=True):
        for unit in network.units:
            if unit.spec.key not in times:
                raise LatencyError(f"unit {unit.spec.key} of a whole network was not measured")
            row[kinds.index(unit.spec.kind)] += times[unit.spec.key]
    truth = np.asarray(measured, dtype=np.float64)
    count = len(kinds)
    weight = _PRIOR * len(networks) ** 0.5
    rows = np.column_stack([sums, np.ones(len(truth))]) / truth[:, None]
    prior = weight * np.eye(count, count + 1)
    solution = lsq_linear(
        np.vstack([rows, prior]),
        np.concatenate([np.ones(len(truth)), np.full(count, weight)]),
        bounds=([_BOUNDS[0]] * count + [0.0], [_BOUNDS[1]] * count + [np.inf]),
    ).x
    scales = {
        kind: KindModel(scale=round(float(scale), 4))
        for kind, scale in zip(kinds, solution[:-1], strict=True)
    }
    return ModelSection(intercept_ms=round(float(solution[-1]), 5), kinds=scales)


def held_at_bounds(model: ModelSection) -> dict[str, float]:
    """The scales, by kind, that the fit would have moved further than it may."""
    low, high = _BOUNDS[0] * (1 + _AT), _BOUNDS[1] * (1 - _AT)
    return {name: kind.scale for name, kind in model.kinds.items() if not low < kind.scale < high}
