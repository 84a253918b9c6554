"""What `latency build`, `validate`, `bundle` and `import` do and tell."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_pose.catalog import latency_table_names, load_space
from ofa_pose.cli import _console
from ofa_pose.cli._latency_tables import summary
from ofa_pose.cli._progress import Meter
from ofa_pose.errors import UsageError

if TYPE_CHECKING:
    from ofa_pose.cost import CostTable, LatencyTable
    from ofa_pose.cost.latency_schema import ErrorFigures
    from ofa_pose.latency import Validation
    from ofa_pose.latency.measuring.machine import Machine
    from ofa_pose.space import SearchSpace


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
    from ofa_pose.skeleton import load_skeleton

    options: dict[str, Any] = {} if skeleton is None else {"skeleton": load_skeleton(skeleton)}
    return [CostTable(space, **options) for space in spaces]


@dataclass(frozen=True)
class Measurement:
    """What is to be measured on this machine, and where it goes."""

    spaces: Sequence[SearchSpace]
    runtime: str
    name: str
    threads: int
    skeleton: str | None
    out: Path
    work: Path | None

    def build(
        self,
        *,
        device: str | None,
        rounds: int,
        networks: int,
        seed: int,
        force: bool,
        as_json: bool,
    ) -> None:
        """Measure, make the table, validate it on `networks` networks (0: do not), write it."""
        from ofa_pose.latency import Effort, build_table
        from ofa_pose.latency.measuring.machine import this_machine
        from ofa_pose.latency.runtimes import get_runtime

        check_name(self.name)
        get_runtime(self.runtime).require(running=True)
        table_name = f"{self.name}-{self.runtime}"
        here = this_machine(self.runtime, threads=self.threads)
        refuse_taken(table_name, self.out, here, force=force)
        work = self.work or Path("runs") / f"latency-{table_name}"
        costs = _all_costs(self.spaces, self.skeleton)
        with Meters() as progress:
            table = build_table(
                costs,
                runtime=self.runtime,
                name=self.name,
                work=work,
                threads=self.threads,
                device=device,
                effort=Effort(rounds=rounds),
                force=force,
                progress=progress,
            )
        if not networks:
            _tell_table(table, table.save(self.out), as_json=as_json)
            return
        if not (self.out / f"{table_name}.yaml").exists():
            table.save(self.out)  # there even if the validation is stopped
        table, validation = _validated(
            table,
            costs,
            work=work / "validation" / f"{networks}-of-seed-{seed}",
            networks=networks,
            seed=seed,
        )
        path = table.save(self.out)
        tell_validation(table, validation, path, as_json=as_json)


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

    table = LatencyTable.load(name)
    known = {space.name: space.skeleton for space in table.info.spaces}
    chosen = spaces or [load_space(space) for space in known]
    costs = [
        costs
        for space in chosen
        for costs in _all_costs([space], skeleton or _other(known.get(space.name), space))
    ]
    with tempfile.TemporaryDirectory() as folder:
        table, validation = _validated(
            table, costs, work=work or Path(folder), networks=networks, seed=seed
        )
    tell_validation(table, validation, None, as_json=as_json)


def _other(skeleton: str | None, space: SearchSpace) -> str | None:
    """The skeleton, if it is another than the space's own."""
    return None if skeleton == space.skeleton else skeleton


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


def import_table(
    results: Path,
    *,
    name: str,
    device: str | None,
    spaces: Sequence[SearchSpace],
    out: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Make the table of a results file and tell where it lies."""
    from ofa_pose.latency import import_results
    from ofa_pose.latency.results import read_results

    check_name(name)
    table = import_results(results, name=name, device=device, spaces=spaces)
    refuse_taken(table.name, out, read_results(results).machine, force=force)
    _tell_table(table, table.save(out), as_json=as_json)


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


def refuse_taken(name: str, folder: Path, machine: Machine, *, force: bool) -> None:
    """Refuse to give a table the name of one that was measured elsewhere or otherwise.

    Raises:
        UsageError: the name is taken, in `folder` or among the tables that are known by name.
        LatencyError: the table that has it cannot be read.
    """
    from ofa_pose.cost.latency_files import read_info

    if force:
        return
    new = (machine.processor, machine.version, machine.threads)
    for path in dict.fromkeys((folder / f"{name}.yaml", latency_table_names().get(name))):
        if path is None or not path.is_file():
            continue
        info = read_info(path)
        if info.adapted is not None or (info.processor, info.runtime.version, info.threads) != new:
            raise UsageError(
                f"{path} is of {info.device} ({info.processor}, {info.runtime.name} "
                f"{info.runtime.version}, threads {info.threads}), the new table of "
                f"{machine.processor}, {machine.runtime} {machine.version}, threads "
                f"{machine.threads}; give another --name, or --force to take this one"
            )


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


def _tell_table(table: LatencyTable, path: Path, *, as_json: bool) -> None:
    if as_json:
        _console.emit_json({**summary(table), "file": path})
        return
    _console.line(f"wrote {path}: {len(table.rows):,} units of {table.info.device}")


def tell_validation(
    table: LatencyTable, validation: Validation, path: Path | None, *, as_json: bool
) -> None:
    """Print how far the table, the plain sum and a second measurement are from the first."""
    if as_json:
        _console.emit_json({**summary(table), "file": path})
        return
    for space in dict.fromkeys(validation.spaces.tolist()):
        one = validation.of(space)
        section = one.section()
        rows = [
            _row(f"table {table.name}", section),
            _row("plain sum of units measured alone", section.plain_sum),
            _row("the same, scaled to these networks", one.scaled_plain_sum()),
            _row("the same networks measured twice", section.noise_floor),
        ]
        headers = ("error of", "mean", "within 10 %", "Spearman", "largest")
        _console.table(headers, rows, title=f"{section.networks} held-out networks of {space}")
    drift = validation.reference_drift
    if drift is not None:
        _console.line(
            f"the reference network took {abs(drift):.1%} {'more' if drift > 0 else 'less'} than "
            "when the table was made; the figures are free of that"
        )
    if path is not None:
        _console.line(f"wrote {path}")


def _row(name: str, figures: ErrorFigures | None) -> tuple[Any, ...]:
    if figures is None:
        return (name, "-", "-", "-", "-")
    spearman = "-" if figures.spearman is None else f"{figures.spearman:.4f}"
    within, largest = figures.within_10, figures.largest
    return (name, f"{figures.mape:.2%}", _percent(within), spearman, _percent(largest))


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
