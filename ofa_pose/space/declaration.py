"""A search space written out and read back: what is made of it needs no file but its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ofa_pose.errors import SpaceError
from ofa_pose.space.choice import Choice
from ofa_pose.space.faults import explain_all
from ofa_pose.space.frozen import thaw
from ofa_pose.space.space import SearchSpace

Text = Annotated[str, Field(min_length=1)]
Whole = Annotated[int, Field(ge=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A part of a document that a program writes: all keys are known, no value is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PixelSection(Section):
    """How pixels are normalised, RGB in 0..255 units."""

    mean: Annotated[list[Finite], Field(min_length=3, max_length=3)]
    std: Annotated[list[Positive], Field(min_length=3, max_length=3)]


class ChoiceSection(Section):
    """The actual values of a choice."""

    values: Annotated[list[Whole], Field(min_length=1)]


class DeclarationSection(Section):
    """A search space, whole, in the form of a space's own YAML file."""

    format: Literal[1]
    name: Text
    family: Text
    description: str
    skeleton: Text
    pixels: PixelSection
    choices: Annotated[dict[str, ChoiceSection], Field(min_length=1)]
    network: dict[str, Any]
    archs: dict[str, dict[str, int]]
    tiers: dict[str, str]
    recipe: dict[str, Any]


def declare_space(space: SearchSpace) -> dict[str, Any]:
    """Return a space in the form of its own YAML file, choices as actual values."""
    return {
        "format": 1,
        "name": space.name,
        "family": space.family,
        "description": space.description,
        "skeleton": space.skeleton,
        "pixels": {"mean": list(space.pixel_mean), "std": list(space.pixel_std)},
        "choices": {choice.name: {"values": list(choice.values)} for choice in space.choices},
        "network": thaw(space.network),
        "archs": thaw(space.archs),
        "tiers": thaw(space.tiers),
        "recipe": thaw(space.recipe),
    }


def restore_space(declaration: Mapping[str, Any] | DeclarationSection) -> SearchSpace:
    """Return the space of which `declare_space` gave the declaration.

    What is asked of a space's own file beyond that, such as resolutions of a multiple of 16, is
    not asked here: a space that is made in Python need not keep to it.

    Raises:
        SpaceError: keys or values that no declaration has, all of them in the message on one
            line, or a space that contradicts itself.
        ArchError: a named arch is not in the space.
    """
    try:
        section = DeclarationSection.model_validate(declaration)
    except ValidationError as error:
        raise SpaceError("; ".join(explain_all(error, DeclarationSection))) from None
    try:
        return _space_of(section)
    except RecursionError:
        raise SpaceError("it is nested too deeply, or an alias holds itself") from None


def _space_of(section: DeclarationSection) -> SearchSpace:
    mean, std = section.pixels.mean, section.pixels.std
    return SearchSpace(
        name=section.name,
        family=section.family,
        description=section.description,
        skeleton=section.skeleton,
        choices=tuple(
            Choice(name, tuple(choice.values)) for name, choice in section.choices.items()
        ),
        network=section.network,
        pixel_mean=(mean[0], mean[1], mean[2]),
        pixel_std=(std[0], std[1], std[2]),
        archs=section.archs,  # pyright: ignore[reportArgumentType]
        tiers=section.tiers,
        recipe=section.recipe,
    )
