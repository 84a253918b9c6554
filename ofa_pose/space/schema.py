"""The YAML schema of a search space: every fault is found at once and shown with file and key."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ofa_pose.errors import SpaceError, suggest
from ofa_pose.space.choice import LARGEST_VALUE, Choice
from ofa_pose.space.document import Document, Location, read_document
from ofa_pose.space.faults import Faults, short
from ofa_pose.space.space import IMAGENET_MEAN, IMAGENET_STD, SearchSpace, arch_faults

RESOLUTION_MULTIPLE = 16
"""What a resolution must be a multiple of, unless the choice gives its own `divisor`."""

DEFAULT_SKELETON = "crowdpose"
"""Whose joints a space that names no skeleton predicts."""

RESERVED_ARCHS = ("largest", "smallest")

RUN_FILES = ("config", "best", "last")
"""What a run's own files are called; a tier of the name would overwrite them."""


def _distinct(values: list[Any]) -> list[Any]:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"{', '.join(map(str, twice))} stands twice in {values}")
    return values


def _shares(ratios: list[float]) -> list[float]:
    wrong = [ratio for ratio in ratios if not 0 < ratio <= 1]
    if wrong:
        listed = ", ".join(map(str, wrong))
        raise ValueError(f"a ratio is above 0 and at most 1, not {listed}; base is the full width")
    return ratios


Whole = Annotated[int, Field(ge=1, le=LARGEST_VALUE)]
Positive = Annotated[float, Field(gt=0)]
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _SpaceSection(_Section):
    """The top level; what is inside its mappings is read section by section."""

    format: Literal[1]
    name: Name
    family: Name
    description: str = ""
    skeleton: Annotated[str, Field(min_length=1)] = DEFAULT_SKELETON
    pixels: dict[Any, Any] = Field(default_factory=dict)
    choices: Annotated[dict[Any, Any], Field(min_length=1)]
    network: dict[Any, Any] = Field(default_factory=dict)
    archs: dict[Any, Any] = Field(default_factory=dict)
    tiers: dict[Any, Any] = Field(default_factory=dict)
    recipe: dict[Any, Any] = Field(default_factory=dict)


class _PixelSection(_Section):
    """How inputs are normalised, RGB, in 0..255 units."""

    mean: Annotated[list[float], Field(min_length=3, max_length=3)] = list(IMAGENET_MEAN)
    std: Annotated[list[Positive], Field(min_length=3, max_length=3)] = list(IMAGENET_STD)


class _ChoiceSection(_Section):
    """Either plain `values`, or a `base` width with `ratios` of it."""

    values: Annotated[list[Whole], Field(min_length=1), AfterValidator(_distinct)] | None = None
    base: Whole | None = None
    ratios: (
        Annotated[
            list[float], Field(min_length=1), AfterValidator(_distinct), AfterValidator(_shares)
        ]
        | None
    ) = None
    divisor: Whole | None = None

    @model_validator(mode="after")
    def _one_form(self) -> _ChoiceSection:
        if self.values is None and (self.base is None or self.ratios is None):
            raise ValueError("give either values, or both base and ratios")
        if self.values is not None and (self.base is not None or self.ratios is not None):
            raise ValueError("give either values, or base and ratios, not both")
        if self.values is not None and self.divisor is not None:
            wrong = [str(value) for value in self.values if value % self.divisor]
            if wrong:
                raise ValueError(f"not a multiple of {self.divisor}: {', '.join(wrong)}")
        return self

    def choice(self, name: str) -> Choice:
        if self.values is not None:
            return Choice(name, tuple(self.values))
        if self.base is None or self.ratios is None:
            raise SpaceError(f"choice {name!r} has neither values nor base and ratios")
        return Choice.from_ratios(name, self.base, ratios=self.ratios, divisor=self.divisor or 8)


def read_space(path: str | Path) -> SearchSpace:
    """Read a search space from a YAML file; its skeleton's file is looked for from its folder.

    Raises:
        SpaceError: the file cannot be read or breaks the schema; every fault is in the message,
            one a line, with its line number and key.
    """
    path = Path(path)
    space = _space_of(read_document(path))
    return dataclasses.replace(space, skeleton=_from_folder(path.parent, space.skeleton))


def read_sound_parts(path: str | Path) -> tuple[SearchSpace, bool]:
    """Read what is sound of a space that `read_space` refuses, so that the rest is checked, too.

    Named archs are left out, and the recipes' `resolutions` where that choice is not sound; so are
    recipes with a fault of their own.

    Returns:
        The space, and whether its choices and its network are sound and whole.

    Raises:
        SpaceError: the file cannot be read, or its choices span too many archs.
    """
    path = Path(path)
    document = read_document(path)
    data, faults = document.data, Faults(document)
    network, family, skeleton = _mapping(data, "network"), data.get("family"), data.get("skeleton")
    _check_plain(network, ("network",), faults)
    choices = _read_choices(_mapping(data, "choices"), faults)
    _check_network(network, choices, faults)
    sound = {name: choice for name, choice in choices.items() if choice is not None}
    tiers, recipe = _mapping(data, "tiers").items(), _mapping(data, "recipe")
    space = SearchSpace(
        name=path.stem,
        family=family if isinstance(family, str) else "",
        choices=tuple({"resolution": Choice("resolution", (1,)), **sound}.values()),
        network={} if faults else network,
        skeleton=(
            _from_folder(path.parent, skeleton)
            if isinstance(skeleton, str) and skeleton
            else DEFAULT_SKELETON
        ),
        tiers={str(name): budget for name, budget in tiers if _may_be_budget(budget)},
        recipe=_sound_recipe(recipe, document, resolutions="resolution" in sound),
    )
    return space, not faults and bool(space.family)


def _sound_recipe(
    recipe: Mapping[Any, Any], document: Document, *, resolutions: bool
) -> Mapping[Any, Any]:
    faults = Faults(document)
    _check_plain(recipe, ("recipe",), faults)
    if faults or resolutions:
        return {} if faults else recipe
    return {
        stage: {key: value for key, value in keys.items() if key != "resolutions"}
        for stage, keys in recipe.items()
        if isinstance(keys, Mapping)
    }


def _from_folder(folder: Path, skeleton: str) -> str:
    """Return a skeleton's name as it is, and the path of its file in full."""
    path = Path(skeleton)
    if path.suffix not in {".yaml", ".yml"} and path.name == skeleton:
        return skeleton
    return str((folder / path.expanduser()).resolve())


def _space_of(document: Document) -> SearchSpace:
    path, data, faults = document.path, document.data, Faults(document)
    for location in document.repeated:
        faults.add(location, "this key stands twice in one mapping")
    _check_plain(data, (), faults)
    top = faults.section(_SpaceSection, data, ())
    pixels = faults.section(_PixelSection, data.get("pixels", {}), ("pixels",))
    choices = _read_choices(_mapping(data, "choices"), faults)
    _check_network(_mapping(data, "network"), choices, faults)
    _check_archs(_mapping(data, "archs"), choices, faults)
    _check_tiers(_mapping(data, "tiers"), faults)
    faults.refuse()
    if top is None or pixels is None:
        raise SpaceError(f"{path}: breaks the schema of a search space")
    try:
        return SearchSpace(
            choices=tuple(choice for choice in choices.values() if choice is not None),
            pixel_mean=(pixels.mean[0], pixels.mean[1], pixels.mean[2]),
            pixel_std=(pixels.std[0], pixels.std[1], pixels.std[2]),
            **top.model_dump(exclude={"format", "choices", "pixels"}),
        )
    except SpaceError as error:
        raise SpaceError(f"{path}: {error}") from error


def _mapping(data: Mapping[Any, Any], key: str) -> Mapping[Any, Any]:
    """Return the mapping under `key`; empty when there is none (the top level reports that)."""
    value = data.get(key)
    return value if isinstance(value, Mapping) else {}


