"""The results.csv of a measurement, read and checked."""

from __future__ import annotations

import csv
import math
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from ofa_pose.cost import UnitLatency
from ofa_pose.cost.latency_schema import CoveredSpace
from ofa_pose.errors import LatencyError, OfaPoseError
from ofa_pose.latency.measuring.errors import MeasureError
from ofa_pose.latency.measuring.journal import COLUMNS, WHOLE, read_head
from ofa_pose.latency.measuring.machine import Machine
from ofa_pose.models import UnitSpec

_UNDISTURBED = 0.1


@dataclass(frozen=True)
class Row:
    """One line: what one thing took in one round, in times of the reference network's.

    `reference_ms` is what the reference itself took in that moment.
    """

    network: str
    round: int
    unit: str
    key: str
    runs: int
    median: float
    min: float
    iqr: float
    reference_ms: float

    @property
    def role(self) -> str:
        """Why its network was measured: `cover`, `alone`, `fit` or `check`."""
        return self.network.rpartition("-")[0]

    @property
    def of_unit(self) -> bool:
        """Whether its key is a unit's, not a whole network's."""
        return self.unit != WHOLE or self.role == "alone"


@dataclass(frozen=True)
class Results:
    """A whole results file.

    Attributes:
        head: its first line.
        machine: where it was measured.
        spaces: whose networks were measured.
        rows: its lines.
        known_reference_ms: what the reference network takes, where an earlier measurement has
            told; default: what it took in this one.
    """

    head: dict[str, Any]
    machine: Machine
    spaces: tuple[CoveredSpace, ...]
    rows: tuple[Row, ...]
    known_reference_ms: float | None = None

    @property
    def rounds(self) -> int:
        """How many there were."""
        return 1 + max((row.round for row in self.rows), default=-1)

    @property
    def steps_done(self) -> int:
        """How many turns of networks it holds."""
        return len({(row.network, row.round) for row in self.rows})

    def check_finished(self) -> None:
        """Check that every network had all its turns.

        Raises:
            LatencyError: the measurement was stopped before that, or had more.
        """
        done, steps = self.steps_done, self.head["steps"]
        if done > steps:
            raise LatencyError(f"the measurement is damaged: {done:,} of {steps:,} steps are done")
        if done < steps:
            raise LatencyError(
                f"the measurement is not finished: {done:,} of {steps:,} steps are done; "
                "start measure.py (or `ofa-pose latency build`) again on the device, where it goes "
                "on, and then copy results.csv here again"
            )

    @property
    def reference_ms(self) -> float:
        """What times of the reference network are multiplied by, in ms."""
        return self.known_reference_ms or self.own_reference_ms

    @cached_property
    def own_reference_ms(self) -> float:
        """What the reference network takes while the machine is left alone: its lowest tenth."""
        times = [row.reference_ms for row in self.rows if row.unit == WHOLE]
        return float(np.quantile(times, _UNDISTURBED)) if times else 1.0

    @cached_property
    def slowdown(self) -> float:
        """How many times as long the reference network took, in the median, as at the best."""
        times = [row.reference_ms for row in self.rows if row.unit == WHOLE]
        return float(np.median(times)) / self.own_reference_ms if times else 1.0

    def units(self) -> list[UnitLatency]:
        """Every unit's time: where it stands in networks, or alone where nothing else is known.

        A unit's median is that of its rounds and networks' medians.
        """
        inside = [row for row in self.rows if row.role == "cover" and row.unit != WHOLE]
        return self._summed_up(inside or [row for row in self.rows if row.role == "alone"])

    def alone(self) -> list[UnitLatency]:
        """The times of units that were measured as networks of their own."""
        return self._summed_up(row for row in self.rows if row.role == "alone")

    def networks(self, role: str, *, rounds: Container[int] | None = None) -> dict[str, float]:
        """Whole networks' times in ms by name: the median of their rounds' medians."""
        times: dict[str, list[float]] = {}
        for row in self.rows:
            if row.role == role and row.unit == WHOLE and (rounds is None or row.round in rounds):
                times.setdefault(row.key, []).append(self.reference_ms * row.median)
        return {key: float(np.median(values)) for key, values in times.items()}

    def _summed_up(self, rows: Iterable[Row]) -> list[UnitLatency]:
        by_key: dict[str, list[Row]] = {}
        for row in rows:
            by_key.setdefault(row.key, []).append(row)
        scale = self.reference_ms
        return [
            UnitLatency(
                key,
                _rounded(scale * np.median([row.median for row in group])),
                _rounded(scale * min(row.min for row in group)),
                _rounded(scale * np.median([row.iqr for row in group])),
                sum(row.runs for row in group),
            )
            for key, group in sorted(by_key.items())
        ]


