"""From the results of a measurement to a latency table."""

from __future__ import annotations

import datetime

from ofa_pose.cost import CostTable, LatencyTable, TableInfo
from ofa_pose.cost.latency_schema import CoveredSpace, ModelSection, RuntimeSection
from ofa_pose.errors import LatencyError, listing
from ofa_pose.latency.fit import fit_model
from ofa_pose.latency.results import Results
from ofa_pose.latency.runtimes import get_runtime
from ofa_pose.models import plan
from ofa_pose.space import Arch, SearchSpace

_IN_PLACE = (
    "every unit timed where it stands inside networks that hold all units between them, the "
    "median of {rounds} interleaved rounds of at least {runs} runs; a scale for each kind of unit "
    "fitted to {fit} whole networks"
)
_ALONE = (
    "every unit timed alone in the layout it has inside a network, the median of {rounds} "
    "interleaved rounds of at least {runs} runs; a scale for each kind of unit and an intercept "
    "fitted to {fit} whole networks"
)


def arch_of_key(space: SearchSpace, key: str) -> Arch:
    """Return the arch whose `key` this is."""
    names = (choice.name for choice in space.choices)
    return space.arch(dict(zip(names, map(int, key.split("-")), strict=True)))


def table_of(
    results: Results, costs: CostTable, *, name: str, device: str | None = None
) -> LatencyTable:
    """Make the table `<name>-<runtime>` of a finished measurement.

    Args:
        results: of a kit for `costs.space`.
        costs: of the space.
        name: of the device.
        device: the device in words; default: what it told of itself.

    Raises:
        LatencyError: the results are of another space, or not finished.
    """
    head, machine, space = results.head, results.machine, costs.space
    about = head["space"]
    if about["hash"] != space.hash:
        raise LatencyError(
            f"the results are of space {about['name']!r} with hash {about['hash']}; the space of "
            f"this name here has {space.hash}"
        )
    rows = results.units()
    times = {row.key: row.median_ms for row in rows}
    missing = [spec.key for spec in costs.specs_of_all if spec.key not in times]
    if missing:
        raise LatencyError(
            f"the measurement is not finished: {len(missing):,} units are missing, such as "
            f"{listing(missing, 3)}; start measure.py again and it goes on"
        )
    whole = results.networks("fit")
    archs = [arch_of_key(space, key) for key in whole]
    model = (
        fit_model(
            times,
            [plan(space, arch, **costs.options) for arch in archs],
            list(whole.values()),
        )
        if whole
        else ModelSection()
    )
    runtime = get_runtime(machine.runtime)
    text = _IN_PLACE if runtime.in_place else _ALONE
    info = TableInfo(
        name=f"{name}-{machine.runtime}",
        device=device or machine.device,
        processor=machine.processor,
        runtime=RuntimeSection(name=machine.runtime, version=machine.version),
        threads=machine.threads,
        layout=runtime.layout,
        date=datetime.date.fromisoformat(head["date"]),
        method=text.format(rounds=head["rounds"], runs=head["runs"], fit=len(whole)),
        spaces=(CoveredSpace(name=about["name"], hash=about["hash"], skeleton=about["skeleton"]),),
        model=model,
    )
    return LatencyTable.of(info, rows)
