"""Units: the atoms that networks are built from and costs are counted on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import ParamSpec, TypeVar

from torch import nn

from ofa_pose.errors import UnknownNameError
from ofa_pose.models.meta import ShapesOnly
from ofa_pose.unit_key import split_key

P = ParamSpec("P")
T = TypeVar("T")

Shape = tuple[int, int, int]
"""Channels, height, width of one picture's feature map."""


@dataclass(frozen=True, order=True)
class UnitSpec:
    """What one unit computes, whoever uses it: two units with equal specs cost the same.

    Attributes:
        kind: the registered name of the module that computes it.
        in_shapes: (channels, height, width) of every input.
        out_channels: channels of the output.
        kernel: side of the spatial kernel in cells.
        stride: by how much the unit shrinks (or, for a transposed conv, grows) the map.
        hidden: channels of the widest inner tensor, 0 where the kind has none.
        residual: whether the input is added to the output.
    """

    kind: str
    in_shapes: tuple[Shape, ...]
    out_channels: int
    kernel: int = 1
    stride: int = 1
    hidden: int = 0
    residual: bool = False

    @property
    def in_channels(self) -> tuple[int, ...]:
        """Channels of every input."""
        return tuple(shape[0] for shape in self.in_shapes)

    @property
    def key(self) -> str:
        """A stable, readable name: `inverted_residual:16x64x64:24:k7:s2:h96`."""
        shapes = "+".join("x".join(map(str, shape)) for shape in self.in_shapes)
        parts = [self.kind, shapes, str(self.out_channels), f"k{self.kernel}", f"s{self.stride}"]
        if self.hidden:
            parts.append(f"h{self.hidden}")
        if self.residual:
            parts.append("r")
        return ":".join(parts)

    @classmethod
    def parse(cls, key: str) -> UnitSpec:
        """Return the spec that has this `key`.

        Raises:
            UsageError: no spec has it.
        """
        match = split_key(key)
        shapes = tuple(_shape(text) for text in match["shapes"].split("+"))
        out_channels, kernel, stride = (int(match[name]) for name in ("out", "kernel", "stride"))
        hidden = int(match["hidden"] or 0)
        return cls(
            match["kind"], shapes, out_channels, kernel, stride, hidden, match["residual"] == ":r"
        )

    def without_sizes(self) -> UnitSpec:
        """The same unit at no particular picture size: what its weights depend on."""
        return replace(self, in_shapes=tuple((c, 0, 0) for c in self.in_channels))

    def build(self) -> nn.Module:
        """Build the unit as a plain module on torch's current default device.

        Raises:
            UnknownNameError: no unit of this kind is registered.
        """
        if self.kind not in _KINDS:
            raise UnknownNameError("unit kind", self.kind, _KINDS)
        return _KINDS[self.kind](self)


@dataclass(frozen=True)
class Unit:
    """A spec at its place in a network.

    Attributes:
        name: path of the unit's module in the network, such as `stage1.0`.
        spec: what it computes.
        inputs: names of the units that feed it; `input` is the picture.
    """

    name: str
    spec: UnitSpec
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class NetworkPlan:
    """One network: its units in order of execution and the names of those it returns."""

    units: tuple[Unit, ...]
    outputs: tuple[str, ...]

    @cached_property
    def steps(self) -> tuple[tuple[Unit, tuple[str, ...]], ...]:
        """The units, and after each whose results are not needed any more."""
        last_use = {name: unit.name for unit in self.units for name in unit.inputs}
        return tuple(
            (
                unit,
                tuple(
                    name
                    for name in dict.fromkeys(unit.inputs)
                    if last_use[name] == unit.name and name not in self.outputs
                ),
            )
            for unit in self.units
        )


def _shape(text: str) -> Shape:
    channels, height, width = map(int, text.split("x"))
    return channels, height, width


_KINDS: dict[str, Callable[[UnitSpec], nn.Module]] = {}


def register_unit(kind: str) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Register a module class, constructed from a `UnitSpec`, as the builder of `kind`.

    It takes the place of an earlier one, in counts as well: a notebook's cell may run again. A
    supernet or cost table that was made before must be made again.
    """

    def register(builder: type[nn.Module]) -> type[nn.Module]:
        known = kind in _KINDS
        _KINDS[kind] = builder
        if known:
            clear_unit_caches()
        return builder

    return register


_CLEAR_CACHES: list[Callable[[], None]] = []


def clear_unit_caches() -> None:
    """Forget what is known of units, as their modules or what is counted of them has changed."""
    for clear in _CLEAR_CACHES:
        clear()


def unit_cache(*, maxsize: int) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """`lru_cache` for what follows from units' modules: emptied when a kind is registered again."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        cached = lru_cache(maxsize=maxsize)(function)
        _CLEAR_CACHES.append(cached.cache_clear)
        return cached  # pyright: ignore[reportReturnType]

    return decorate


@unit_cache(maxsize=16384)
def meta_module(spec: UnitSpec) -> nn.Module:
    """The unit without memory for its weights (torch's meta device); shared, never run it."""
    with ShapesOnly():
        return spec.build()
