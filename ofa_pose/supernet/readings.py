"""What a unit's own code reads of its elastic layers, which in a supernet are the largest arch's.

A layer that is called computes with its cut. `self.conv.kernel_size` or `self.conv.weight` in the
unit's `forward` is not cut, so a unit that reads it may compute something else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from ofa_pose.models.made import made
from ofa_pose.models.unit import Shape, UnitSpec, unit_cache
from ofa_pose.supernet.elastic import ELASTIC

_CUT = (
    "weight", "bias", "running_mean", "running_var", "num_features", "in_features", "out_features",
    "in_channels", "out_channels", "kernel_size", "stride", "padding", "output_padding", "dilation",
    "groups", "num_groups", "num_channels", "normalized_shape", "num_parameters",
    "_reversed_padding_repeated_twice",
)  # fmt: skip
"""What may differ between a layer of the largest arch and another's."""

_SIDE = 16
"""Largest side of the small maps that a unit is run on, in cells."""

Reading = tuple[str, str]
"""A layer's path in its unit, and the name of what is read of it."""


@unit_cache(maxsize=4096)
def read_of_layers(spec: UnitSpec) -> tuple[Reading, ...]:
    """Return what a unit's code reads of its elastic layers beside calling them.

    It is run on small maps if it can be, else on those of the spec; where neither can be done, all
    that could be read is returned.
    """
    unit = made(spec, seed=0)
    layers = {path: layer for path, layer in unit.named_modules() if type(layer) in ELASTIC}
    every = tuple((path, n) for path, layer in layers.items() for n in _CUT if hasattr(layer, n))
    watch = _Watch()
    for path, layer in layers.items():
        layer.__class__ = watch.type_of(type(layer), path)
    factor = max(1, *(side // _SIDE for shape in spec.in_shapes for side in shape[1:]))
    small = tuple((c, h // factor, w // factor) for c, h, w in spec.in_shapes)
    for shapes in dict.fromkeys((small, spec.in_shapes)):
        watch.read.clear()
        try:
            _run(unit, shapes)
        except Exception:  # whatever a unit does with maps of another size
            continue
        return tuple(watch.read)
    return every


@torch.no_grad()
def _run(unit: nn.Module, shapes: Iterable[Shape]) -> None:
    inputs = [torch.zeros(2, *shape, device="cpu") for shape in shapes]
    with torch.random.fork_rng(devices=[]):  # of what drops out
        for training in (True, False):
            unit.train(training)(*(tensor.clone() for tensor in inputs))


class _Watch:
    """Makes types of layers that note what is read of them, but by their own forward."""

    def __init__(self) -> None:
        self.read: dict[Reading, None] = {}
        self._inside = 0

    def type_of(self, kind: type[nn.Module], path: str) -> type[nn.Module]:
        """Return the type of a layer that stands at `path` in its unit."""

        def forward(layer: nn.Module, *inputs: Any, **named: Any) -> Any:
            self._inside += 1
            try:
                return kind.forward(layer, *inputs, **named)
            finally:
                self._inside -= 1

        def get(layer: nn.Module, name: str) -> Any:
            if name in _CUT and not self._inside:
                self.read[path, name] = None
            return kind.__getattribute__(layer, name)

        return type(kind.__name__, (kind,), {"forward": forward, "__getattribute__": get})
