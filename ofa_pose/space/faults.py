"""What is wrong with a document, gathered, placed by line and key, and put in one message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from ofa_pose.errors import SpaceError, suggest
from ofa_pose.space.document import Document, Location

M = TypeVar("M", bound=BaseModel)

_EXPECTED = {
    "bool_type": "true or false is expected",
    "dict_type": "a mapping is expected",
    "finite_number": "a finite number is expected",
    "float_type": "a number is expected",
    "int_type": "a whole number is expected",
    "list_type": "a list is expected",
    "model_type": "a mapping is expected",
    "string_type": "text is expected",
}


class Faults:
    """Gathers the faults of one document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._found: list[tuple[int, str]] = []

    def __bool__(self) -> bool:
        """Whether anything was found."""
        return bool(self._found)

    def add(self, location: Location, message: str) -> None:
        """Add a fault; its line is that of `location` or of the closest key around it."""
        line = self.document.line(location)
        parts = ["" if line is None else f"line {line}", spell(location), message]
        fault = (line or 0, ": ".join(part for part in parts if part))
        if fault not in self._found:
            self._found.append(fault)

    def section(self, model: type[M], data: Any, location: Location) -> M | None:
        """Validate one section; its faults are added and None is returned when it has any."""
        if not isinstance(data, Mapping):
            self.add(location, f"a mapping is expected, not {short(data)}")
            return None
        known = {key: value for key, value in data.items() if key in model.model_fields}
        for key in data:
            if key not in known:
                name = str(key)
                near = suggest(name, model.model_fields)
                self.add((*location, name), f"unknown key {name!r}{near}")
        try:
            section = model.model_validate(known)
        except ValidationError as error:
            for found in error.errors(include_url=False):
                self.add((*location, *found["loc"]), explain(found))
            return None
        return section if len(known) == len(data) else None

    def refuse(self) -> None:
        """Raise all that was found as one error, sorted by line.

        Raises:
            SpaceError: something was found.
        """
        faults = [text for _, text in sorted(self._found, key=lambda fault: fault[0])]
        if len(faults) == 1:
            raise SpaceError(f"{self.document.path}: {faults[0]}")
        if faults:
            head = f"{self.document.path} has {len(faults)} faults:"
            raise SpaceError("\n  ".join([head, *faults]))


def spell(location: Location) -> str:
    """Spell a location as `network.stages[2].width`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    return "".join(parts).lstrip(".")


def short(value: Any) -> str:
    """Return the value's text, cut to 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def explain_all(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return what pydantic found in a document, each fault after its key.

    Args:
        error: of the validation.
        model: that the document was held against, for a guess at what an unknown key was to be.
    """
    faults = []
    for found in error.errors(include_url=False):
        *outer, key = found["loc"] or ("",)
        unknown = found["type"] == "extra_forbidden"
        known = _keys_at(model, outer) if unknown else []
        guess = suggest(str(key), known) if known else ""
        faults.append(f"{spell(found['loc'])}: {explain(found)}{guess}".lstrip(": "))
    return faults


def _keys_at(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """Return the keys that a model knows at a place of the document."""
    kind: Any = model
    for part in location:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(str(part))
            kind = None if field is None else field.annotation
        else:  # a list's or a mapping's: what it holds comes last
            kind = (get_args(kind) or (None,))[-1]
    options = (kind, *get_args(kind))
    models = [one for one in options if isinstance(one, type) and issubclass(one, BaseModel)]
    return list(models[0].model_fields) if models else []


def explain(found: Any) -> str:
    """Put one of pydantic's errors in our words."""
    kind, limits = found["type"], found.get("ctx", {})
    if kind == "missing":
        return "this key is missing"
    if kind == "extra_forbidden":
        return "unknown key"
    if kind == "value_error":
        return str(limits["error"])
    if kind == "too_short":
        return f"at least {limits['min_length']} expected, not {short(found['input'])}"
    if kind == "too_long":
        return f"at most {limits['max_length']} expected, not {short(found['input'])}"
    text = _EXPECTED.get(kind) or found["msg"].replace("Input should", "it should")
    return f"{text[0].lower()}{text[1:]}, not {short(found['input'])}"
