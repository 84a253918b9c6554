"""Chosen whole networks, measured in turns and put beside what a table predicts for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ofa_pose.cost import CostTable, LatencyTable
from ofa_pose.latency.build import Progress
from ofa_pose.latency.kit import whole_entries
from ofa_pose.latency.validate import measure_relative, runtime_here
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
    *,
    work: str | Path,
    progress: Progress | None = None,
) -> list[Timed]:
    """Measure some networks in interleaved rounds, relative to the table's reference network.

    Where that is not known here, as one of the table's spaces is not what it was, times are this
    measurement's own, as `validate` says.

    Args:
        table: of this machine.
        networks: costs of a network's space, and the network.
        work: folder of the measurement; what it holds of the same is not measured again.
        progress: told of every step.

    Raises:
        LatencyError: the table is of another machine or runtime, or misses units.
        MissingExtraError: the runtime is not installed.
    """
    here = runtime_here(table)
    predicted = [table.predict(costs.space, arch, **costs.options) for costs, arch in networks]
    entries = []
    for number, (costs, arch) in enumerate(networks):
        (entry,) = whole_entries(costs, [arch], role="check", rounds=ROUNDS)
        # Two may be of one arch with different skeletons, so that each is told by its number.
        entries.append(replace(entry, task=replace(entry.task, key=f"{number}:{entry.task.key}")))
    keys = [entry.task.key for entry in entries]
    all_costs = [costs for costs, _ in networks]
    measured = measure_relative(
        table, entries, all_costs, here, work=Path(work), seed=0, progress=progress
    ).networks("check")
    return [Timed(measured[key], value) for key, value in zip(keys, predicted, strict=True)]