def _rounded(value: float | np.floating) -> float:
    return float(f"{value:.6g}")


def read_results(path: str | Path) -> Results:
    """Read a results file.

    Raises:
        LatencyError: it is missing, cut off, of another format, from two machines, or its first
            line or a row cannot be used; the message names the line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        head = read_head(text, source=path)
    except OSError as error:
        raise LatencyError(f"cannot read {path}: {error.strerror or error}") from error
    except (MeasureError, UnicodeDecodeError):
        raise LatencyError(
            f"{path} is not a results file that measure.py of this version wrote"
        ) from None
    machine = Machine(**head["machine"])
    spaces = _spaces(head, machine, path)
    rows: dict[tuple[str, int, str], Row] = {}
    places: dict[tuple[str, int, str], str] = {}
    for number, line in enumerate(text.splitlines()[1:], 2):
        where = f"{path}, line {number}"
        try:
            cells = next(csv.reader([line]), [])
        except csv.Error as error:
            raise LatencyError(f"{where}: {error}") from None
        if tuple(cells) == COLUMNS:
            continue
        if cells and cells[0].startswith("#"):
            raise _two_machines(where)
        if len(cells) != len(COLUMNS):
            raise LatencyError(
                f"{where}: {len(cells)} cells, expected {len(COLUMNS)}; cut off? Start measure.py "
                "again on the device, which mends the file, and then copy it here again"
            )
        if cells[0] != machine.id:
            raise _two_machines(where)
        try:
            row = _row(cells)
        except (OfaPoseError, ValueError) as error:
            raise LatencyError(f"{where}: {error}") from None
        place = row.network, row.round, row.unit
        if place in rows:
            raise LatencyError(f"{where}: {row.unit} of {row.network} stands twice in one round")
        rows[place], places[place] = row, where
    results = Results(head, machine, spaces, tuple(rows.values()))
    if results.steps_done >= head["steps"]:
        _check_rounds(places)
    return results


def _spaces(head: Mapping[str, Any], machine: Machine, path: Path) -> tuple[CoveredSpace, ...]:
    """The spaces of the first line, once it and the machine hold what a table needs."""
    texts = {name: fact for name, fact in vars(machine).items() if name != "threads"}
    wholes = {"threads": machine.threads, "steps": head["steps"], "runs": head["runs"]}
    wrong = [name for name, fact in texts.items() if not (isinstance(fact, str) and fact)]
    wrong += [name for name, fact in wholes.items() if not (isinstance(fact, int) and fact > 0)]
    if wrong:
        raise LatencyError(f"{path}, line 1: damaged: {', '.join(wrong)} cannot be used")
    try:
        return tuple(CoveredSpace(**space) for space in head["spaces"])
    except (TypeError, ValidationError):
        raise LatencyError(
            f"{path}, line 1: damaged: spaces is a list of mappings with name, hash and skeleton"
        ) from None


def _check_rounds(places: Mapping[tuple[str, int, str], str]) -> None:
    """Refuse a round of a network where one before it is missing though all steps are done."""
    rounds: dict[str, set[int]] = {}
    for network, round_, _ in places:
        rounds.setdefault(network, set()).add(round_)
    for (network, round_, _), where in places.items():
        if round_ >= len(rounds[network]):
            raise LatencyError(
                f"{where}: round {round_} of {network}, which has {len(rounds[network])} rounds, "
                "counted from 0"
            )


def _two_machines(where: str) -> LatencyError:
    return LatencyError(
        f"{where}: from here on it was measured on another machine than what stands before; "
        "import every machine's file by itself"
    )


def _row(cells: list[str]) -> Row:
    _, network, round_, unit, key, runs, *figures = cells
    median, shortest, spread, reference_ms = map(float, figures)
    if not (math.isfinite(spread) and spread >= 0):
        raise ValueError(f"iqr is 0 or more, not {spread!r}")
    times = {"median": median, "min": shortest, "reference_ms": reference_ms}
    for name, value in times.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} is a positive number, not {value!r}")
    row = Row(network, int(round_), unit, key, int(runs), median, shortest, spread, reference_ms)
    if row.round < 0:
        raise ValueError(f"round is 0 or more, not {row.round}")
    if row.runs < 1:
        raise ValueError(f"runs is 1 or more, not {row.runs}")
    if row.of_unit:
        UnitSpec.parse(key)
    return row
