"""`report.html`: everything a search found on one page that asks no other place for anything."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ofa_pose.files import atomic_write
from ofa_pose.report.drawing import draw_architecture
from ofa_pose.report.figures import draw_predictor, inline_svg
from ofa_pose.report.origin import Origin
from ofa_pose.search import Evaluation, SearchResult, best_uniform
from ofa_pose.search.evaluation import PARTS
from ofa_pose.search.plot import CostAxis, draw_front
from ofa_pose.space import Arch

_TEMPLATE = "report.html.j2"


@dataclass(frozen=True)
class Finalist:
    """One of the next best of a tier, beside its winner, on images that chose neither.

    Attributes:
        arch: which network.
        score: its objective.
        low: lower end of the 95 % interval of the winner's objective minus its; NaN: not known.
        high: upper end.
    """

    arch: Arch
    score: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether the images sufficed for an interval."""
        return _is_known((self.low, self.high))

    @property
    def tied(self) -> bool:
        """Whether neither it nor the winner is shown to be better, as where nothing is known."""
        return not (self.low > 0 or self.high < 0)

    @property
    def better(self) -> bool:
        """Whether it is shown to be better than the winner."""
        return self.high < 0


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the page shows.

    Attributes:
        result: of the search.
        axes: costs of the picture and the tables, most important first; the axes of the front.
        budgets: tier → its budget, as it is written.
        origin: how to do it again.
        reported: arch → its scores on images that chose nothing.
        gains: tier → the ends of the interval of the objective's difference, on those images,
            between the winner and the best uniformly scaled network; NaN: not known.
        baseline: the uniformly scaled networks.
        finals: tier → the next best, compared with the winner on the same images.
        options: the family's, for drawing networks, such as the skeleton.
        data: what the search and the report scores were measured on, one sentence each.
    """

    result: SearchResult
    axes: Sequence[CostAxis]
    budgets: Mapping[str, str]
    origin: Origin
    reported: Mapping[Arch, Mapping[str, float]] = field(default_factory=dict)
    gains: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    baseline: Sequence[Evaluation] = ()
    finals: Mapping[str, Sequence[Finalist]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    data: Sequence[str] = ()


@dataclass(frozen=True)
class _Cell:
    """One cell of the table: what it says, and what it is sorted by where that is a number."""

    text: str
    value: float | None = None


def write_report(path: str | Path, report: Report) -> None:
    """Write the page as one file, atomically.

    Names, paths and messages are escaped. A policy inside the page forbids every request, so a
    browser would block what a mistake let in.

    Raises:
        OfaPoseError: the file cannot be written.
        UnknownNameError: an axis is no cost of the search.
    """
    environment = Environment(
        loader=PackageLoader(__package__ or "ofa_pose.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template(_TEMPLATE).render(
        report=report,
        result=report.result,
        space=report.result.archive.space,
        front=_front(report),
        tiers=list(_cards(report)),
        columns=_columns(report),
        rows=list(_rows(report)),
        raced=_parts(report.result) > 1,
        predictor=_predictor(report.result),
        span=_span,
        notes=_notes(report.result),
        message=report.result.message[:1].upper() + report.result.message[1:],
    )
    atomic_write(path, text)


def _notes(result: SearchResult) -> list[str]:
    """Return the search's notes but for the predictor's, which has a part of its own."""
    own = result.predictor.summary if result.predictor is not None else ""
    return [note for note in result.notes if note != own]


def _front(report: Report) -> Markup:
    figure = draw_front(report.result, report.axes, baseline=report.baseline)
    return inline_svg(figure, "front")


def _predictor(result: SearchResult) -> Markup | None:
    if result.predictor is None:
        return None
    return inline_svg(draw_predictor(result.predictor, objective=result.objective), "predictor")


def _cards(report: Report) -> Iterator[dict[str, Any]]:
    """Yield what the template shows of each tier."""
    result = report.result
    space = result.archive.space
    uniform = best_uniform(result, report.baseline)
    for name, tier in result.tiers.items():
        rival = uniform.get(name)
        yield {
            "name": name,
            "budget": report.budgets.get(name, ""),
            "arch": tier.arch,
            "drawing": draw_architecture(space, tier.arch, **report.options),
            "costs": [(axis.label or axis.cost, _cost(tier.costs, axis)) for axis in report.axes],
            "search": _scored(result.objective, tier.scores),
            "report": _scored(result.objective, report.reported.get(tier.arch, {})),
            "scores": _both(tier.scores, report.reported.get(tier.arch, {})),
            "finals": report.finals.get(name, ()),
            "uniform": rival,
            "uniform_search": _scored(result.objective, {} if rival is None else rival.scores),
            "uniform_report": _scored(
                result.objective, {} if rival is None else report.reported.get(rival.arch, {})
            ),
            "gain": report.gains.get(name),
            "same": rival is not None and rival.arch == tier.arch,
        }


def _scored(objective: str, scores: Mapping[str, float]) -> str:
    """Return `0.321 (0.29–0.35)`, the interval where it is known; empty without a score."""
    if objective not in scores:
        return ""
    ends = [scores.get(f"{objective}_{end}", math.nan) for end in ("low", "high")]
    text = f"{scores[objective]:.3f}"
    return f"{text} ({ends[0]:.3f}–{ends[1]:.3f})" if _is_known(ends) else text


def _is_known(ends: Iterable[float]) -> bool:
    """Say whether an interval has ends: NaN stands for one that is not known."""
    return not any(map(math.isnan, ends))


def _span(low: float, high: float) -> str:
    """Return the interval of a difference, `+0.010 to +0.030`."""
    return f"{low:+.3f} to {high:+.3f}" if _is_known((low, high)) else "not known"


def _both(search: Mapping[str, float], reported: Mapping[str, float]) -> list[tuple[str, str, str]]:
    names = [name for name in dict.fromkeys([*search, *reported]) if name.startswith(("AP", "AR"))]
    plain = [name for name in names if not name.endswith(("_low", "_high"))]
    return [(name, _fraction(search.get(name)), _fraction(reported.get(name))) for name in plain]


def _fraction(value: float | None) -> str:
    """Print a score; -1 is how COCO's tools say that there was nobody to find."""
    return "–" if value is None or value < 0 else f"{value:.3f}"


