"""A latency table for a device on which only a few whole networks were timed.

Mechanism: a unit's time on the new device is taken as a factor times its time on the device of a
full table, plus a price a MAC and a price a byte of activations; a network has a constant on top.
Factors may differ between kinds of unit and kernels, but a few networks cannot tell them all, so
the fit (least squares of relative errors) is held back: every kind's factor is drawn to the
common one, and the prices and the constant to zero. No price is below zero, and no factor below a
twentieth of the common one. Where one factor for all predicts networks that are left out better
than this fit does, as on a device that is merely slower, that is the table.

Limits: what no network of the points does differently from the others cannot be learnt; the error
is that of networks like the points, and of a few points it is itself uncertain. It is slightly
hopeful, as it has chosen between one factor and the fit on these very points.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError
from scipy.optimize import lsq_linear

from ofa_pose.cost.counting import unit_cost
from ofa_pose.cost.latency import LatencyTable
from ofa_pose.cost.latency_errors import error_figures
from ofa_pose.cost.latency_files import UnitLatency
from ofa_pose.cost.latency_points import LatencyPoint
from ofa_pose.cost.latency_schema import (
    AdaptedSection,
    ErrorFigures,
    ModelSection,
    RuntimeSection,
    TableInfo,
)
from ofa_pose.errors import LatencyError
from ofa_pose.models import UnitSpec, plan
from ofa_pose.space import SearchSpace

LEAST_POINTS = 3
"""With fewer, no point can be predicted by the others."""

FEW_POINTS = 5
"""Below this an error estimate is hardly more than an anecdote."""

_CLEARLY = 1.1  # two networks' times differ by more than noise where one is so many times the other
_FORM = "a factor a kind and kernel, a price a MAC and a byte, a constant; held to one factor"
_PLAIN_FORM = "one factor"
_FREEDOM = 0.3  # how far a factor or a price is expected to move, as a fraction of a network's time
_NOISE = 0.05  # how far measurements are expected to be off, likewise
_SMALLEST_FACTOR = 0.05
_UNKNOWN = "not known"


@dataclass(frozen=True)
class Adaptation:
    """A table for another device.

    Attributes:
        table: of the other device, marked as adapted.
        points: what it was adapted to.
        predicted: each point as the other points alone predict it, in ms, in the table's way.
        error: of those predictions.
        fitted: the error of the fit with a factor for each kind of unit.
        one_factor: the error when the base's times are only multiplied by one factor; the table is
            made in this way where it is less than that of the fit.
        factor: that one factor, of all points.
        few: whether the points are so few that the error says little.
        inversions: pairs of points of one space of which the first has no choice larger than the
            second and yet took clearly longer; at least one of their times is wrong.
    """

    table: LatencyTable
    points: tuple[LatencyPoint, ...]
    predicted: tuple[float, ...]
    error: ErrorFigures
    fitted: ErrorFigures
    one_factor: ErrorFigures
    factor: float
    few: bool
    inversions: tuple[tuple[LatencyPoint, LatencyPoint], ...]

    @property
    def plain(self) -> bool:
        """Whether the table is the base's times one factor."""
        return self.one_factor.mape < self.fitted.mape


