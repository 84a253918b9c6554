"""What `latency build`, `validate`, `bundle` and `import` do and tell."""

from __future__ import annotations

import logging
import re
import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_pose.catalog import load_space
from ofa_pose.cli import _console
from ofa_pose.cli._latency_tables import infos_of_name
from ofa_pose.cli._latency_verdicts import (
    AFTER_BUILD,
    AFTER_IMPORT,
    Fit,
    tell_table,
    tell_validation,
)
from ofa_pose.cli._options import joints
from ofa_pose.cli._progress import Meter
from ofa_pose.errors import LatencyError, RunFolderError, UsageError, listing

if TYPE_CHECKING:
    from ofa_pose.cost import CostTable, LatencyTable
    from ofa_pose.cost.latency_schema import TableInfo
    from ofa_pose.latency import Validation
    from ofa_pose.latency.measuring.machine import Machine
    from ofa_pose.space import SearchSpace

_LOG = logging.getLogger(__name__)


class Meters:
    """A meter for each part of a job: exporting, measuring; a context manager."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._title = ""
        self._meter: Meter | None = None

    def __enter__(self) -> Callable[[str, int, int], None]:
        return self._show

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _show(self, title: str, done: int, total: int) -> None:
        if self._meter is None or title != self._title:
            self._stack.close()
            self._title = title
            self._meter = self._stack.enter_context(Meter(title))
        self._meter.show(done, total)


def _all_costs(spaces: Sequence[SearchSpace], skeleton: str | None) -> list[CostTable]:
    from ofa_pose.cost import CostTable

    return [CostTable(space, **joints(skeleton)) for space in _distinct(spaces)]


def _distinct(spaces: Sequence[SearchSpace]) -> list[SearchSpace]:
    """Each space once.

    Raises:
        UsageError: two of one name differ; networks are told apart by their space's name.
    """
    found: dict[str, SearchSpace] = {}
    for space in spaces:
        if found.setdefault(space.name, space).hash != space.hash:
            raise UsageError(f"two different spaces called {space.name!r} were given; rename one")
    return list(found.values())


def make_table(
    spaces: Sequence[SearchSpace],
    runtime: str,
    name: str,
    *,
    threads: int,
    skeleton: str | None,
    out: Path,
    work: Path | None,
    device: str | None,
    rounds: int,
    networks: int,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Measure, make the table, validate it on `networks` networks (0: do not), write it."""
    from ofa_pose.latency import Effort, build_table
    from ofa_pose.latency.build import describe, may_replace
    from ofa_pose.latency.measuring.kit import RESULTS
    from ofa_pose.latency.measuring.machine import this_machine
    from ofa_pose.latency.results import read_results
    from ofa_pose.latency.runtimes import get_runtime
    from ofa_pose.latency.validate import held_out_archs

    check_name(name)
    get_runtime(runtime).require(running=True)
    table_name = f"{name}-{runtime}"
    here = this_machine(runtime, threads=threads)
    costs = _all_costs(spaces, skeleton)
    covered = [describe(one) for one in costs]
    work = work or Path("runs") / f"latency-{table_name}"
    refuse_taken(table_name, out, here, covered, force=force or may_replace(work, name))
    _check_writable(out)
    with Meters() as progress:
        table = build_table(
            costs,
            runtime=runtime,
            name=name,
            work=work,
            threads=threads,
            device=device or _described(table_name, out, here),
            effort=Effort(rounds=rounds),
            force=force,
            progress=progress,
        )
    fit = Fit.of(table, read_results(work / RESULTS), costs)
    if networks and not any(held_out_archs(one, count=1, seed=seed) for one in costs):
        _LOG.warning("not validated: every network was measured for the table")
        networks = 0
    if not networks:
        path = table.save(out)
        tell_table(table, costs, path, fit, advice=AFTER_BUILD, as_json=as_json)
        return
    fit.warn(table.name, "the validation that follows tells how far off it is")
    if not (out / f"{table_name}.yaml").exists():
        table.save(out)  # there even if the validation is stopped
    table, validation = _validated(
        table,
        costs,
        work=work / "validation" / f"{networks}-of-seed-{seed}",
        networks=networks,
        seed=seed,
    )
    path = table.save(out)
    tell_validation(table, costs, validation, path, as_json=as_json)


