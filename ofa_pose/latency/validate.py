"""How far a table is from whole networks that it was not made from."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ofa_pose.catalog import load_space
from ofa_pose.cost import CostTable, LatencyTable
from ofa_pose.cost.latency_errors import error_figures
from ofa_pose.cost.latency_schema import ErrorFigures, ValidationSection
from ofa_pose.errors import LatencyError, SpaceError, UnknownNameError
from ofa_pose.latency.build import (
    Effort,
    Progress,
    describe,
    fit_archs,
    make_kit,
    reference_entry,
    run_kit,
)
from ofa_pose.latency.bundle import costs_with
from ofa_pose.latency.cover import covering_archs
from ofa_pose.latency.kit import (
    Entry,
    alone_entries,
    name_of,
    plan_of,
    random_archs,
    shuffled,
    whole_entries,
)
from ofa_pose.latency.measuring.errors import MeasureError
from ofa_pose.latency.measuring.kit import KIT, Kit
from ofa_pose.latency.measuring.machine import this_machine
from ofa_pose.latency.results import Results
from ofa_pose.latency.runtimes import Runtime, get_runtime
from ofa_pose.skeleton import Skeleton
from ofa_pose.space import Arch

NETWORKS = 50
SEED = 2
_ROUNDS = 4  # even, as the noise floor compares one half with the other
_ROUNDS_ALONE = 1
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Validation:
    """Networks' times, measured and predicted, in ms.

    Attributes:
        spaces: names of the networks' spaces `(networks,)`.
        measured: the median of all rounds, of each.
        predicted: by the table.
        plain: the sum of units measured alone.
        first: the median of the rounds 0, 2, 4, …
        second: the median of the rounds 1, 3, 5, …: the same networks measured again.
        reference_drift: by how much longer the reference network took than for the table, as a
            fraction; it is divided out of all of these. None: the table does not know, or
            its reference network is not known here.
    """

    spaces: np.ndarray
    measured: np.ndarray
    predicted: np.ndarray
    plain: np.ndarray
    first: np.ndarray
    second: np.ndarray
    reference_drift: float | None = None

    def of(self, space: str) -> Validation:
        """The networks of one space."""
        mine = self.spaces == space
        arrays = {name: all_ for name, all_ in vars(self).items() if isinstance(all_, np.ndarray)}
        return replace(self, **{name: all_[mine] for name, all_ in arrays.items()})

    def section(self) -> ValidationSection:
        """What the table's YAML says of it."""
        return ValidationSection(
            networks=len(self.measured),
            plain_sum=_rounded(self.plain, self.measured),
            noise_floor=_rounded(self.second, self.first),
            reference_drift=self.reference_drift and round(self.reference_drift, 4),
            **dict(_rounded(self.predicted, self.measured)),
        )

    def scaled_plain_sum(self) -> ErrorFigures:
        """The plain sum after the one factor that suits these networks best."""
        return _rounded(self.plain * np.median(self.measured / self.plain), self.measured)


def _rounded(predicted: np.ndarray, measured: np.ndarray) -> ErrorFigures:
    figures = error_figures(predicted.tolist(), measured.tolist())
    digits = {name: round(value, 4) for name, value in figures if value is not None}
    return figures.model_copy(update=digits)


def held_out_archs(costs: CostTable, *, count: int, seed: int) -> list[Arch]:
    """Random archs that no build measures, neither whole nor without repeats."""
    used = {*fit_archs(costs), *covering_archs(costs)}
    archs = random_archs(costs.space, count + len(used), seed=seed)
    return [arch for arch in archs if arch not in used][:count]


def validate(
    table: LatencyTable,
    all_costs: Sequence[CostTable],
    *,
    work: str | Path,
    networks: int = NETWORKS,
    seed: int = SEED,
    progress: Progress | None = None,
) -> Validation:
    """Measure random held-out networks, and their units alone, in interleaved rounds.

    Times are relative to the reference network of the table, which goes by all spaces that it was
    built for. Where one of these is not here as it was, times are this measurement's own.

    Args:
        table: of this machine.
        all_costs: of the spaces; all that the table was built for, or some.
        work: folder of the measurement; what it holds of the same is not measured again.
        networks: how many of each space.
        seed: of their choice.
        progress: told of every step.

    Raises:
        LatencyError: the table is of another machine or runtime, or misses units; or the spaces
            are so small that no network is held out.
        MissingExtraError: the runtime is not installed.
    """
    here = runtime_here(table)
    chosen = [
        (costs, arch)
        for costs in all_costs
        for arch in held_out_archs(costs, count=networks, seed=seed)
    ]
    if not chosen:
        raise LatencyError(
            "there is nothing to validate on: every network was measured for the table"
        )
    plans = {name_of(*one): plan_of(*one) for one in chosen}
    predicted = [table.predict(costs.space, arch, **costs.options) for costs, arch in chosen]
    specs = dict.fromkeys(unit.spec for network in plans.values() for unit in network.units)
    entries = alone_entries(specs, rounds=_ROUNDS_ALONE)
    for costs, arch in chosen:
        entries += whole_entries(costs, [arch], role="check", rounds=_ROUNDS)
    results = measure_relative(
        table, entries, all_costs, here, work=Path(work), seed=seed, progress=progress
    )
    known = results.known_reference_ms
    drift = None if known is None else results.own_reference_ms / known - 1
    measured = results.networks("check")
    alone = {row.key: row.median_ms for row in results.alone()}

    def times(rounds: range) -> np.ndarray:
        found = results.networks("check", rounds=rounds)
        return np.array([found[name] for name in plans])

    return Validation(
        np.array([costs.space.name for costs, _ in chosen]),
        np.array([measured[name] for name in plans]),
        np.array(predicted),
        np.array([sum(alone[unit.spec.key] for unit in plan.units) for plan in plans.values()]),
        times(range(0, _ROUNDS, 2)),
        times(range(1, _ROUNDS, 2)),
        drift,
    )