def adapt(
    base: LatencyTable,
    points: Sequence[LatencyPoint],
    *,
    name: str,
    device: str | None = None,
    runtime: str | None = None,
    threads: int | None = None,
    interpolate: bool = False,
    **options: Any,
) -> Adaptation:
    """Return a table for the device that `points` were measured on.

    Args:
        base: a full table of one device.
        points: whole networks on the other device.
        name: of the new table.
        device: the other device in words; default the name.
        runtime: what ran the networks there, in words.
        threads: that it used.
        interpolate: estimate units of the points that `base` misses.
        options: the family's own, such as `skeleton="coco"`.

    Raises:
        LatencyError: fewer than `LEAST_POINTS` points, a base that was itself adapted, a name
            that cannot be a table's or is the base's, or units that `base` misses.
    """
    if len(points) < LEAST_POINTS:
        raise LatencyError(
            f"{len(points)} networks were given; at least {LEAST_POINTS} are needed, 5 to 20 are "
            "advised"
        )
    if base.info.adapted is not None:
        raise LatencyError(
            f"{base.name!r} was itself adapted; adapt the table it came from, "
            f"{base.info.adapted.table!r}"
        )
    if name == base.name:
        raise LatencyError(f"{name!r} is the table that is adapted; give the new one another name")
    networks = [
        [unit.spec for unit in plan(point.space, point.arch, **options).units] for point in points
    ]
    if interpolate:
        base = base.covering(spec for network in networks for spec in network)
    for point in points:
        base.predict(point.space, point.arch, **options)  # refuses units that are missing
    features = _Features(base)
    times = np.array([point.latency_ms for point in points])
    table = np.array([features.network(network) for network in networks])
    by_fit, by_factor = _left_out(table, times, factors=features.factors)
    fitted = error_figures(by_fit, times.tolist())
    one_factor = error_figures(by_factor, times.tolist())
    plain = one_factor.mape < fitted.mape
    factor = _factor(table, times, factors=features.factors)
    if plain:
        fit = np.zeros(table.shape[1])
        fit[: features.factors] = factor
    else:
        fit = _fit(table, times, factors=features.factors)
    error = one_factor if plain else fitted
    info = _info(
        base,
        error,
        form=_PLAIN_FORM if plain else _FORM,
        name=name,
        device=device or name,
        runtime=runtime or _UNKNOWN,
        threads=threads,
        points=len(points),
        constant=float(fit[-1] + fit[features.factors - 1] * base.info.model.intercept_ms),
    )
    return Adaptation(
        table=LatencyTable.of(info, features.rows(fit)),
        points=tuple(points),
        predicted=tuple(by_factor if plain else by_fit),
        error=error,
        fitted=fitted,
        one_factor=one_factor,
        factor=factor,
        few=len(points) < FEW_POINTS,
        inversions=_inversions(points),
    )


def _inversions(
    points: Sequence[LatencyPoint],
) -> tuple[tuple[LatencyPoint, LatencyPoint], ...]:
    """Pairs of which the smaller network took clearly longer, the largest contradiction first."""
    of_space: dict[SearchSpace, list[LatencyPoint]] = {}
    for point in points:
        of_space.setdefault(point.space, []).append(point)
    pairs = []
    for group in of_space.values():
        values = np.array([tuple(point.arch.values()) for point in group])
        times = np.array([point.latency_ms for point in group])
        smaller = (values[:, None] <= values).all(axis=-1)
        slower = times[:, None] > _CLEARLY * times
        pairs += [(group[small], group[large]) for small, large in np.argwhere(smaller & slower)]
    return tuple(sorted(pairs, key=lambda pair: pair[1].latency_ms / pair[0].latency_ms))


class _Features:
    """What a network's time on the other device is made of, by kind and kernel of its units.

    Attributes:
        factors: how many of the columns are multiplied by factors.
    """

    def __init__(self, base: LatencyTable) -> None:
        self._base = base
        self._specs = [UnitSpec.parse(key) for key in base.rows]
        groups = sorted({(spec.kind, spec.kernel) for spec in self._specs})
        self._columns = {group: column for column, group in enumerate(groups)}
        self.factors = len(groups) + 1  # the last is that of the base's own constant

    def unit(self, spec: UnitSpec) -> np.ndarray:
        """The unit's part in every column (factors + 3,): ms of the base, MACs, bytes, nothing."""
        cost = unit_cost(spec)
        row = np.zeros(self.factors + 3)
        row[self._columns[spec.kind, spec.kernel]] = self._base.contribution(spec)
        row[self.factors : self.factors + 2] = cost.macs["exact"], cost.peak_memory
        return row

    def network(self, specs: Iterable[UnitSpec]) -> np.ndarray:
        """The sum over a network's units (factors + 3,), with the constants."""
        row = np.sum([self.unit(spec) for spec in specs], axis=0)
        row[self.factors - 1] = self._base.info.model.intercept_ms
        row[-1] = 1.0
        return row

    def rows(self, fit: np.ndarray) -> list[UnitLatency]:
        """The table's rows for the other device: estimates, with 0 runs."""
        rows = []
        for spec in self._specs:
            time = float(self.unit(spec) @ fit)
            rows.append(UnitLatency(spec.key, time, time, 0.0, 0))
        return rows


