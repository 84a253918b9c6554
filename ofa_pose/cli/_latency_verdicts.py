"""How good a table that was just measured is, in words, and what to do with it."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_pose.cli import _console
from ofa_pose.cli._latency_tables import POOR, search_hint, summary
from ofa_pose.cli._searching import STARTER_SPACE
from ofa_pose.errors import listing

if TYPE_CHECKING:
    from ofa_pose.cost import CostTable, LatencyTable
    from ofa_pose.cost.latency_schema import ErrorFigures, ValidationSection
    from ofa_pose.latency import Validation
    from ofa_pose.latency.results import Results

RESTLESS = 0.05
"""Average difference of two measurements of the same networks above which a machine is busy."""

SLOWED = 1.15
"""How many times as long as at its best a device takes, in the median, before that is told."""

_EXAMPLE_MS = 30.0  # a budget, where it is told what to do with one

AFTER_VALIDATION = "measure again with more --rounds and nothing else running"
AFTER_BUILD = f"{AFTER_VALIDATION}, or see by `ofa-pose latency validate` how far off it is"
AFTER_IMPORT = (
    "measure again from a bundle of more --rounds, with nothing else running on the device, and "
    "see whether this stays; where the device has PyTorch, `ofa-pose latency validate` there tells "
    "how far off the table is"
)

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fit:
    """How far a table is from the whole networks that it was fitted to.

    Attributes:
        networks: how many there were.
        error: on them; None where there were none.
        twice: how far every other round of these networks is from the rest; None for one round.
        held: scales, by kind, that stand at the bound of what the fit allows.
        slowdown: how many times as long as at its best the device took for most of the time.
    """

    networks: int
    error: ErrorFigures | None
    twice: ErrorFigures | None
    held: Mapping[str, float]
    slowdown: float = 1.0

    @classmethod
    def of(cls, table: LatencyTable, results: Results, costs: Sequence[CostTable]) -> Fit:
        """The fit of a table that was made of these results."""
        from ofa_pose.latency.fit import held_at_bounds
        from ofa_pose.latency.tables import fit_error, fit_noise

        networks, error = fit_error(table, results, costs) or (0, None)
        held = held_at_bounds(table.info.model)
        return cls(networks, error, fit_noise(results), held, results.slowdown)

    def warn(self, name: str, advice: str) -> None:
        """Warn of scales at a bound, with what to do about it, and of a device that grew slow."""
        if self.slowdown > SLOWED:
            _LOG.warning(
                "latency table %s is of the device at its best, and for most of the measurement it "
                "took %.2f times as long, by heat or other work, as networks do where that lasts: "
                "divide a budget by that (for %g ms give %.3gms@%s), or cool the device, leave it "
                "alone and measure again",
                *(name, self.slowdown, _EXAMPLE_MS, _EXAMPLE_MS / self.slowdown, name),
            )
        if self.held:
            _LOG.warning(
                "latency table %s: the scale of %s stands at the bound of what the fit allows: "
                "units do not add up to the whole networks; %s",
                name,
                listing(f"{kind} ({scale:g})" for kind, scale in self.held.items()),
                advice,
            )

    def document(self) -> dict[str, Any]:
        """For JSON."""
        figures = {} if self.error is None else self.error.model_dump(exclude_none=True)
        twice = {} if self.twice is None else {"twice": self.twice.model_dump(exclude_none=True)}
        return {
            "networks": self.networks,
            **figures,
            **twice,
            "scales_at_bound": dict(self.held),
            "slowdown": self.slowdown,
        }

    def told(self) -> str:
        """In a line."""
        if self.error is None:
            return "it was fitted to no whole networks"
        return (
            f"error on {self.networks} whole networks: {self.error.mape:.1%} on average, "
            f"{self.error.largest or 0:.1%} at most; these are the networks that it was fitted "
            "to, on others it may be more"
        )


def tell_table(
    table: LatencyTable,
    costs: Sequence[CostTable],
    path: Path,
    fit: Fit,
    *,
    advice: str,
    as_json: bool,
) -> None:
    """Tell of a table that nobody has validated.

    Args:
        table: that was measured.
        costs: of its spaces.
        path: of its YAML.
        fit: how far it is from what it was fitted to.
        advice: what to do where that is far.
        as_json: for machines.
    """
    fit.warn(table.name, advice)
    _warn_restless(fit.twice)
    if as_json:
        _console.emit_json(
            {**summary(table.info, len(table.rows)), "file": path, "fit": fit.document()}
        )
        return
    _console.line(f"wrote {path}: {len(table.rows):,} units of {table.info.device}")
    _console.line(fit.told())
    trusted = not fit.held and not _poor(table.name, fit.error, advice)
    _tell_range(table, costs, path if trusted else None)


def tell_validation(
    table: LatencyTable,
    costs: Sequence[CostTable],
    validation: Validation,
    path: Path | None,
    *,
    as_json: bool,
) -> None:
    """Tell how far the table, the plain sum and a second measurement are from the first.

    Args:
        table: that was validated.
        costs: of the spaces it was validated on.
        validation: what was measured and predicted.
        path: of its YAML, if it was just made.
        as_json: for machines.
    """
    whole = validation.section()
    _warn_restless(whole.noise_floor)
    if as_json:
        _console.emit_json({**summary(table.info, len(table.rows)), "file": path})
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
    _console.line(verdict(table.name, whole))
    if path is not None:
        _console.line(f"wrote {path}")
    trusted = not _poor(table.name, whole, AFTER_VALIDATION)
    _tell_range(table, costs, path if trusted else None)


def verdict(name: str, section: ValidationSection) -> str:
    """Say in a sentence what the figures of a validation mean for a search."""
    told = f"{name} is off by {section.mape:.1%} on average, {section.largest or 0:.1%} at most"
    noise, plain = section.noise_floor, section.plain_sum
    if noise is not None and noise.mape > RESTLESS and section.mape <= 2 * noise.mape:
        told += f"; that may be the machine's own unrest, which is {noise.mape:.1%}"
    if plain is not None and plain.mape <= section.mape:
        told += f"; just adding up units measured alone is no worse ({plain.mape:.1%})"
    return told


def _warn_restless(twice: ErrorFigures | None) -> None:
    if twice is not None and twice.mape > RESTLESS:
        _LOG.warning(
            "the same networks measured twice differ by %.1f %% on average, more than %.0f %%: the "
            "machine was busy, or its clock moves; no table can be better than that; measure again "
            "with nothing else running and more --rounds",
            *(100 * twice.mape, 100 * RESTLESS),
        )


def _poor(name: str, error: ErrorFigures | None, advice: str) -> bool:
    """Whether a table is so far off that no search by it is suggested; warns if it is."""
    if error is None or error.mape <= POOR:
        return False
    _LOG.warning(
        "latency table %s is off by %.0f %% on average, more than %.0f %%: no search by it is to "
        "be trusted; %s",
        *(name, 100 * error.mape, 100 * POOR, advice),
    )
    return True


def _tell_range(table: LatencyTable, costs: Sequence[CostTable], path: Path | None) -> None:
    """Say which latencies there are to choose from and, with the table's path, how to search."""
    middles = {}
    for one in costs:
        times = table.predict_all(one)
        middles[one.space.name] = statistics.median(times.tolist())
        _console.line(
            f"{one.space.name}: its {len(times):,} archs take {_milliseconds(times.min())} to "
            f"{_milliseconds(times.max())} ms by this table"
        )
    if path is not None:
        space = STARTER_SPACE if STARTER_SPACE in middles else next(iter(middles))
        _console.line(f"next: {search_hint(path, space, milliseconds=middles[space])}")


def _row(name: str, figures: ErrorFigures | None) -> tuple[Any, ...]:
    if figures is None:
        return (name, "-", "-", "-", "-")
    spearman = "-" if figures.spearman is None else f"{figures.spearman:.4f}"
    within, largest = figures.within_10, figures.largest
    return (name, f"{figures.mape:.2%}", _percent(within), spearman, _percent(largest))


def _milliseconds(value: float) -> str:
    """Print three digits: `12.3`, `1,234`."""
    return f"{value:,.0f}" if value >= 999.5 else f"{value:.3g}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
