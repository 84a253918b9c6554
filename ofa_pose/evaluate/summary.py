"""Scores as people are used to see them: the block that COCO's tools print, a Markdown table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_DETECTIONS = 20
_RANGES = {"": "0.50:0.95", "50": "0.50", "75": "0.75"}
_CROWDED = ("easy", "medium", "hard")


def summary_block(
    scores: Mapping[str, float], *, crowd_cuts: tuple[float, float] | None
) -> list[str]:
    """Return the lines that pycocotools prints of COCO's ten numbers, or CrowdPose's of its nine.

    Args:
        scores: of `pose.evaluate_predictions`.
        crowd_cuts: what parted easy, medium and hard, which a last line tells; None for COCO.
    """
    lines = [_line(name, value, crowded=crowd_cuts is not None) for name, value in scores.items()]
    if crowd_cuts is not None:
        easy, medium = crowd_cuts
        lines.append(
            f"easy: crowdIndex below {easy:g}; medium: {easy:g} to below {medium:g}; "
            f"hard: {medium:g} and above"
        )
    return lines


def markdown_table(facts: Mapping[str, str], scores: Mapping[str, float]) -> list[str]:
    """Return a table of one line in Markdown: facts, then scores in percent; `-` for none.

    Args:
        facts: heading to text.
        scores: heading to fraction; below 0 where there is nobody of that kind.
    """
    cells = {name: f"{100 * value:.1f}" if value >= 0 else "-" for name, value in scores.items()}
    row = {**facts, **cells}
    rule = ["---"] * len(facts) + ["---:"] * len(cells)
    return [_row(row), _row(rule), _row(row.values())]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _line(name: str, value: float, *, crowded: bool) -> str:
    metric, rest = name[:2], name[2:].strip("_")
    title = "Average Precision" if metric == "AP" else "Average Recall"
    what, kind = "area", "all"
    if rest and rest not in _RANGES:
        what, kind = ("type" if crowded and rest in _CROWDED else "area"), rest
        rest = ""
    return (
        f" {title:<18} ({metric}) @[ IoU={_RANGES[rest]:<9} | {what}={kind:>6} | "
        f"maxDets={_DETECTIONS:>3} ] = {value:0.3f}"
    )
