"""A YAML file with the line of every key, so that a fault can be shown where it stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ofa_pose.errors import SpaceError

try:
    from yaml import CSafeLoader as _SafeLoader
except ImportError:  # PyYAML built without libyaml
    from yaml import SafeLoader as _SafeLoader

Location = tuple[str | int, ...]

NOT_A_VALUE = (ValueError, AttributeError, KeyError, TypeError, OverflowError)
"""What PyYAML raises besides its own errors: for the 99th of a month, `!!int x`, and the like."""
_DEEPEST = 100  # libyaml's loader dies, with the process, of some ten thousand levels


class _Loader(_SafeLoader):  # pyright: ignore[reportGeneralTypeIssues]
    """Safe YAML in which `1e-3` is a number, as it is everywhere else (YAML 1.1 wants `1.0e-3`)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


@dataclass(frozen=True)
class Document:
    """A parsed YAML file.

    Attributes:
        data: the top-level mapping.
        lines: location → line number, from 1.
        repeated: locations of keys that stand twice in one mapping.
    """

    path: Path
    data: dict[Any, Any]
    lines: dict[Location, int]
    repeated: tuple[Location, ...]

    def line(self, location: Location) -> int | None:
        """Return the line of a location, or of the closest key around it."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location)


def read_document(path: Path, *, what: str = "a search space") -> Document:
    """Read a YAML file whose top level is a mapping; `what` names it in messages.

    Raises:
        SpaceError: the file is missing or unreadable, is no YAML, or is no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SpaceError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SpaceError(f"{path} is not UTF-8 text") from error
    return parse_document(text, path, what=what)


def parse_document(text: str, path: Path, *, what: str = "a search space") -> Document:
    """Read YAML text whose top level is a mapping; `path` names it in messages.

    Raises:
        SpaceError: it is no YAML, or no mapping.
    """
    loader = _Loader(text)
    lines: dict[Location, int] = {}
    repeated: list[Location] = []
    try:
        _check_depth(text, path)
        node = loader.get_single_node()
        if node is not None:
            _walk(node, (), lines, repeated)
        data = loader.construct_document(node) if node is not None else None
    except yaml.YAMLError as error:
        raise SpaceError(f"{path} is not YAML: {_one_line(error)}") from error
    except RecursionError as error:
        raise SpaceError(f"{path} is nested too deeply, or an alias holds itself") from error
    except NOT_A_VALUE as error:
        raise SpaceError(f"{path} holds a value that is none: {error}") from error
    finally:
        loader.dispose()
    if not isinstance(data, dict):
        found = "empty" if data is None else f"a {type(data).__name__}"
        raise SpaceError(f"{path} is {found}; {what} is a mapping of keys to values")
    return Document(path, data, lines, tuple(repeated))


def _check_depth(text: str, path: Path) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise SpaceError(f"{path} is nested too deeply")


def _walk(
    node: yaml.Node, location: Location, lines: dict[Location, int], repeated: list[Location]
) -> None:
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else "?"
            place = (*location, name)
            if name in seen and name != "<<":
                repeated.append(place)
            seen.add(name)
            lines[place] = key.start_mark.line + 1
            _walk(value, place, lines, repeated)
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            place = (*location, position)
            lines[place] = value.start_mark.line + 1
            _walk(value, place, lines, repeated)


def _one_line(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem or error.context}"
    return " ".join(str(error).split())
