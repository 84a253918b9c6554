"""What `--arch` accepts: a name, a key, `k=v,...`, a tier's YAML or a JSON file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_pose.cli._options import joints
from ofa_pose.errors import ArchError, suggest

if TYPE_CHECKING:
    from ofa_pose.space import Arch, SearchSpace

HELP = (
    "largest, smallest, random, a named arch of the space, its values joined by dashes, "
    "choice=value,..., a tier's YAML, or a JSON file (choices, or the published form)."
)


def parse_arch(space: SearchSpace, text: str, *, seed: int = 0) -> Arch:
    """Return the arch of `space` that `text` means.

    Args:
        space: whose arch is wanted.
        text: see `HELP`.
        seed: of the draw when the text is `random`.

    Raises:
        ArchError: it is not an arch of the space, or its file cannot be read.
        UnknownNameError: no arch has this name.
    """
    if text == "random":
        import numpy as np

        return space.sample(np.random.default_rng(seed))
    if _is_tier(text):
        from ofa_pose.export import load_tier

        return space.arch(load_tier(text).arch)
    if text.endswith(".json"):
        return _read_json(space, Path(text))
    if "=" in text:
        return space.arch(_pairs(space, text))
    return space.arch(text)


def options_of(text: str, skeleton: str | None) -> dict[str, Any]:
    """Return what a family builds the arch that `text` means with, beside the space.

    Args:
        text: see `HELP`.
        skeleton: as `--skeleton` gives it; without it a tier's networks have the tier's own.
    """
    if skeleton is None and _is_tier(text):
        from ofa_pose.export import load_tier

        return load_tier(text, check_weights=False).family_options
    return joints(skeleton)


def _is_tier(text: str) -> bool:
    return text.endswith((".yaml", ".yml"))


def _pairs(space: SearchSpace, text: str) -> dict[str, int]:
    names = [choice.name for choice in space.choices]
    values: dict[str, int] = {}
    for part in text.split(","):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        if not equals or not number.isdecimal():
            raise ArchError(f"cannot read {part!r} in --arch {text!r}; write choice=value,...")
        if name not in names:
            raise ArchError(f"unknown choice {name!r} in --arch{suggest(name, names)}")
        if name in values:
            raise ArchError(f"choice {name!r} stands twice in --arch {text!r}")
        values[name] = int(number)
    return values


def _read_json(space: SearchSpace, path: Path) -> Arch:
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArchError(f"cannot read {path}: {error.strerror or error}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArchError(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ArchError(f"{path} holds no arch: expected an object of choices and values")
    if "backbone_setting" in document:
        from ofa_pose.models.published import arch_from_published

        return arch_from_published(space, document)
    return space.arch(document)
