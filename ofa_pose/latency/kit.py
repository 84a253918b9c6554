"""Kits: the networks that are measured for a table, written into a folder with their models."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import ofa_pose
from ofa_pose.cost import CostTable
from ofa_pose.files import atomic_path, atomic_write
from ofa_pose.latency.cover import covering_archs, without_repeats
from ofa_pose.latency.measuring.kit import FORMAT, KIT, MODELS, Task
from ofa_pose.models import NetworkPlan, Unit, UnitSpec, plan
from ofa_pose.space import Arch, SearchSpace

_STAMP = (1980, 1, 1, 0, 0, 0)

Export = Callable[[NetworkPlan], bytes]


@dataclass(frozen=True)
class Entry:
    """One network of a kit before it is exported."""

    task: Task
    plan: NetworkPlan


def cover_entries(costs: CostTable, *, rounds: int) -> list[Entry]:
    """Networks without repeats that together hold every unit of the space."""
    return [
        _entry("cover", name_of(costs, arch), without_repeats(plan_of(costs, arch)), rounds=rounds)
        for arch in covering_archs(costs)
    ]


def alone_entries(specs: Iterable[UnitSpec], *, rounds: int) -> list[Entry]:
    """Every unit as a network of its own."""
    return [_entry("alone", spec.key, _alone(spec), rounds=rounds) for spec in specs]


def whole_entries(
    costs: CostTable, archs: Iterable[Arch], *, role: str, rounds: int
) -> list[Entry]:
    """Whole networks, `fit` or `check`."""
    return [
        _entry(role, name_of(costs, arch), plan_of(costs, arch), rounds=rounds) for arch in archs
    ]


def shuffled(entries: Iterable[Entry], *, seed: int) -> list[Entry]:
    """Give the networks their names, `<role>-<number>`, and an order that mixes their kinds."""
    named = [
        replace(entry, task=replace(entry.task, name=f"{entry.task.role}-{number:04}"))
        for number, entry in enumerate(entries)
    ]
    order = np.random.default_rng(seed).permutation(len(named))
    return [named[index] for index in order]


def random_archs(space: SearchSpace, count: int, *, seed: int) -> list[Arch]:
    """Distinct random archs, all of them if the space has no more."""
    rng = np.random.default_rng(seed)
    indices = rng.choice(len(space), size=min(count, len(space)), replace=False)
    return [space[int(index)] for index in indices]


def name_of(costs: CostTable, arch: Arch) -> str:
    """The key of a network in a kit that may hold several spaces: `<space>/<arch>`."""
    return f"{costs.space.name}/{arch.key}"


def plan_of(costs: CostTable, arch: Arch) -> NetworkPlan:
    """The arch's plan with the options that the costs are of."""
    return plan(costs.space, arch, **costs.options)


def _alone(spec: UnitSpec) -> NetworkPlan:
    inputs = tuple(f"in{i}" for i in range(len(spec.in_shapes)))
    return NetworkPlan((Unit("unit", spec, inputs),), ("unit",))


def _entry(role: str, key: str, network: NetworkPlan, *, rounds: int) -> Entry:
    units = tuple((unit.name, unit.spec.key) for unit in network.units)
    inputs = tuple(network_inputs(network).values())
    return Entry(Task("", role, key, inputs, units, network.outputs, rounds), network)


def network_inputs(network: NetworkPlan) -> dict[str, tuple[int, ...]]:
    """What units read and no unit makes, with its shape: the picture, or a lone unit's inputs."""
    made = {unit.name for unit in network.units}
    return {
        name: shape
        for unit in network.units
        for name, shape in zip(unit.inputs, unit.spec.in_shapes, strict=True)
        if name not in made
    }


def write_kit(
    folder: Path,
    entries: Sequence[Entry],
    *,
    runtime: str,
    export: Export,
    spaces: Sequence[Mapping[str, Any]],
    runs: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Export the networks and write `models.zip`, then `kit.json`, each atomically.

    Args:
        folder: where.
        entries: the networks, in the order they are measured in.
        runtime: its name.
        export: a network's file.
        spaces: theirs, as `kit.json` tells them.
        runs: of every network in a round, at least.
        progress: told (networks exported, all networks).
    """
    with (
        atomic_path(folder / MODELS) as path,
        zipfile.ZipFile(path, "w") as archive,
    ):
        for number, entry in enumerate(entries):
            info = zipfile.ZipInfo(entry.task.name, _STAMP)
            archive.writestr(info, export(entry.plan), zipfile.ZIP_DEFLATED)
            if progress is not None:
                progress(number + 1, len(entries))
    document = {
        "format": FORMAT,
        "runtime": runtime,
        "package": ofa_pose.__version__,
        "spaces": list(spaces),
        "runs": runs,
        "networks": [vars(entry.task) for entry in entries],
    }
    atomic_write(folder / KIT, json.dumps(document, indent=1) + "\n")
