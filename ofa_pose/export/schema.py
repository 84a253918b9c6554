"""What a tier's YAML may hold: pydantic models, every fault reported with file and key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator

from ofa_pose.errors import UsageError
from ofa_pose.space.declaration import (
    DeclarationSection,
    Finite,
    PixelSection,
    Positive,
    Section,
    Text,
    Whole,
)
from ofa_pose.space.document import NOT_A_VALUE
from ofa_pose.space.faults import explain_all

FORMAT = 1

Count = Annotated[int, Field(ge=0)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class SpaceSection(Section):
    """The space a tier belongs to; `hash` covers what gives weights their meaning."""

    name: Text
    hash: Hash
    declaration: DeclarationSection


class SkeletonSection(Section):
    """The joints a tier predicts, whole; numbers are positions in `joints`."""

    name: Text
    joints: list[Text]
    flip: list[Count]
    limbs: list[Annotated[list[Count], Field(min_length=2, max_length=2)]]
    sigmas: list[Positive]
    matching_order: list[Count]
    area_rule: Literal["annotated", "bbox0.53"]
    aliases: list[list[Text]] = []
    synthetic: list[list[Annotated[tuple[Text, Finite], Field(strict=False)]]] = []


class MacsSection(Section):
    """Multiply-accumulates, by convention."""

    exact: Count
    paper: Count
    thop: Count


class CostSection(Section):
    """What the network costs for one picture at its resolution."""

    macs: MacsSection
    params: Count
    peak_memory_bytes: Count
    latency_ms: dict[Text, Positive] = Field(default_factory=dict)


class WeightsSection(Section):
    """The weights' file, beside the YAML, and the SHA-256 of its bytes."""

    file: Text
    sha256: Sha256

    @field_validator("file")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if value != Path(value).name or "\\" in value or value in {".", ".."}:
            raise ValueError("must be the name of a file beside the YAML, without a folder")
        return value


class TierFile(Section):
    """A tier's YAML document."""

    format: Literal[1]
    kind: Literal["tier"]
    name: Text
    arch: dict[str, int]
    resolution: Whole
    budget: str
    costs: CostSection
    scores: dict[str, dict[str, Finite]]
    seed: int
    weights: WeightsSection
    package_version: Text
    created_by: str
    pixels: PixelSection
    skeleton: SkeletonSection | None = None
    options: dict[str, bool | int | float | str]
    space: SpaceSection

    @field_validator("options")
    @classmethod
    def _others(cls, value: dict[str, Any]) -> dict[str, Any]:
        if "skeleton" in value:
            raise ValueError("the skeleton is a section of its own and no option")
        return value


def check_document(document: Any, *, source: str | Path) -> TierFile:
    """Return the checked document.

    Raises:
        UsageError: not a tier, another format version, or keys and values that the schema
            refuses; all of them are in the message.
    """
    if not isinstance(document, dict) or document.get("kind") != "tier":
        raise UsageError(f"{source}: is not a tier file (no 'kind: tier' in it)")
    if document.get("format") != FORMAT:
        raise UsageError(
            f"{source}: tier format {document.get('format')!r}; this version of ofa_pose reads "
            f"format {FORMAT}"
        )
    try:
        return TierFile.model_validate(document)
    except ValidationError as error:
        raise UsageError(f"{source}: {'; '.join(explain_all(error, TierFile))}") from None


def read_tier_file(path: Path) -> TierFile:
    """Read and check a tier's YAML.

    Raises:
        UsageError: absent, not YAML, or as in `check_document`.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"no tier file at {path}") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise UsageError(f"{path}: is not text; give the tier's .yaml, not its weights") from None
    except (yaml.YAMLError, RecursionError, *NOT_A_VALUE) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise UsageError(f"{path}: is not valid YAML{where}") from None
    return check_document(document, source=path)