def measure_relative(
    table: LatencyTable,
    entries: Sequence[Entry],
    all_costs: Sequence[CostTable],
    here: tuple[Runtime, int],
    *,
    work: Path,
    seed: int,
    progress: Progress | None,
) -> Results:
    """Measure networks relative to the table's reference network, where that is known here.

    `here` is what `runtime_here` returns, `seed` is of the order that they are measured in.

    Raises:
        LatencyError: the folder holds the measurement of something else.
    """
    runtime, threads = here
    table_costs = costs_of_table(table, all_costs)
    reference = reference_entry(table_costs or all_costs)
    if (work / KIT).is_file():
        check_taken_up(work, runtime.name, reference.task.key)
    else:
        order = shuffled([*entries, reference], seed=seed)
        make_kit(work, order, all_costs, runtime, effort=Effort(), progress=progress)
    results = run_kit(work, runtime, threads=threads, progress=progress)
    wanted = {entry.task.key for entry in entries if entry.task.role == "check"}
    if results.networks("check").keys() != wanted:
        raise LatencyError(f"{work} holds the measurement of other networks; give another --work")
    return replace(results, known_reference_ms=table.info.reference_ms if table_costs else None)


def costs_of_table(table: LatencyTable, given: Sequence[CostTable]) -> list[CostTable] | None:
    """Return costs of the spaces that the table was built for, in its order.

    None, with a warning, where one of them is neither given nor known by its name as it was.
    """
    known = {tuple(describe(costs).values()): costs for costs in given}
    joints = (costs.options.get("skeleton") for costs in given)
    skeletons = [one for one in joints if isinstance(one, Skeleton)]
    found = []
    for about in table.info.spaces:
        costs = known.get((about.name, about.hash, about.skeleton))
        if costs is None:
            try:
                costs = costs_with(load_space(about.name), about.skeleton, skeletons)
            except (UnknownNameError, SpaceError, LatencyError):
                costs = None
        if costs is None or costs.space.hash != about.hash:
            _LOG.warning(
                "the space %s that %s was built for is not here as it was, and with it the table's "
                "reference network: how fast the machine is now is not told apart from the error",
                about.name,
                table.name,
            )
            return None
        found.append(costs)
    return found or None


def check_taken_up(work: Path, runtime: str, reference: str) -> None:
    """Refuse to go on with a measurement by another runtime, or relative to another network.

    Raises:
        LatencyError: it is, or its kit is damaged.
    """
    try:
        kit = Kit.load(work)
    except MeasureError as error:
        raise LatencyError(str(error)) from None
    if kit.document["runtime"] != runtime:
        raise LatencyError(
            f"{work} holds a measurement by {kit.document['runtime']}, not by {runtime}; give "
            "another --work"
        )
    if kit.reference.key != reference:
        raise LatencyError(
            f"{work} holds a measurement relative to {kit.reference.key}, not to {reference}; "
            "give another --work"
        )


def runtime_here(table: LatencyTable) -> tuple[Runtime, int]:
    """The table's runtime and threads.

    Raises:
        LatencyError: the table was not measured on this machine with what is installed.
    """
    info = table.info
    if info.adapted is not None or info.threads is None:
        raise LatencyError(f"{table.name} was adapted, not measured; there is nothing to repeat")
    runtime = get_runtime(info.runtime.name)
    runtime.require(running=True)
    machine = this_machine(runtime.name, threads=info.threads)
    if (machine.processor, machine.version) != (info.processor, info.runtime.version):
        raise LatencyError(
            f"{table.name} was measured on {info.processor} with {runtime.name} "
            f"{info.runtime.version}; this is {machine.processor} with {machine.version}"
        )
    return runtime, info.threads