def _columns(report: Report) -> list[str]:
    """Return the table's headings."""
    names = [choice.name for choice in report.result.archive.space.choices]
    costs = [axis.label or axis.cost for axis in report.axes]
    return ["#", "generation", "for", *names, *costs, report.result.objective, "95 %", "note"]


def _rows(report: Report) -> Iterator[tuple[str, list[_Cell]]]:
    """Yield a CSS class and the cells of every evaluated arch, the baseline's last."""
    result = report.result
    winners: dict[int, list[str]] = {}
    for name, tier in result.tiers.items():
        winners.setdefault(tier.evaluation.index, []).append(name)
    front = {row.index for row in result.front}
    parts = _parts(result)
    for row in result.archive:
        notes = [f"best of {', '.join(winners[row.index])}"] if row.index in winners else []
        notes += ["front"] if row.index in front else []
        notes += _dropped(row, parts)
        kind = "winner" if row.index in winners else "failed" if row.failed else ""
        yield kind, _cells(report, row, "; ".join([*notes, row.error]).strip("; "))
    for row in report.baseline:
        notes = ["one ratio everywhere", *_dropped(row, parts)]
        yield "uniform", _cells(report, row, row.error or "; ".join(notes))


def _parts(result: SearchResult) -> float:
    """Return how many parts of the images an arch sees in a race that it does not lose; else 0."""
    return max((row.scores.get(PARTS, 0.0) for row in result.archive), default=0.0)


def _dropped(row: Evaluation, parts: float) -> list[str]:
    """Return when an arch was dropped from a race, if it was."""
    seen = row.scores.get(PARTS, parts)
    return [f"dropped after part {seen:.0f} of {parts:.0f}"] if seen < parts else []


def _cells(report: Report, row: Evaluation, note: str) -> list[_Cell]:
    objective = report.result.objective
    score, low, high = (row.score(f"{objective}{end}") for end in ("", "_low", "_high"))
    interval = f"{low:.3f}–{high:.3f}" if low <= high else ""
    return [
        _Cell(str(row.order), row.order),
        _Cell(str(row.generation), row.generation),
        _Cell(row.tier),
        *(_Cell(str(value), value) for value in row.arch.values()),
        *(_Cell(_cost(row.costs, axis), row.costs.get(axis.cost)) for axis in report.axes),
        _Cell("failed" if row.failed else f"{score:.4f}", -1.0 if row.failed else score),
        _Cell(interval, high - low if interval else None),
        _Cell(note),
    ]


def _cost(costs: Mapping[str, float], axis: CostAxis) -> str:
    return _number(costs[axis.cost] / axis.unit) if axis.cost in costs else ""


def _number(value: float) -> str:
    """Print four digits: `276.7`, `0.9412`, `1,234`."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