def validate_table(
    name: str,
    spaces: Sequence[SearchSpace],
    *,
    skeleton: str | None,
    networks: int,
    work: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Measure held-out networks and tell how far the table is from them."""
    from ofa_pose.cost import LatencyTable
    from ofa_pose.latency.bundle import costs_with

    table = LatencyTable.load(name)
    known = {space.name: space.skeleton for space in table.info.spaces}
    chosen = _distinct(spaces) or [load_space(space) for space in known]
    if skeleton is not None:
        costs = _all_costs(chosen, skeleton)
    else:
        costs = [costs_with(space, known.get(space.name, space.skeleton)) for space in chosen]
    with tempfile.TemporaryDirectory() as folder:
        table, validation = _validated(
            table, costs, work=work or Path(folder), networks=networks, seed=seed
        )
    tell_validation(table, costs, validation, None, as_json=as_json)


def make_bundle(
    spaces: Sequence[SearchSpace],
    runtime: str,
    out: Path,
    *,
    skeleton: str | None,
    rounds: int,
    as_json: bool,
) -> None:
    """Write a bundle and tell what to do with it."""
    from ofa_pose.latency import Effort, write_bundle
    from ofa_pose.latency.measuring.kit import RESULTS

    with Meters() as progress:
        write_bundle(
            out,
            _all_costs(spaces, skeleton),
            runtime=runtime,
            effort=Effort(rounds=rounds),
            progress=progress,
        )
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    if as_json:
        _console.emit_json({"folder": out, "runtime": runtime, "bytes": size})
        return
    _console.line(
        f"wrote {out} ({size / 1e6:.1f} MB); copy it to the device and read its README.md"
    )
    _console.line(
        "next: python3 measure.py in it, on the device; then here: ofa-pose latency import "
        f"{shlex.quote(str(out / RESULTS))} --name DEVICE"
    )


def import_table(
    results: Path,
    *,
    name: str,
    device: str | None,
    spaces: Sequence[SearchSpace],
    skeleton: str | None,
    out: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Make the table of a results file and tell where it lies."""
    from ofa_pose.latency.bundle import read_measured, table_of_measured

    check_name(name)
    skeletons = list(joints(skeleton).values())
    measured, costs = read_measured(results, spaces, skeletons=skeletons)
    machine = measured.machine
    table_name = f"{name}-{machine.runtime}"
    covered = [space.model_dump() for space in measured.spaces]
    refuse_taken(table_name, out, machine, covered, force=force)
    device = device or _described(table_name, out, machine)
    table = table_of_measured(results, measured, costs, name=name, device=device)
    fit = Fit.of(table, measured, costs)
    path = table.save(out)
    tell_table(table, costs, path, fit, advice=AFTER_IMPORT, as_json=as_json)


def check_name(name: str) -> None:
    """Refuse a name that cannot be part of a file's name, before anything is measured.

    Raises:
        UsageError: it holds other signs than letters, digits, dots, dashes and underscores.
    """
    from ofa_pose.cost.latency_schema import NAME_PATTERN

    if not re.fullmatch(NAME_PATTERN, name):
        raise UsageError(
            f"--name {name!r}: a table's name starts with a letter or digit and holds only "
            "letters, digits, dots, dashes and underscores, such as my-laptop"
        )


def refuse_taken(
    name: str,
    folder: Path,
    machine: Machine,
    spaces: Sequence[Mapping[str, Any]],
    *,
    force: bool,
) -> None:
    """Refuse to give a table the name of one that was measured elsewhere or otherwise.

    Args:
        name: of the new table.
        folder: of its files.
        machine: where it is measured.
        spaces: name, hash and skeleton of those that it covers.
        force: refuse nothing.

    Raises:
        UsageError: the name is taken, in `folder` or among the tables that are known by name.
        LatencyError: the table that has it cannot be read.
    """
    if force:
        return
    wanted = {_identity(space) for space in spaces}
    for path, info in infos_of_name(name, folder):
        if not _is_of(info, machine):
            raise UsageError(
                f"{path} is of {info.device} ({info.processor}, {info.runtime.name} "
                f"{info.runtime.version}, threads {info.threads}), the new table of "
                f"{machine.processor}, {machine.runtime} {machine.version}, threads "
                f"{machine.threads}; give another --name, or --force to take this one"
            )
        found = [_identity(space.model_dump()) for space in info.spaces]
        if set(found) != wanted:
            raise UsageError(
                f"{path} covers {listing(map(' '.join, found))}, the new table "
                f"{listing(map(' '.join, sorted(wanted)))}; give another --name, or --force to "
                "replace this one"
            )


def _is_of(info: TableInfo, machine: Machine) -> bool:
    """Whether a table was measured on such a machine with this runtime."""
    known = info.processor, info.runtime.version, info.threads
    new = machine.processor, machine.version, machine.threads
    return info.adapted is None and known == new


def _identity(space: Mapping[str, Any]) -> tuple[str, str, str]:
    return space["name"], space["hash"], space["skeleton"]


def _described(name: str, folder: Path, machine: Machine) -> str | None:
    """How an earlier table of this name and machine describes the device."""
    from ofa_pose.cost.latency_files import read_info

    try:
        info = read_info(folder / f"{name}.yaml")
    except LatencyError:
        return None
    return info.device if _is_of(info, machine) else None


def _check_writable(folder: Path) -> None:
    """Make the folder and try to write into it, before minutes are spent on measuring.

    Raises:
        RunFolderError: it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RunFolderError(f"cannot write --out {folder}: {error.strerror or error}") from error


def _validated(
    table: LatencyTable,
    costs: Sequence[CostTable],
    *,
    work: Path,
    networks: int,
    seed: int,
) -> tuple[LatencyTable, Validation]:
    from ofa_pose.latency import validate

    with Meters() as progress:
        validation = validate(
            table, costs, work=work, networks=networks, seed=seed, progress=progress
        )
    covered = tuple(
        space.model_copy(update={"validation": validation.of(space.name).section()})
        if space.name in validation.spaces
        else space
        for space in table.info.spaces
    )
    changes = {"validation": validation.section(), "spaces": covered}
    return replace(table, info=table.info.model_copy(update=changes)), validation
