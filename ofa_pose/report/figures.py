"""Figures inside a page: SVG without anything that refers to another place."""

from __future__ import annotations

import io
import re

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from ofa_pose.search import AccuracyPredictor

_NAMESPACE = re.compile(r'\sxmlns(:\w+)?="[^"]*"')
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_POINT, _LINE = "#1f5f8b", "#6b705c"


def inline_svg(figure: Figure, name: str) -> Markup:
    """Return a figure as an SVG element of an HTML page, the same each time.

    Args:
        figure: whatever was drawn.
        name: tells its ids from those of the page's other figures.
    """
    stream = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        FigureCanvasSVG(figure).print_svg(stream, metadata=_NO_METADATA)
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    # Inside HTML the namespaces are known, and their names look like addresses.
    text = _NAMESPACE.sub("", text)
    text = re.sub(r'\s(width|height)="[\d.]+pt"', "", text, count=2)
    text = re.sub(r'id="([a-z]+_\d+)"', rf'id="{name}-\1"', text)
    return Markup(text)  # matplotlib escapes the texts that it draws


def draw_predictor(predictor: AccuracyPredictor, *, objective: str) -> Figure:
    """Draw what was predicted for each evaluation from all others against what was measured."""
    measured, predicted = predictor.scores, predictor.left_out
    low, high = (end(np.concatenate([measured, predicted])) for end in (np.min, np.max))
    edge = 0.04 * (high - low)
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    axes = figure.add_subplot()
    ends = (low - edge, high + edge)
    axes.plot(ends, ends, color=_LINE, linewidth=1, linestyle=(0, (4, 3)))
    axes.scatter(measured, predicted, s=18, color=_POINT, alpha=0.7, linewidths=0)
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    axes.set_xlabel(f"{objective}, measured", parse_math=False)
    axes.set_ylabel(f"{objective}, predicted from the others", parse_math=False)
    axes.grid(visible=True, color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure
