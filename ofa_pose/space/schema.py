"""The YAML schema of a search space: every fault is found at once and shown with file and key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ofa_pose.errors import SpaceError, suggest
from ofa_pose.space.choice import Choice
from ofa_pose.space.document import Document, Location, read_document
from ofa_pose.space.space import IMAGENET_MEAN, IMAGENET_STD, SearchSpace, arch_faults

RESOLUTION_MULTIPLE = 16
"""What a resolution must be a multiple of, unless the choice gives its own `divisor`."""

Whole = Annotated[int, Field(ge=1)]
Triple = Annotated[list[float], Field(min_length=3, max_length=3)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
M = TypeVar("M", bound=BaseModel)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _SpaceSection(_Section):
    """The top level; the sections below it are read one by one."""

    format: Literal[1]
    name: Name
    family: Name
    description: str = ""
    skeleton: str = "crowdpose"
    pixels: dict[Any, Any] = Field(default_factory=dict)
    choices: Annotated[dict[str, Any], Field(min_length=1)]
    network: dict[str, Any] = Field(default_factory=dict)
    archs: dict[str, Any] = Field(default_factory=dict)
    tiers: dict[str, Any] = Field(default_factory=dict)
    recipe: dict[str, Any] = Field(default_factory=dict)


class _PixelSection(_Section):
    """How inputs are normalised, RGB, in 0..255 units."""

    mean: Triple = Field(default_factory=lambda: list(IMAGENET_MEAN))
    std: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=3, max_length=3)] = Field(
        default_factory=lambda: list(IMAGENET_STD)
    )


class _ChoiceSection(_Section):
    """Either plain `values`, or a `base` width with `ratios` of it."""

    values: Annotated[list[Whole], Field(min_length=1)] | None = None
    base: Whole | None = None
    ratios: Annotated[list[float], Field(min_length=1)] | None = None
    divisor: Whole | None = None

    @model_validator(mode="after")
    def _one_form(self) -> _ChoiceSection:
        if self.values is not None:
            if self.base is not None or self.ratios is not None:
                raise ValueError("give either values, or base and ratios, not both")
            if len(set(self.values)) < len(self.values):
                raise ValueError(f"a value stands twice in {self.values}")
            if self.divisor and any(value % self.divisor for value in self.values):
                raise ValueError(f"{self.values} are not all multiples of divisor {self.divisor}")
        elif self.base is None or self.ratios is None:
            raise ValueError("give either values, or both base and ratios")
        else:
            wrong = [ratio for ratio in self.ratios if not 0 < ratio <= 1]
            if wrong:
                raise ValueError(f"ratios are above 0 and at most 1, not {wrong}; raise base")
            if len(set(self.ratios)) < len(self.ratios):
                raise ValueError(f"a ratio stands twice in {self.ratios}")
        return self

    def choice(self, name: str) -> Choice:
        if self.values is not None:
            return Choice(name, tuple(self.values))
        return Choice.from_ratios(
            name, self.base or 1, ratios=self.ratios or (), divisor=self.divisor or 8
        )


class _Reader:
    """Reads the sections of a document and gathers what is wrong with them."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.faults: list[tuple[int, str]] = []

    def fault(self, location: Location, message: str) -> None:
        line = self.document.line(location)
        place = "" if line is None else f"line {line}: "
        key = f"{_spell(location)}: " if location else ""
        self.faults.append((line or 0, f"{place}{key}{message}"))

    def section(self, model: type[M], data: Any, location: Location) -> M | None:
        if not isinstance(data, dict):
            self.fault(location, f"a mapping is expected, not {_short(data)}")
            return None
        try:
            return model.model_validate(data)
        except ValidationError as error:
            for found in error.errors(include_url=False):
                self.fault((*location, *found["loc"]), _explain(model, found))
            return None

    def choices(self, raw: Any) -> dict[str, Choice | None]:
        if not isinstance(raw, dict):
            return {}
        choices: dict[str, Choice | None] = {}
        for name, data in raw.items():
            location = ("choices", str(name))
            if not str(name).isidentifier():
                self.fault(location, "a choice's name is letters, digits and underscores")
            if name == "resolution" and isinstance(data, dict):
                data = {"divisor": RESOLUTION_MULTIPLE, **data}
            section = self.section(_ChoiceSection, data, location)
            choices[str(name)] = None if section is None else section.choice(str(name))
        if choices and "resolution" not in choices:
            near = suggest("resolution", choices) if "resolution" not in choices else ""
            self.fault(
                ("choices",),
                "a choice called 'resolution' is needed: it belongs to the arch"
                + (near if "mean" in near else ""),
            )
        return choices

    def network(self, network: Any, names: Mapping[str, Choice | None]) -> None:
        if not isinstance(network, dict) or not names:
            return
        used = {"resolution"}
        for location, name in _strings(network, ("network",)):
            used.add(name)
            if name not in names:
                self.fault(location, f"unknown choice {name!r}{suggest(name, names)}")
        for name in names:
            if name not in used:
                self.fault(("choices", name), f"nothing in network uses choice {name!r}")

    def archs(self, archs: Any, choices: Mapping[str, Choice | None]) -> None:
        if not isinstance(archs, dict):
            return
        for name, arch in archs.items():
            location = ("archs", str(name))
            if name in ("largest", "smallest"):
                self.fault(location, f"{name!r} is kept for the {name} arch of the space")
            if not isinstance(arch, dict):
                self.fault(location, f"a mapping is expected, not {_short(arch)}")
                continue
            sound = [choice for choice in choices.values() if choice is not None]
            broken = {key for key, choice in choices.items() if choice is None}
            rest = {key: value for key, value in arch.items() if key not in broken}
            for message in arch_faults(sound, rest):
                self.fault(location, message)

    def tiers(self, tiers: Any) -> None:
        if not isinstance(tiers, dict):
            return
        for name, budget in tiers.items():
            if not isinstance(budget, str) or not budget[:1].isdigit():
                self.fault(
                    ("tiers", str(name)),
                    f"a budget with its unit is expected, such as 150M or 1.2G, not {budget!r}",
                )


def read_space(path: str | Path) -> SearchSpace:
    """Read a search space from a YAML file.

    Raises:
        SpaceError: the file cannot be read or breaks the schema; every fault is in the message,
            one a line, with its line number and key.
    """
    document = read_document(Path(path))
    data = document.data
    reader = _Reader(document)
    for location in document.repeated:
        reader.fault(location, "this key stands twice; the later one would win silently")
    top = reader.section(_SpaceSection, data, ())
    pixels = reader.section(_PixelSection, data.get("pixels", {}), ("pixels",))
    choices = reader.choices(data.get("choices"))
    reader.network(data.get("network", {}), choices)
    reader.archs(data.get("archs"), choices)
    reader.tiers(data.get("tiers"))
    if reader.faults or top is None or pixels is None:
        raise SpaceError(_message(document.path, sorted(set(reader.faults))))
    try:
        return SearchSpace(
            name=top.name,
            family=top.family,
            description=top.description,
            skeleton=top.skeleton,
            choices=tuple(choice for choice in choices.values() if choice is not None),
            network=top.network,
            pixel_mean=tuple(pixels.mean),  # pyright: ignore[reportArgumentType]
            pixel_std=tuple(pixels.std),  # pyright: ignore[reportArgumentType]
            archs=top.archs,
            tiers=top.tiers,
            recipe=top.recipe,
        )
    except SpaceError as error:
        raise SpaceError(f"{document.path}: {error}") from error


def _message(path: Path, faults: list[tuple[int, str]]) -> str:
    if len(faults) == 1:
        return f"{path}: {faults[0][1]}"
    return "\n  ".join([f"{path} has {len(faults)} faults:", *(text for _, text in faults)])


def _explain(model: type[BaseModel], found: Any) -> str:
    """Put one of pydantic's errors in our words."""
    kind, value = found["type"], found["input"]
    if kind == "extra_forbidden":
        name = str(found["loc"][-1])
        return f"unknown key {name!r}{suggest(name, model.model_fields)}"
    if kind == "missing":
        return "this key is missing"
    if kind == "value_error":
        return str(found["ctx"]["error"])
    text = found["msg"].replace("Input should", "it should").replace("dictionary", "mapping")
    return f"{text[0].lower()}{text[1:]}, not {_short(value)}"


def _strings(value: Any, location: Location) -> Iterator[tuple[Location, str]]:
    """Yield every string inside a nested value with where it stands."""
    if isinstance(value, str):
        yield location, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _strings(item, (*location, str(key)))
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            yield from _strings(item, (*location, position))


def _spell(location: Location) -> str:
    """Spell a location as `network.stages[2].width`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    return "".join(parts).lstrip(".")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
