"""From the results of a measurement to a latency table."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence

from ofa_pose.cost import CostTable, LatencyTable, TableInfo
from ofa_pose.cost.latency_errors import error_figures
from ofa_pose.cost.latency_schema import ErrorFigures, RuntimeSection
from ofa_pose.errors import ArchError, LatencyError, listing
from ofa_pose.latency.fit import fit_model
from ofa_pose.latency.kit import plan_of
from ofa_pose.latency.results import Results
from ofa_pose.latency.runtimes import get_runtime
from ofa_pose.space import Arch

_IN_PLACE = "where it stands inside networks that hold all units between them"
_ALONE = "alone, in the layout that it has inside a network"
_METHOD = (
    "every unit timed {where}, relative to a reference network that is run around every few "
    "milliseconds, the median of {rounds} interleaved rounds of at least {runs} runs; a scale for "
    "each kind of unit and an intercept fitted to {fit} whole networks"
)


def arch_of_name(all_costs: Iterable[CostTable], name: str) -> tuple[CostTable, Arch]:
    """Return the network that a kit calls `<space>/<arch>`.

    Raises:
        LatencyError: these spaces have no such network.
    """
    space_name, _, key = name.rpartition("/")
    costs = next((costs for costs in all_costs if costs.space.name == space_name), None)
    if costs is None:
        known = listing(costs.space.name for costs in all_costs)
        raise LatencyError(f"{name!r} is no network of the measured spaces: {known}")
    names = (choice.name for choice in costs.space.choices)
    try:
        return costs, costs.space.arch(dict(zip(names, map(int, key.split("-")), strict=True)))
    except (ArchError, ValueError):
        raise LatencyError(f"{name!r} is no network: {space_name!r} has no such arch") from None


def table_of(
    results: Results, all_costs: Sequence[CostTable], *, name: str, device: str | None = None
) -> LatencyTable:
    """Make the table `<name>-<runtime>` of a finished measurement.

    Args:
        results: of a kit for these spaces.
        all_costs: of the spaces.
        name: of the device.
        device: the device in words; default: what it told of itself.

    Raises:
        LatencyError: the measurement is not finished, not of all units, or of networks that
            these spaces do not have.
    """
    results.check_finished()
    head, machine = results.head, results.machine
    rows = results.units()
    times = {row.key: row.median_ms for row in rows}
    needed = dict.fromkeys(spec.key for costs in all_costs for spec in costs.specs_of_all)
    missing = [key for key in needed if key not in times]
    whole = results.networks("fit")
    if missing:
        raise LatencyError(
            f"the measurement misses {len(missing):,} of {len(needed):,} units of these spaces, "
            f"such as {listing(missing, 3)}"
        )
    plans = [plan_of(*arch_of_name(all_costs, network)) for network in whole]
    runtime = get_runtime(machine.runtime)
    where = _IN_PLACE if runtime.in_place else _ALONE
    method = _METHOD.format(where=where, rounds=results.rounds, runs=head["runs"], fit=len(whole))
    info = TableInfo(
        name=f"{name}-{machine.runtime}",
        device=device or machine.device,
        processor=machine.processor,
        runtime=RuntimeSection(name=machine.runtime, version=machine.version),
        threads=machine.threads,
        layout=runtime.layout,
        date=datetime.datetime.strptime(head["date"], "%Y-%m-%d").date(),
        method=method,
        reference_ms=float(f"{results.reference_ms:.6g}"),
        spaces=results.spaces,
        model=fit_model(times, plans, list(whole.values())),
    )
    return LatencyTable.of(info, rows)


def fit_error(
    table: LatencyTable, results: Results, all_costs: Sequence[CostTable]
) -> tuple[int, ErrorFigures] | None:
    """How many whole networks the table was fitted to, and how far it is from these very ones.

    It is the least that can be hoped for on others; None where there were none.
    """
    whole = results.networks("fit")
    if not whole:
        return None
    chosen = [arch_of_name(all_costs, network) for network in whole]
    predicted = [table.predict(costs.space, arch, **costs.options) for costs, arch in chosen]
    return len(whole), error_figures(predicted, list(whole.values()))


def fit_noise(results: Results) -> ErrorFigures | None:
    """How far the whole networks' odd rounds are from their even ones: measured twice.

    None where there were no such networks or one round.
    """
    first = results.networks("fit", rounds=range(0, results.rounds, 2))
    second = results.networks("fit", rounds=range(1, results.rounds, 2))
    both = [name for name in first if name in second]
    if not both:
        return None
    return error_figures([second[name] for name in both], [first[name] for name in both])
