"""The command line that a run was made with, so that its results can say how to do it again."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from ofa_pose.cli._weights import IMAGENET
from ofa_pose.errors import UsageError

_HIDDEN = ("force", "as_json")
_OF_THIS_CALL = ("budget", "out", "resume", "force", "as_json")
# How a value came about, in click's words.
_DEFAULTS = ("DEFAULT", "DEFAULT_MAP")
_NOT_GIVEN = (*_DEFAULTS, "ENVIRONMENT")  # is no part of the command line
# What may be the path of a file or a name.
_NAMED = ("space", "skeleton", "data_skeleton", "latency", "init")
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
    supernet: Path | None = options["supernet"]
    if supernet is not None and supernet.exists():  # else it is the name of some in the box
        supernet = supernet.resolve()
    named = {name: options[name] for name in ("space", "skeleton")}
    return {"supernet": None if supernet is None else str(supernet), **lasting(named)}


def lasting(
    options: Mapping[str, Any], *, earlier: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return options of which those that name a file or something known by name last.

    A file is told by its whole path, which means the same in every folder, a name as it is.

    Args:
        options: by the names of the commands' parameters; others than these stay as they are.
        earlier: the configuration of the run that is resumed; what it has as given now stays.
    """
    before = earlier or {}
    return {
        key: value
        if key not in _NAMED or value == before.get(key)
        else _in_full(value, key, before=before.get(key))
        for key, value in options.items()
    }


def _in_full(value: Any, key: str, *, before: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_in_full(item, key, before=before) for item in value]
    if not isinstance(value, str):
        return value
    path = Path(value).expanduser()
    whole = str(path.resolve())
    if not path.exists():  # what a run began with may be gone when it is resumed
        return whole if whole in (before if isinstance(before, list) else (before,)) else value
    return value if value in _known_names(key) else whole


def _known_names(key: str) -> Collection[str]:
    """Return what an option takes for a name, whatever files there are."""
    from ofa_pose.catalog import latency_table_names, space_names
    from ofa_pose.skeleton.declared import skeleton_names

    if key == "init":
        return (IMAGENET,)
    finders = {"space": space_names, "latency": latency_table_names}
    return finders.get(key, skeleton_names)()


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
