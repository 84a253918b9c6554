"""Families: how the arch of a space becomes a network, by registered name."""

from __future__ import annotations

import importlib.metadata
import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol

import torch

from ofa_pose.errors import OfaPoseError, SpaceError, UnknownNameError, UsageError, listing
from ofa_pose.models.network import Network, empty_network, initialize
from ofa_pose.models.unit import NetworkPlan, Unit, UnitSpec
from ofa_pose.space import Arch, ArchLike, SearchSpace, require_space

ENTRY_POINT_GROUP = "ofa_pose.families"


_OF_YOUR_OWN = (
    "one of your own is known once its module is imported, and to the command by an entry point "
    "of its package (docs/families.md)"
)


class Family(Protocol):
    """A function that lists the units of an arch; its keywords are the family's own options."""

    def __call__(self, space: SearchSpace, arch: Arch, **options: Any) -> NetworkPlan:
        """Return the plan of `arch`; must be a pure function of its arguments."""
        ...


_FAMILIES: dict[str, Family] = {}


def register_family(name: str) -> Callable[[Any], Any]:
    """Register a family under the name that a space's YAML gives in `family:`.

    It takes the place of an earlier one of the name.
    """

    def register(family: Family) -> Family:
        _FAMILIES[name] = family
        return family

    return register


def get_family(name: str) -> Family:
    """Return a family by name, from this package, `register_family` or an entry point.

    Raises:
        UnknownNameError: no such family.
        UsageError: the module of its entry point cannot be imported, or has no such family.
    """
    if name not in _FAMILIES:
        entries = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
        for entry in entries:
            if entry.name == name:
                _FAMILIES.setdefault(name, _loaded(entry))
        if name not in _FAMILIES:
            known = {*_FAMILIES, *(e.name for e in entries)}
            raise UnknownNameError("family", name, known, hint=_OF_YOUR_OWN)
    return _FAMILIES[name]


def _loaded(entry: importlib.metadata.EntryPoint) -> Family:
    try:
        return entry.load()
    except OfaPoseError:
        raise
    except Exception as error:  # whatever the code of others does when it is imported
        raise UsageError(
            f"family {entry.name!r} cannot be loaded from {entry.value}: "
            f"{type(error).__name__}: {' '.join(str(error).split())}"
        ) from error


def plan(space: SearchSpace, arch: ArchLike, **options: Any) -> NetworkPlan:
    """List the units of one arch.

    Args:
        space: the space the arch belongs to.
        arch: which network; also what `space.arch` takes, such as `"XS"`.
        options: the family's own.

    Raises:
        SpaceError: the space is none, but a name or the like; or the family's list of units is
            no network.
        ArchError: the arch is none, or belongs to another space.
        UsageError: the family has no such option, or its value can change.
    """
    require_space(space)
    arch = space.arch(arch)
    family = get_family(space.family)
    try:
        return _plan(family, space, arch, tuple(sorted(options.items())))
    except TypeError:
        _refuse_what_can_change(options)
        raise


def _refuse_what_can_change(options: dict[str, Any]) -> None:
    for name, value in options.items():
        try:
            hash(value)
        except TypeError:
            raise UsageError(
                f"option {name}={value!r} holds what can be changed, and plans are kept by their "
                "options; give a number, a text, or a tuple of these instead of a list"
            ) from None


@lru_cache(maxsize=512)  # 24 kB each; listing one anew takes a third of a millisecond
def _plan(
    family: Family, space: SearchSpace, arch: Arch, options: tuple[tuple[str, Any], ...]
) -> NetworkPlan:
    known, takes_any = _parameters(family)
    for name, _ in options:
        if name not in known and not takes_any:
            raise UsageError(
                f"family {space.family!r} has no option {name!r}; "
                f"it takes: {', '.join(known[2:]) or 'none'}"
            )
    network = family(space, arch, **dict(options))
    faults = _faults(network, arch.resolution)
    if faults:
        raise SpaceError(f"family {space.family!r} lists no network: {listing(faults, most=4)}")
    return network


