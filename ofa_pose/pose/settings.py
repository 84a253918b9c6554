"""The constants of decoding: what was published, with its source, and what may be set."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Literal, get_args

from ofa_pose.errors import UsageError, suggest

Mode = Literal["fast", "reference"]


@dataclass(frozen=True)
class Constant:
    """One published number.

    Attributes:
        value: the number.
        source: the paper, or the option or function of its code, that it comes from.
    """

    value: float
    source: str


PUBLISHED = {
    "window": Constant(5, "HigherHRNet's code, option TEST.NMS_KERNEL"),
    "max_people": Constant(30, "HigherHRNet's code, option DATASET.MAX_NUM_PEOPLE"),
    "threshold": Constant(0.1, "HigherHRNet's code, option TEST.DETECTION_THRESHOLD"),
    "tag_distance": Constant(1.0, "HigherHRNet's code, option TEST.TAG_THRESHOLD"),
    "round_weight": Constant(100.0, "Newell et al. 2017, their code's match_by_tag"),
    "shift": Constant(0.25, "Newell et al. 2016, section 3.1: a quarter of a cell"),
    "centre": Constant(0.5, "HigherHRNet's code, HeatmapParser.adjust: cells are areas"),
}
"""Every number in the published decoder. The order of the joints is the skeleton's."""

SCORING = 3
"""Raised whenever the same network comes to another AP on the same pictures."""


@dataclass(frozen=True)
class DecodeSettings:
    """How maps become people; the defaults are the published constants (`PUBLISHED`).

    Attributes:
        mode: "fast" finds what "reference" finds, but looks at the maps as the network gives
            them and computes the full-size maps only where a joint may be. It differs in three
            points: of equal costs it takes the one that gives high candidates to people of high
            joints that are near in the picture, unless tags speak against it (the published cost
            leaves it to the solver), of equally high cells in a window the first in reading order
            stays, and a joint moves to the top of a parabola instead of a quarter of a cell.
            "reference" takes the published steps one by one over maps of the input's size.
        window: odd side, in pixels of the network's input, of the square in which only one
            candidate may stand.
        max_people: candidates a joint, and people that joints are matched with; further people
            may only begin.
        threshold: heatmap value that a candidate must exceed.
        tag_distance: joints this far from a person's mean tag are not theirs.
        refine: look for the joints that grouping missed.
        best: return only so many people, those of highest score; None returns everybody, as
            published. A poor network finds hundreds, and AP counts 20 a picture.

    Raises:
        UsageError: a value that cannot work.
    """

    mode: Mode = "fast"
    window: int = int(PUBLISHED["window"].value)
    max_people: int = int(PUBLISHED["max_people"].value)
    threshold: float = PUBLISHED["threshold"].value
    tag_distance: float = PUBLISHED["tag_distance"].value
    refine: bool = True
    best: int | None = None

    def __post_init__(self) -> None:
        modes = get_args(Mode)
        if self.mode not in modes:
            raise UsageError(f"no decoding mode {self.mode!r}{suggest(str(self.mode), modes)}")
        for name in ("window", "max_people", *(["best"] if self.best is not None else [])):
            _require(name, getattr(self, name), Integral, "a whole number")
        for name in ("threshold", "tag_distance"):
            _require(name, getattr(self, name), Real, "a number")
            if not getattr(self, name) >= 0:  # so that NaN is refused too
                raise UsageError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.window < 1 or self.window % 2 == 0:
            raise UsageError(f"decoding window must be odd and positive, got {self.window}")
        if self.max_people < 1:
            raise UsageError(f"max_people must be at least 1, got {self.max_people}")
        if self.best is not None and self.best < 1:
            raise UsageError(f"best must be at least 1 person, got {self.best}")


def _require(name: str, value: object, kind: type, called: str) -> None:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UsageError(f"{name} of decoding must be {called}, got {value!r}")


SCORED = DecodeSettings(best=20)
"""What an AP is measured with: it counts the best 20 people a picture, so the rest need not be."""
