"""Chosen whole networks, measured in turns and put beside what a table predicts for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ofa_pose.cost import CostTable, LatencyTable
from ofa_pose.errors import LatencyError
from ofa_pose.latency.build import Effort, Progress, make_kit, reference_entry, run_kit
from ofa_pose.latency.kit import shuffled, whole_entries
from ofa_pose.latency.measuring.kit import KIT
from ofa_pose.latency.validate import runtime_here
from ofa_pose.space import Arch

ROUNDS = 8
"""How often each network's turn comes."""


@dataclass(frozen=True)
class Timed:
    """One network's latency in ms, measured (the median of the rounds) and predicted."""

    measured_ms: float
    predicted_ms: float


def time_networks(
    table: LatencyTable,
    networks: Sequence[tuple[CostTable, Arch]],
    table_costs: Sequence[CostTable] | None,
    *,
    work: str | Path,
    progress: Progress | None = None,
) -> list[Timed]:
    """Measure some networks in interleaved rounds, relative to the table's reference network.

    Args:
        table: of this machine.
        networks: costs of a network's space, and the network.
        table_costs: of the spaces that the table was built for, which name the reference; None
            where they are not here, and times are this measurement's own.
        work: folder of the measurement; what it holds of the same is not measured again.
        progress: told of every step.

    Raises:
        LatencyError: the table is of another machine or runtime, or misses units.
        MissingExtraError: the runtime is not installed.
    """
    work = Path(work)
    runtime, threads = runtime_here(table)
    predicted = [table.predict(costs.space, arch, **costs.options) for costs, arch in networks]
    entries = []
    for number, (costs, arch) in enumerate(networks):
        (entry,) = whole_entries(costs, [arch], role="check", rounds=ROUNDS)
        # Two may be of one arch with different skeletons, so that each is told by its number.
        entries.append(replace(entry, task=replace(entry.task, key=f"{number}:{entry.task.key}")))
    keys = [entry.task.key for entry in entries]
    if not (work / KIT).is_file():
        all_costs = [costs for costs, _ in networks]
        all_entries = shuffled([*entries, reference_entry(table_costs or all_costs)], seed=0)
        make_kit(work, all_entries, all_costs, runtime, effort=Effort(), progress=progress)
    results = run_kit(work, runtime, threads=threads, progress=progress)
    known = table.info.reference_ms if table_costs else None
    results = replace(results, known_reference_ms=known)
    measured = results.networks("check")
    if measured.keys() != set(keys):
        raise LatencyError(f"{work} holds the measurement of other networks; give another --work")
    return [Timed(measured[key], value) for key, value in zip(keys, predicted, strict=True)]