def _check_plain(value: Any, location: Location, faults: Faults) -> None:
    """Every key is text and every leaf a number, text, true, false or null."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                kind = type(key).__name__
                faults.add(
                    (*location, str(key)), f"YAML reads this key as {kind}; put it in quotes"
                )
            _check_plain(item, (*location, str(key)), faults)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            _check_plain(item, (*location, position), faults)
    elif not isinstance(value, bool | int | float | str | None):
        message = f"YAML reads this value as {type(value).__name__}; put it in quotes"
        faults.add(location, message)


def _read_choices(raw: Mapping[Any, Any], faults: Faults) -> dict[str, Choice | None]:
    """Return the choices by name; None for one that has a fault."""
    choices: dict[str, Choice | None] = {}
    for key, data in raw.items():
        name, location = str(key), ("choices", str(key))
        if not name.isidentifier():
            faults.add(location, "the name of a choice is letters, digits and underscores")
        if name == "resolution" and isinstance(data, dict) and "ratios" not in data:
            data = {"divisor": RESOLUTION_MULTIPLE, **data}
        section = faults.section(_ChoiceSection, data, location)
        choices[name] = None if section is None else section.choice(name)
    if choices and "resolution" not in choices:
        faults.add(("choices",), "there is no choice 'resolution', which every space needs")
    return choices


def _check_network(
    network: Mapping[Any, Any], choices: Mapping[str, Choice | None], faults: Faults
) -> None:
    """Every text in `network` names a choice, and every choice but resolution is named there."""
    used = {"resolution"}
    for location, name in _texts(network, ("network",)):
        used.add(name)
        if name not in choices:
            faults.add(location, f"unknown choice {name!r}{suggest(name, choices)}")
    for name in choices:
        if name not in used:
            faults.add(("choices", name), f"choice {name!r} is never used in network")


def _check_archs(
    archs: Mapping[Any, Any], choices: Mapping[str, Choice | None], faults: Faults
) -> None:
    for name, arch in archs.items():
        location = ("archs", str(name))
        if name in RESERVED_ARCHS:
            faults.add(location, f"this name is kept for the {name} arch of the space")
        _check_file_name(str(name), location, faults)
        if not isinstance(arch, Mapping):
            faults.add(location, f"a mapping of choices to values is expected, not {short(arch)}")
            continue
        for message in arch_faults(choices, arch):
            faults.add(location, message)


def _check_tiers(tiers: Mapping[Any, Any], faults: Faults) -> None:
    for name, budget in tiers.items():
        _check_file_name(str(name), ("tiers", str(name)), faults)
        if not _may_be_budget(budget):
            message = f"a budget with its unit is expected, such as 1.2G, not {short(budget)}"
            faults.add(("tiers", str(name)), message)


def _may_be_budget(value: Any) -> bool:
    return isinstance(value, str) and value[:1].isdigit()


def run_file(name: str) -> str | None:
    """Return which of a run's own files a tier of this name would overwrite, if it would."""
    key = file_key(name)
    return key if key in RUN_FILES else None


def file_stem(name: str) -> str:
    """Return the name of a tier's files, without suffix: the tier's, made safe for any disk."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "tier"


def file_key(name: str) -> str:
    """Return what two tiers have in common that would overwrite each other's files.

    Case does not count on every disk, so it does not count here.
    """
    return file_stem(name).lower()


def _check_file_name(name: str, location: Location, faults: Faults) -> None:
    kept = run_file(name)
    if kept is not None:
        faults.add(location, f"this name is kept for the file {kept!r} of a run's folder")


def _texts(value: Any, location: Location) -> Iterator[tuple[Location, str]]:
    """Yield every text inside a nested value with where it stands."""
    if isinstance(value, str):
        yield location, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, (*location, str(key)))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _texts(item, (*location, position))