def _faults(network: object, resolution: int) -> list[str]:
    """Return what is wrong with how a plan's units are called and wired, of a picture's side."""
    if not isinstance(network, NetworkPlan):
        return [f"it returns a {type(network).__name__}, not a NetworkPlan"]
    for name, value in (("units", network.units), ("outputs", network.outputs)):
        if not isinstance(value, tuple):
            return [f"{name} is a {type(value).__name__}, not a tuple"]
    faults = [fault for unit in network.units for fault in _faults_of_a_type(unit)]
    if faults:
        return faults
    if not network.outputs:
        return ["it has no output"]
    known = {"input"}
    for unit in network.units:
        if not unit.inputs:
            faults.append(f"unit {unit.name!r} takes nothing; a constant is a buffer of its reader")
        if unit.name in known:
            faults.append(f"two units, or the picture and a unit, are called {unit.name!r}")
        for name in unit.inputs:
            if name not in known:
                faults.append(f"unit {unit.name!r} takes {name!r}, and none before it is called so")
        if len(unit.inputs) != len(unit.spec.in_shapes):
            faults.append(
                f"unit {unit.name!r} has {len(unit.inputs)} inputs and the shapes of "
                f"{len(unit.spec.in_shapes)}"
            )
        pictures = (
            s for n, s in zip(unit.inputs, unit.spec.in_shapes, strict=False) if n == "input"
        )
        for shape in pictures:
            if shape[1:] != (resolution, resolution):
                faults.append(
                    f"unit {unit.name!r} takes a picture of {'x'.join(map(str, shape))}, and the "
                    f"arch's resolution is {resolution}"
                )
        known.add(unit.name)
    units = known - {"input"}
    for name in sorted(units):
        parents = name.split(".")[:-1]
        within = {".".join(parents[:end]) for end in range(1, len(parents) + 1)}
        faults += [f"unit {name!r} would be a layer of unit {one!r}" for one in within & units]
    faults += [
        f"no unit is called {name!r}, which is an output"
        for name in network.outputs
        if name not in known
    ]
    return faults


def _faults_of_a_type(unit: Unit) -> list[str]:
    if type(unit.spec) is not UnitSpec:
        return [
            f"unit {unit.name!r}: its spec is a {type(unit.spec).__name__}, not a UnitSpec, by "
            "whose key a latency table knows it; put what has no field into the kind"
        ]
    values = {
        "inputs": unit.inputs,
        "in_shapes": unit.spec.in_shapes,
        **{f"in_shapes[{i}]": shape for i, shape in enumerate(unit.spec.in_shapes)},
    }
    return [
        f"unit {unit.name!r}: {name} is a {type(value).__name__}, not a tuple"
        for name, value in values.items()
        if not isinstance(value, tuple)
    ]


@lru_cache(maxsize=64)
def _parameters(family: Family) -> tuple[tuple[str, ...], bool]:
    """The names of a family's parameters, and whether it takes any keyword."""
    parameters = inspect.signature(family).parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    return tuple(parameters), takes_any


def takes_option(space: SearchSpace, name: str) -> bool:
    """Return whether the space's family has an option of this name, such as `skeleton`.

    Raises:
        UnknownNameError: no such family.
    """
    known, takes_any = _parameters(get_family(space.family))
    return takes_any or name in known


def build(
    space: SearchSpace,
    arch: ArchLike,
    *,
    seed: int = 0,
    device: str | torch.device = "cpu",
    **options: Any,
) -> Network:
    """Build the network of one arch as a plain module with weights initialised from `seed`.

    Args:
        space: the space the arch belongs to.
        arch: which network; also what `space.arch` takes, such as `"XS"`.
        seed: of the initial weights; the same on every device.
        device: where the weights lie.
        options: the family's own; for `litepose` this is `skeleton` (a name or a `Skeleton`).

    Returns:
        A module `(N, 3, H, W) -> list of tensors`; for `litepose` the 1/4 map of heatmaps and
        tags `(N, 2K, H/4, W/4)` and the 1/2 map of heatmaps `(N, K, H/2, W/2)`.

    Raises:
        SpaceError, ArchError, UsageError: as `plan`.
    """
    network = empty_network(plan(space, arch, **options))
    initialize(network, seed=seed)
    return network.to(device)
