"""Building a table on this machine: a kit is written, measured, made a table and validated."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ofa_pose.cost import CostTable, LatencyTable, count_plan
from ofa_pose.errors import LatencyError, MeasuringStoppedError, RunFolderError, UsageError
from ofa_pose.files import atomic_write
from ofa_pose.latency.kit import (
    Entry,
    alone_entries,
    cover_entries,
    plan_of,
    random_archs,
    shuffled,
    whole_entries,
    write_kit,
)
from ofa_pose.latency.measuring.errors import MeasureError, StoppedError
from ofa_pose.latency.measuring.journal import locked
from ofa_pose.latency.measuring.kit import KIT, MODELS, REFERENCE, RESULTS, Kit
from ofa_pose.latency.measuring.machine import check_threads
from ofa_pose.latency.measuring.protocol import measure
from ofa_pose.latency.results import Results, read_results
from ofa_pose.latency.runtimes import Runtime, get_runtime
from ofa_pose.latency.tables import table_of
from ofa_pose.skeleton import load_skeleton
from ofa_pose.space import Arch

FIT_NETWORKS = 24
"""Whole networks that the scales are fitted to."""

_FIT_SEED = 1
_REFERENCE_RANK = 6  # a sixth of the networks are smaller than the reference
_ORDER_SEED = 0
_NOTE = "run.json"
_REPLACES = "replaces"  # in the note of a run that was begun with `force`: its device's name

Progress = Callable[[str, int, int], None]
"""Told (what is being done, done, all)."""


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        rounds: passes over all networks.
        runs: of a network in a round, at least.
        fit: whole networks of each space to fit the model to.

    Raises:
        UsageError: one of them is no whole number from 1 on.
    """

    rounds: int = 3
    runs: int = 4
    fit: int = FIT_NETWORKS

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UsageError(f"{name} must be a whole number from 1 on, got {value!r}")


def build_entries(
    all_costs: Sequence[CostTable], runtime: Runtime, *, effort: Effort
) -> list[Entry]:
    """The networks that a table is made from, in the order they are measured in."""
    entries: list[Entry] = []
    if runtime.in_place:
        for costs in all_costs:
            entries += cover_entries(costs, rounds=effort.rounds)
    else:
        specs = dict.fromkeys(spec for costs in all_costs for spec in costs.specs_of_all)
        entries += alone_entries(specs, rounds=effort.rounds)
    for costs in all_costs:
        archs = fit_archs(costs, effort.fit)
        entries += whole_entries(costs, archs, role="fit", rounds=effort.rounds)
    entries.append(reference_entry(all_costs))
    return shuffled(entries, seed=_ORDER_SEED)


def fit_archs(costs: CostTable, count: int = FIT_NETWORKS) -> list[Arch]:
    """The archs whose whole networks every build measures."""
    return random_archs(costs.space, count, seed=_FIT_SEED)


def make_kit(
    folder: Path,
    entries: Sequence[Entry],
    all_costs: Sequence[CostTable],
    runtime: Runtime,
    *,
    effort: Effort,
    progress: Progress | None = None,
) -> None:
    """Write a kit of these networks into `folder`."""
    runtime.require(running=False)
    export = runtime.exporter()
    prepare = getattr(export, "prepare", None)
    if prepare is not None:
        prepare([unit.spec for entry in entries for unit in entry.plan.units])
    write_kit(
        folder,
        entries,
        runtime=runtime.name,
        export=export,
        spaces=[describe(costs) for costs in all_costs],
        runs=effort.runs,
        progress=_part(progress, "exporting"),
    )


