"""The options of `search` and `health`, which both score archs on scenes, by name and type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ofa_pose.cli._sources import Making, Pictures

if TYPE_CHECKING:
    import typer

    from ofa_pose.models import Precision
    from ofa_pose.skeleton import Skeleton


@dataclass(frozen=True, kw_only=True)
class ScoringOptions:
    """What archs are scored on and with, by the names of the commands' parameters."""

    supernet: Path | None
    space: str | None
    skeleton: str | None
    scenes: int
    calibration_scenes: int
    data: Path | None
    annotations: Path | None
    images: Path | None
    data_skeleton: str | None
    split: str
    calibration: Path | None
    mosaic: int | None
    canvas: int
    batch_size: int
    device: str
    precision: Precision
    seed: int
    out: Path | None
    resume: bool
    force: bool
    as_json: bool

    @classmethod
    def of(cls, context: typer.Context) -> Self:
        """Pick them from what the command was called with."""
        return cls(**{field.name: context.params[field.name] for field in fields(cls)})

    @property
    def pictures(self) -> Pictures:
        """Where the photographs lie, if there are any."""
        return Pictures(self.data, self.annotations, self.images, self.data_skeleton)

    def making(self, skeleton: Skeleton) -> Making:
        """Return how scenes with these joints are made of the pictures."""
        return Making(skeleton, self.seed, self.mosaic, self.canvas)


@dataclass(frozen=True, kw_only=True)
class SearchOptions(ScoringOptions):
    """Those of `search`."""

    budget: Sequence[str] | None
    latency: Sequence[str] | None
    interpolate: bool
    axis: str | None
    evaluations: int
    strategy: str
    predictor: bool
    population: int | None
    offspring: int | None
    report: Path | None
    workers: str
    racing: bool
    baseline: bool
    finalists: int
    cache: float


@dataclass(frozen=True, kw_only=True)
class HealthOptions(ScoringOptions):
    """Those of `health`."""

    budget: str | None
    archs: int
    tuned: int
    steps: int
    workers: int
