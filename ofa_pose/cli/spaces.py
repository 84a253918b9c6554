"""`ofa-pose spaces`: list, show, check and copy search spaces."""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from ofa_pose.catalog import catalog_folder, find_space, load_space, space_names
from ofa_pose.cli import _console
from ofa_pose.cli._options import JsonOption
from ofa_pose.cli._verbs import Verbs
from ofa_pose.errors import OfaPoseError, SpaceError, UnknownNameError, UsageError
from ofa_pose.files import atomic_write
from ofa_pose.outputs import output_file

if TYPE_CHECKING:
    from ofa_pose.space import SearchSpace

_LOG = logging.getLogger(__name__)

app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="List, show, check and copy search spaces.",
)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME|FILE", help="A space that `ls` lists, or a YAML file.")
]


@app.command("ls", epilog="Example: ofa-pose spaces ls")
def list_spaces(as_json: JsonOption = False) -> None:
    """List the search spaces that can be given by name; OFA_POSE_PATH adds folders."""
    shipped = catalog_folder("search_spaces")
    spaces = []
    for name, path in space_names().items():
        try:
            spaces.append((load_space(name), path))
        except SpaceError as error:
            _LOG.warning("left out: %s", error)
    if as_json:
        _console.emit_json([{**_summary(space), "file": path} for space, path in spaces])
        return
    rows = [
        (
            space.name,
            space.family,
            len(space),
            ", ".join(f"{name} {budget}" for name, budget in space.tiers.items()) or "-",
            "shipped" if path.parent == shipped else path,
            space.description,
        )
        for space, path in spaces
    ]
    _console.table(("name", "family", "archs", "tiers", "from", "description"), rows)


@app.command("show", epilog="Example: ofa-pose spaces show litepose-xs")
def show(name: NameArgument, as_json: JsonOption = False) -> None:
    """Show what may vary in a space, its named archs and its tiers."""
    space = load_space(name)
    if as_json:
        choices = {choice.name: choice.values for choice in space.choices}
        archs = {name: arch.to_dict() for name, arch in space.archs.items()}
        _console.emit_json({**_summary(space), "choices": choices, "archs": archs})
        return
    _console.line(f"{space.name}: {space.description or space.family}")
    _console.line(f"family {space.family}, skeleton {space.skeleton}, hash {space.hash}")
    _console.line(f"{len(space):,} archs from {len(space.choices)} choices")
    rows = [(choice.name, " ".join(map(str, choice.values))) for choice in space.choices]
    _console.line()
    _console.table(("choice", "values"), rows)
    if space.archs:
        _console.line()
        names = [choice.name for choice in space.choices]
        _console.table(("arch", *names), [(key, *a.values()) for key, a in space.archs.items()])
    if space.tiers:
        _console.line()
        _console.table(("tier", "budget"), list(space.tiers.items()))


@app.command("validate", epilog="Example: ofa-pose spaces validate my-space.yaml")
def validate(
    names: Annotated[list[str], typer.Argument(metavar="NAME|FILE...", help="Spaces to check.")],
    as_json: JsonOption = False,
) -> None:
    """Check spaces whole: schema, skeleton, recipes, that networks can be built and meet tiers."""
    found = {name: _faults(name) for name in names}
    if as_json:
        _console.emit_json({name: {"faults": faults} for name, faults in found.items()})
    else:
        for name, faults in found.items():
            if not faults:
                _console.line(f"{name}: ok")
    faults = [fault for faults in found.values() for fault in faults]
    if faults:
        raise SpaceError("; ".join(faults))


@app.command("cp", epilog="Example: ofa-pose spaces cp litepose-xs my-space.yaml")
def copy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A space that `ls` lists.")],
    target: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Where to; default: NAME.yaml here.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Copy a space's YAML here, to be edited; the copy takes the file's name."""
    from ofa_pose.space.schema import NAME_PATTERN

    known = space_names()
    if name not in known:
        if Path(name).is_file():
            raise UsageError(
                f"{name} is a file; this copies a space that `ls` lists, a file is copied like "
                "any other, and its name: changed"
            )
        raise UnknownNameError("search space", name, known)
    target = target or Path(f"{name}.yaml")
    if target.is_dir():
        target /= f"{name}.yaml"
    if target.suffix not in {".yaml", ".yml"} or not re.match(NAME_PATTERN, target.stem):
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", target.stem).strip("-._") or name
        raise UsageError(
            f"{str(target)!r} cannot be a space's file: it is called NAME.yaml, and a name is "
            f"letters, digits, '.', '_' and '-', such as {stem}.yaml"
        )
    written = output_file(target, force=force, reads=[known[name]])
    text = known[name].read_text(encoding="utf-8")
    # In quotes where YAML would not read the plain word as text (007, on).
    plain = target.stem[0].isalpha() and isinstance(yaml.safe_load(target.stem), str)
    own = target.stem if plain else f'"{target.stem}"'
    atomic_write(written, re.sub("(?m)^name:.*$", f"name: {own}", text, count=1))
    if as_json:
        _console.emit_json({"space": target.stem, "file": target})
    else:
        _console.line(
            f"wrote {target}; check it with: ofa-pose spaces validate {shlex.quote(str(target))}"
        )


def _summary(space: SearchSpace) -> dict[str, Any]:
    return {
        "name": space.name,
        "family": space.family,
        "description": space.description,
        "archs_total": len(space),
        "hash": space.hash,
        "skeleton": space.skeleton,
        "tiers": dict(space.tiers),
    }


def _faults(name: str) -> list[str]:
    """Return everything that is wrong with a space, each fault with the file or name it is in."""
    from ofa_pose.space.schema import read_sound_parts

    faults: list[str] = []
    try:
        space, whole = load_space(name), True
    except SpaceError as error:
        faults.append(str(error))
        try:
            space, whole = read_sound_parts(find_space(name))
        except SpaceError:
            return faults
    except OfaPoseError as error:
        return [str(error)]
    for check in _checks(space, whole=whole):
        try:
            check()
        except OfaPoseError as error:
            message = f"{name}: {error}"
            if message not in faults:
                faults.append(message)
    return faults


def _checks(space: SearchSpace, *, whole: bool) -> list[Callable[[], object]]:
    """Return what raises for a fault that the schema does not know.

    Args:
        space: whose parts are checked.
        whole: whether networks can be planned.
    """
    from ofa_pose.cost import parse_budgets
    from ofa_pose.models import plan
    from ofa_pose.skeleton import load_skeleton
    from ofa_pose.train.recipe import STAGES, make_recipe

    checks: list[Callable[[], object]] = [lambda: load_skeleton(space.skeleton)]
    checks += [partial(parse_budgets, text) for text in space.tiers.values()]
    checks += [partial(make_recipe, space, stage) for stage in STAGES]
    if whole:
        checks += [partial(plan, space, arch) for arch in (space.largest, space.smallest)]
        checks += [partial(_require_met, space, tier) for tier in space.tiers]
    return checks


def _require_met(space: SearchSpace, tier: str) -> None:
    """Refuse a tier that no arch meets; predicted latencies, whose table may be elsewhere, aside.

    Raises:
        InfeasibleBudgetError: the message names the smallest feasible value.
    """
    from ofa_pose.cli._budgets import refuse_infeasible
    from ofa_pose.cost import CostTable, count, parse_budgets

    budgets = [one for one in parse_budgets(space.tiers[tier]) if one.kind != "latency"]
    least = count(space, space.smallest)
    if any(budget.value(least) > budget.limit for budget in budgets):
        refuse_infeasible(CostTable(space), {tier: budgets})