def reference_entry(all_costs: Sequence[CostTable]) -> Entry:
    """The network that the others are compared with; the same in a build and its validation.

    It is small, so that it costs little to run again and again, but not the smallest.
    """
    archs = [(costs, arch) for costs in all_costs for arch in fit_archs(costs)]
    archs.sort(key=lambda one: count_plan(plan_of(*one)).macs["exact"])
    costs, arch = archs[len(archs) // _REFERENCE_RANK]
    (entry,) = whole_entries(costs, [arch], role=REFERENCE, rounds=0)
    return entry


def describe(costs: CostTable) -> dict[str, str]:
    """The space as kits and tables tell it: name, hash, skeleton."""
    skeleton = costs.options.get("skeleton", costs.space.skeleton)
    return {
        "name": costs.space.name,
        "hash": costs.space.hash,
        "skeleton": load_skeleton(skeleton).name,
    }


def run_kit(
    folder: Path, runtime: Runtime, *, threads: int, progress: Progress | None = None
) -> Results:
    """Measure a kit on this machine, or go on with it, and return the results.

    Raises:
        LatencyError: the results are of another kit or machine.
        MeasuringStoppedError: the runtime fails, or the results cannot be written.
    """
    before = torch.get_num_threads()
    try:
        measure(
            Kit.load(folder),
            folder / RESULTS,
            threads=threads,
            prepare=runtime.prepare(),
            progress=_part(progress, "measuring"),
        )
    except StoppedError as error:
        raise MeasuringStoppedError(str(error)) from error
    except MeasureError as error:
        raise LatencyError(str(error)) from None
    finally:
        torch.set_num_threads(before)  # which the runtime torch has set
    return read_results(folder / RESULTS)


def build_table(
    all_costs: Sequence[CostTable],
    *,
    runtime: str,
    name: str,
    work: str | Path,
    threads: int = 1,
    device: str | None = None,
    effort: Effort | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> LatencyTable:
    """Measure the units of some spaces on this machine; goes on where it was killed.

    Args:
        all_costs: of the spaces.
        runtime: which one.
        name: of this device.
        work: the run's folder, with the kit and what was measured so far.
        threads: that the runtime uses.
        device: the device in words.
        effort: how much is measured.
        force: delete what an earlier run left in the folder.
        progress: told of every step.

    Raises:
        MissingExtraError: the runtime is not installed.
        RunFolderError: the folder holds the measurement of something else.
        LatencyError: there are fewer processors than threads.
        MeasuringStoppedError: the runtime fails, or the results cannot be written; started again
            it goes on.
    """
    work, effort = Path(work), effort or Effort()
    chosen = get_runtime(runtime)
    chosen.require(running=True)
    try:
        check_threads(threads)  # before networks are made that could not be measured
    except MeasureError as error:
        raise LatencyError(str(error)) from None
    wanted = {
        "runtime": runtime,
        "spaces": [describe(costs) for costs in all_costs],
        "threads": threads,
        **vars(effort),
    }
    if not _taken_up(work, wanted, name=name, force=force):
        entries = build_entries(all_costs, chosen, effort=effort)
        make_kit(work, entries, all_costs, chosen, effort=effort, progress=progress)
    results = run_kit(work, chosen, threads=threads, progress=progress)
    return table_of(results, all_costs, name=name, device=device)


def may_replace(work: str | Path, name: str) -> bool:
    """Whether a measurement was begun in the folder with `force`, for a device of this name.

    Raises:
        RunFolderError: what the folder says of itself is damaged.
    """
    note = Path(work) / _NOTE
    return note.is_file() and _noted(note).get(_REPLACES) == name


def _taken_up(work: Path, wanted: dict[str, Any], *, name: str, force: bool) -> bool:
    """Whether the folder holds a kit of this very run to go on with; makes it if it is new."""
    note = work / _NOTE
    if force and note.is_file():
        try:
            with locked(work):
                for file in (KIT, MODELS, RESULTS, _NOTE):
                    (work / file).unlink(missing_ok=True)
                shutil.rmtree(work / "validation", ignore_errors=True)
        except MeasureError as error:  # another process is measuring into it
            raise LatencyError(str(error)) from None
    if note.is_file():
        found = _noted(note)
        different = [f"{key} {found.get(key)}, not {value}" for key, value in wanted.items()
                     if found.get(key) != value]  # fmt: skip
        if different:
            raise RunFolderError(
                f"{work} holds another measurement ({'; '.join(different)}); "
                "give another --work, or --force to delete it"
            )
    elif work.is_dir() and not all(file.name.startswith(".run~") for file in work.iterdir()):
        raise RunFolderError(f"{work} is not empty and no measurement; give another --work")
    else:
        replaces = {_REPLACES: name} if force else {}
        atomic_write(note, json.dumps({**wanted, **replaces}, indent=1) + "\n")
    return (work / KIT).is_file() and (work / MODELS).is_file()


def _noted(note: Path) -> dict[str, Any]:
    """What the note says that the folder is of.

    Raises:
        RunFolderError: it is damaged.
    """
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise RunFolderError(
            f"{note} is damaged; give --force to delete the measurement, or another --work"
        )
    return found


def _part(progress: Progress | None, title: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(title, done, total)