def _left_out(
    table: np.ndarray, times: np.ndarray, *, factors: int
) -> tuple[list[float], list[float]]:
    """Every network predicted by the others alone: by the fit, and by one factor."""
    fitted, scaled = [], []
    for out in range(len(times)):
        rest = np.arange(len(times)) != out
        known = table[rest], times[rest]
        fitted.append(float(table[out] @ _fit(*known, factors=factors)))
        plain = table[out, :factors].sum() * _factor(*known, factors=factors)
        scaled.append(float(plain))
    return fitted, scaled


def _factor(table: np.ndarray, times: np.ndarray, *, factors: int) -> float:
    """The one factor (least squares of relative errors) between the base's times and these."""
    ratios = table[:, :factors].sum(axis=1) / times
    return float(ratios.sum() / (ratios**2).sum())


def _fit(table: np.ndarray, times: np.ndarray, *, factors: int) -> np.ndarray:
    """Coefficients (columns,) of the networks' features (networks, columns), all above or at 0.

    Unknown are the common factor, what each kind's differs from it, the two prices and the
    constant; all but the first are drawn to zero.
    """
    start = _factor(table, times, factors=factors)
    relative = table / times[:, None]
    scale = relative.mean(axis=0)
    scale[:factors] = 1 / start
    unknown = relative / np.where(scale > 0, scale, 1.0)
    common = unknown[:, :factors].sum(axis=1, keepdims=True)
    held_back = _NOISE / _FREEDOM * np.eye(unknown.shape[1])
    matrix = np.block([[common, unknown], [np.zeros((len(held_back), 1)), held_back]])
    wanted = np.concatenate([np.ones(len(times)), np.zeros(len(held_back))])
    lowest = np.zeros(matrix.shape[1])
    lowest[1 : factors + 1] = -np.inf
    found = lsq_linear(matrix, wanted, bounds=(lowest, np.inf)).x
    fit = found[1:] / np.where(scale > 0, scale, 1.0)
    fit[:factors] += found[0] * start
    fit[:factors] = np.maximum(fit[:factors], _SMALLEST_FACTOR * start)
    return fit


def _info(
    base: LatencyTable,
    error: ErrorFigures,
    *,
    form: str,
    name: str,
    device: str,
    runtime: str,
    threads: int | None,
    points: int,
    constant: float,
) -> TableInfo:
    try:
        return TableInfo(
            name=name,
            device=device,
            processor=_UNKNOWN,
            runtime=RuntimeSection(name=runtime, version=_UNKNOWN),
            threads=threads,
            precision=base.info.precision,
            layout=base.info.layout,
            date=datetime.date.today(),
            method=(
                f"adapted from {base.name} to the times of {points} whole networks; no unit was "
                "measured on this device"
            ),
            spaces=tuple(
                space.model_copy(update={"validation": None}) for space in base.info.spaces
            ),
            model=ModelSection(intercept_ms=round(constant, 6)),
            adapted=AdaptedSection(table=base.name, points=points, form=form, leave_one_out=error),
        )
    except ValidationError:
        raise LatencyError(
            f"{name!r} cannot be a table's name: letters, digits, '.', '_' and '-'"
        ) from None
