"""What a latency table says of itself: the schema of its YAML file."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ofa_pose.errors import LatencyError

FORMAT = 1
"""Version of the schema; a table of another is refused."""

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Text = Annotated[str, Field(min_length=1)]
Whole = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class RuntimeSection(_Section):
    """What ran the networks."""

    name: Text
    version: Text


class KindModel(_Section):
    """What a unit of one kind adds to a network: `scale` · its median + `each_ms`."""

    scale: Positive = 1.0
    each_ms: float = 0.0


class ModelSection(_Section):
    """How the times of units become the time of a network: `intercept_ms` + the units' parts.

    A kind that is not listed adds its median as it is.
    """

    intercept_ms: float = 0.0
    kinds: dict[str, KindModel] = Field(default_factory=dict)

    def contribution(self, kind: str, median_ms: float) -> float:
        """What a unit adds to its network, in ms."""
        model = self.kinds.get(kind)
        return median_ms if model is None else model.scale * median_ms + model.each_ms


class ErrorFigures(_Section):
    """How far predictions are from measured whole networks.

    Attributes:
        mape: mean absolute error as a fraction of the measured time.
        within_10: fraction of the networks that are predicted within 10 %.
        spearman: rank correlation.
        largest: the largest absolute error as a fraction.
    """

    mape: Share
    within_10: Annotated[float, Field(ge=0, le=1)] | None = None
    spearman: Annotated[float, Field(ge=-1, le=1)] | None = None
    largest: Share | None = None


class ValidationSection(ErrorFigures):
    """The table against whole networks that it was not made from.

    Attributes:
        networks: how many.
        plain_sum: the same for the plain sum of units measured alone.
        noise_floor: the same for a second measurement of the same networks.
        reference_drift: by how much longer the reference network took than when the table was
            made, as a fraction; the figures are free of it.
    """

    networks: Whole
    plain_sum: ErrorFigures | None = None
    noise_floor: ErrorFigures | None = None
    reference_drift: float | None = None


class CoveredSpace(_Section):
    """A space all of whose units were measured; `hash` is `SearchSpace.hash`.

    `validation` is on its networks alone, where a table covers several spaces.
    """

    name: Text
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    skeleton: Text
    validation: ValidationSection | None = None


class AdaptedSection(_Section):
    """Where an adapted table comes from: nobody measured its units.

    Attributes:
        table: the name of the table that was adapted.
        points: how many whole networks were measured on the other device.
        form: which relation between the two devices was fitted.
        leave_one_out: every point predicted by the others alone.
    """

    table: Name
    points: Whole
    form: Text
    leave_one_out: ErrorFigures


class TableInfo(_Section):
    """The YAML of a latency table.

    Attributes:
        name: of the table; also of its files.
        device: what it was measured on, in words; or, of an adapted table, predicts.
        processor: of the device.
        runtime: what ran the networks.
        threads: that the runtime used; None only where nobody knows, of an adapted table.
        precision: of weights and activations.
        layout: of activations in memory.
        date: of the measurement.
        method: how it was measured, in a sentence.
        reference_ms: what the reference network took, that everything was measured relative to.
        spaces: those whose every unit it holds.
        model: how units add up.
        validation: against whole networks; None where nobody has done it.
        adapted: None for a table that was measured.
        rows_sha256: SHA-256 of the CSV file; where it is given, another CSV is refused.
    """

    format: Literal[1] = FORMAT
    name: Name
    device: Text
    processor: Text
    runtime: RuntimeSection
    threads: Whole | None = None
    precision: Text = "float32"
    layout: Text = "NCHW"
    date: datetime.date
    method: Text
    reference_ms: Positive | None = None
    spaces: tuple[CoveredSpace, ...] = Field(default=(), strict=False)
    model: ModelSection = Field(default_factory=ModelSection)
    validation: ValidationSection | None = None
    adapted: AdaptedSection | None = None
    rows_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None

    @model_validator(mode="after")
    def _measured_with_threads(self) -> TableInfo:
        if self.adapted is None and self.threads is None:
            raise ValueError("threads is missing, and the table was measured, not adapted")
        return self

    def document(self) -> dict[str, Any]:
        """Return plain values for YAML; what is not known is left out."""
        return self.model_dump(exclude_none=True)


def check_format(data: Mapping[Any, Any], *, source: str) -> None:
    """Refuse another version of the schema before its keys are looked at.

    Raises:
        LatencyError: there is no version, or another.
    """
    found = data.get("format")
    if found != FORMAT:
        raise LatencyError(
            f"{source}: latency table format {found!r}; this version of ofa_pose reads format "
            f"{FORMAT}"
        )
