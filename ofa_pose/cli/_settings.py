"""Reads the recipe's fields that `--set KEY=VALUE` changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ofa_pose.errors import RecipeError, suggest

if TYPE_CHECKING:
    from ofa_pose.train import Recipe


def read_settings(pairs: Sequence[str], *, stage: str) -> dict[str, Any]:
    """Return `KEY=VALUE` pairs as a nested mapping; dots nest, values are read as YAML.

    `null` is a value, too: it turns off what a recipe can do without. A key
    may be written with the recipe it belongs to in front: `train.lr` or, in a run of the stage
    `finetune`, `finetune.lr`.

    Raises:
        RecipeError: a pair cannot be read, has no value, is of another stage or is given twice.
    """
    import yaml

    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise RecipeError(f"cannot read --set {pair!r}; write KEY=VALUE, such as lr=0.001")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise RecipeError(f"cannot read the value in --set {pair!r}") from error
        if not text.strip():
            raise RecipeError(f"--set {pair!r} has no value; write KEY=VALUE, such as lr=0.001")
        *outer, name = _within(key.strip().split("."), pair=pair, stage=stage)
        place = settings
        for part in outer:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise RecipeError(f"--set {pair!r}: {part} was given one value before")
        if name in place:
            raise RecipeError(f"--set {pair!r}: {name} was given before")
        place[name] = _number(value)
    return settings


def refuse_unused(
    overrides: Mapping[str, Any], recipe: Recipe, *, supernet: bool, teacher: bool
) -> None:
    """Refuse a sampler's or a teacher's setting that the training would record and not follow.

    Args:
        overrides: what was changed.
        recipe: with the changes.
        supernet: whether several archs are trained.
        teacher: whether another network teaches.

    Raises:
        RecipeError: the message says what would use the setting.
    """
    sandwich = supernet and recipe.sampler == "sandwich"
    used = {
        "sampler": (supernet, "it draws a supernet's archs, and this trains one network"),
        "resolutions": (supernet, "a supernet's steps draw them, and this trains one network"),
        "sandwich_random": (sandwich, "it is of a supernet's sampler=sandwich"),
        "distillation": (
            teacher or sandwich,
            "it weighs the loss to a teacher: finetune --teacher TIER.yaml, or a supernet's "
            "sampler=sandwich",
        ),
    }
    for key, (is_used, reason) in used.items():
        if overrides.get(key) is not None and not is_used:
            raise RecipeError(f"--set {key} would change nothing: {reason}")


def _within(parts: list[str], *, pair: str, stage: str) -> list[str]:
    """Return a dotted key without the name of the recipe in front, if it has one."""
    from ofa_pose.train.recipe import STAGES, Recipe

    first, *rest = parts
    if not rest or first in Recipe.model_fields:
        return parts
    if first in ("train", stage):
        return rest
    if first in STAGES:
        raise RecipeError(f"--set {pair!r}: this run is of the stage {stage!r}, not {first!r}")
    known = ("train", stage, "augmentation")
    raise RecipeError(f"--set {pair!r}: unknown key {first!r}{suggest(first, known)}")


def _number(value: Any) -> Any:
    """Read `1e-3`, which YAML 1.1 takes for text, as a number."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
