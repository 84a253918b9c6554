"""How far a table is from whole networks that it was not made from."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ofa_pose.cost import CostTable, LatencyTable
from ofa_pose.cost.latency_errors import error_figures
from ofa_pose.cost.latency_schema import ErrorFigures, ValidationSection
from ofa_pose.errors import LatencyError
from ofa_pose.latency.build import Effort, Progress, fit_archs, make_kit, run_kit
from ofa_pose.latency.cover import covering_archs
from ofa_pose.latency.kit import alone_entries, random_archs, whole_entries
from ofa_pose.latency.measure import KIT, this_machine
from ofa_pose.latency.runtimes import get_runtime
from ofa_pose.latency.tables import arch_of_key
from ofa_pose.models import plan
from ofa_pose.space import Arch

NETWORKS = 50
_ROUNDS = 6  # even, as the noise floor compares one half with the other


@dataclass(frozen=True)
class Validation:
    """Networks' times, measured and predicted, in ms.

    Attributes:
        archs: the networks.
        measured: the median of all rounds, of each.
        predicted: by the table.
        plain: the sum of units measured alone.
        first: the median of the rounds 0, 2, 4, …
        second: the median of the rounds 1, 3, 5, …: the same networks measured again.
    """

    archs: tuple[Arch, ...]
    measured: np.ndarray
    predicted: np.ndarray
    plain: np.ndarray
    first: np.ndarray
    second: np.ndarray

    def section(self) -> ValidationSection:
        """What the table's YAML says of it."""
        return ValidationSection(
            networks=len(self.archs),
            plain_sum=error_figures(self.plain.tolist(), self.measured.tolist()),
            noise_floor=error_figures(self.second.tolist(), self.first.tolist()),
            **dict(error_figures(self.predicted.tolist(), self.measured.tolist())),
        )

    def scaled_plain_sum(self) -> ErrorFigures:
        """The plain sum after the one factor that suits these networks best."""
        factor = float(np.median(self.measured / self.plain))
        return error_figures((factor * self.plain).tolist(), self.measured.tolist())


def held_out_archs(costs: CostTable, *, count: int, seed: int) -> list[Arch]:
    """Random archs that no build measures, neither whole nor without repeats."""
    used = {*fit_archs(costs), *covering_archs(costs)}
    archs = random_archs(costs.space, count + len(used), seed=seed)
    return [arch for arch in archs if arch not in used][:count]


def validate(
    table: LatencyTable,
    costs: CostTable,
    *,
    work: Path,
    networks: int = NETWORKS,
    seed: int = 2,
    progress: Progress | None = None,
) -> Validation:
    """Measure random held-out networks, and their units alone, in interleaved rounds.

    Args:
        table: of this machine.
        costs: of the space.
        work: folder of the measurement; what it holds of the same is not measured again.
        networks: how many.
        seed: of their choice.
        progress: told of every step.

    Raises:
        LatencyError: the table is of another machine or runtime, or misses units.
        MissingExtraError: the runtime is not installed.
    """
    info = table.info
    if info.adapted is not None or info.threads is None:
        raise LatencyError(f"{table.name} was adapted, not measured; there is nothing to repeat")
    runtime = get_runtime(info.runtime.name)
    runtime.require(running=True)
    machine = this_machine(runtime.name, threads=info.threads)
    if (machine.processor, machine.version) != (info.processor, info.runtime.version):
        raise LatencyError(
            f"{table.name} was measured on {info.processor} with {info.runtime.version}; this is "
            f"{machine.processor} with {machine.version}"
        )
    archs = held_out_archs(costs, count=networks, seed=seed)
    plans = {arch: plan(costs.space, arch, **costs.options) for arch in archs}
    if not (work / KIT).is_file():
        specs = dict.fromkeys(unit.spec for network in plans.values() for unit in network.units)
        entries = whole_entries(costs, archs, role="check") + alone_entries(specs)
        random.Random(seed).shuffle(entries)
        effort = Effort(rounds=_ROUNDS)
        make_kit(work, entries, costs, runtime, effort=effort, progress=progress)
    results = run_kit(work, runtime, threads=info.threads, progress=progress)
    alone = {row.key: row.median_ms for row in results.alone()}
    by_key = {key: arch_of_key(costs.space, key) for key in results.networks("check")}
    if set(by_key.values()) != set(archs):
        raise LatencyError(f"{work} holds the measurement of other networks; give another --work")

    def times(rounds: range) -> np.ndarray:
        found = results.networks("check", rounds=rounds)
        return np.array([found[arch.key] for arch in archs])

    return Validation(
        tuple(archs),
        times(range(_ROUNDS)),
        np.array([table.predict(costs.space, arch, **costs.options) for arch in archs]),
        np.array([sum(alone[unit.spec.key] for unit in plans[arch].units) for arch in archs]),
        times(range(0, _ROUNDS, 2)),
        times(range(1, _ROUNDS, 2)),
    )
