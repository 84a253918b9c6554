"""The command line that a run was made with, so that its results can say how to do it again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from ofa_pose.errors import UsageError

_HIDDEN = ("force", "as_json")
_OF_THIS_CALL = ("budget", "out", "resume", "force", "as_json")
# How a value came about, in click's words.
_DEFAULTS = ("DEFAULT", "DEFAULT_MAP")
_NOT_GIVEN = (*_DEFAULTS, "ENVIRONMENT")  # is no part of the command line
_PATHS = ("supernet", "data", "annotations", "images", "calibration", "report")


def command_line(context: typer.Context) -> str:
    """Return the command as a line for a shell: the verb and what was given, in a fixed order."""
    words = context.command_path.split()
    for parameter in context.command.params:
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        if name in _HIDDEN or name not in context.params or source is None:
            continue
        if source.name in _NOT_GIVEN:
            continue
        words += _words(parameter, context.params[name])
    return shlex.join(words)


def all_commands(
    context: typer.Context, earlier: Mapping[str, Any], now: Mapping[str, Any]
) -> list[str]:
    """Return the commands that lead to a run's result: the first, then those that asked for more.

    Args:
        context: of the command that runs now.
        earlier: the configuration of the run that is resumed; empty if none is.
        now: the configuration now; its budgets and evaluations are compared.
    """
    known = [str(line) for line in earlier.get("commands", ())]
    if known and all(earlier.get(key) == now[key] for key in ("budgets", "evaluations")):
        return known  # it goes on, to the result it would have had
    return [*known, command_line(context)]


def recall(context: typer.Context, earlier: Mapping[str, Any]) -> None:
    """Give options that were not given the values that the resumed run has had.

    Args:
        context: whose parameters are changed.
        earlier: the run's configuration; empty leaves everything as it is.
    """
    known = {**earlier, **(earlier.get("given") or {})}
    for parameter in context.command.params:
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        if name in _OF_THIS_CALL or name not in known or source is None:
            continue
        if source.name in _DEFAULTS:
            value = known[name]
            if value is not None and name in _PATHS:
                value = Path(value)
            context.params[name] = value


def refuse_idle(context: typer.Context, uses: Mapping[str, tuple[bool, str]]) -> None:
    """Refuse an option that was given and would change nothing.

    A run that goes on may have any that it began with.

    Args:
        context: of the command.
        uses: by the name of a parameter, whether it is used here, and what it is for.

    Raises:
        UsageError: the message names the option and what it is for.
    """
    if context.params.get("resume"):
        return
    for parameter in context.command.params:
        name = str(parameter.name)
        is_used, purpose = uses.get(name, (True, ""))
        source = context.get_parameter_source(name)
        if not is_used and source is not None and source.name not in _NOT_GIVEN:
            raise UsageError(f"{parameter.opts[0]} would change nothing: {purpose}")


def as_given(options: Mapping[str, Any]) -> dict[str, str | None]:
    """Return what a configuration holds in another form, or not at all, as `recall` needs it."""
    return {name: _lasting(options[name]) for name in ("supernet", "space", "skeleton")}


def _lasting(value: Path | str | None) -> str | None:
    """Return what means the same in every folder: a path in full, anything's name as it is."""
    if not isinstance(value, Path):
        return value
    return str(value.resolve() if value.exists() else value)


def earlier_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of the run in `folder`; empty where there is none to read.

    What is wrong with the folder is said when the run is opened.
    """
    import yaml

    from ofa_pose.runs import CONFIG

    try:
        found = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def _words(parameter: Any, value: Any) -> Sequence[str]:
    if isinstance(value, bool):
        return [(parameter.opts if value else parameter.secondary_opts)[0]]
    values = value if isinstance(value, list | tuple) else [value]
    if parameter.param_type_name == "argument":
        return [str(item) for item in values]
    return [word for item in values for word in (parameter.opts[0], str(item))]
