"""Which part of the largest arch's unit is another arch's, and whether its code computes that.

A supernet runs the Python of the largest arch's unit, and its layers that are not elastic. So what
a unit knows beside its tensors has to be the same in every arch, or to make no difference.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ofa_pose.errors import SpaceError, listing
from ofa_pose.models.made import constants, constants_in, made, made_at_random
from ofa_pose.models.unit import Shape, UnitSpec, meta_module, unit_cache
from ofa_pose.supernet.elastic import (
    ELASTIC,
    LayerCut,
    Region,
    UnitCut,
    active,
    copy_cut,
    make_elastic,
    own_tensors,
)
from ofa_pose.supernet.readings import read_of_layers

_SIDE = 32
"""Largest side of the maps that two units are compared on, in cells, where they take any."""

_OF_ANY_MODULE = frozenset(vars(nn.Module()))


@unit_cache(maxsize=4096)
def depends_on_sizes(spec: UnitSpec) -> bool:
    """Whether the maps' height and width decide a unit's tensors or attributes."""
    module = meta_module(spec)
    if any(True for _ in constants_in(module)):
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's of layers without a number
            anywhere = meta_module(spec.without_sizes())
    except Exception:  # whatever a unit does with maps of no size
        return True
    return (
        _shapes(module) != _shapes(anywhere)
        or next(_differences(module, anywhere), None) is not None
    )


@unit_cache(maxsize=16384)
def unit_cut(full: UnitSpec, part: UnitSpec) -> UnitCut:
    """Derive how `part` is cut from `full` by comparing their modules.

    Args:
        full: the spec of the supernet's unit, with the sizes of the largest arch's maps.
        part: the spec of the subnet's unit at the same name, without sizes, unless the unit
            `depends_on_sizes`.

    Raises:
        SpaceError: the two differ in their layers, in a layer that is not elastic, in tensors
            that follow from their maps' sizes, or in an attribute by which they compute
            otherwise; or the part is larger than the whole.
    """
    sized = any(height or width for _, height, width in part.in_shapes)
    if sized:
        _refuse_tensors_of_a_size(full, part)
    whole = meta_module(full if sized else full.without_sizes())
    own = meta_module(part)
    layers = dict(whole.named_modules())
    _refuse_other_layers(layers, dict(own.named_modules()), full=full, part=part)
    cuts = {
        path: _layer_cut(layers[path], layer, path=path, full=full, part=part)
        for path, layer in own.named_modules()
    }
    own_spec = part if sized else _at_sizes_of(full, part)
    _refuse_other_constants(full, own_spec, own)
    differences = [*_differences(whole, own), *_differences_read(full, whole, own)]
    if differences and not _compute_the_same(full, own_spec, cuts):
        told = [
            f"{name} is {_shown(here)} (there {_shown(there)})" for name, there, here in differences
        ]
        raise SpaceError(
            f"unit {part.key} does not compute what the largest arch's {full.key} does in its "
            f"place, whose code a supernet runs: {listing(told, most=4)}; keep such a value the "
            "same in every arch, or take it from the shapes of what forward is given"
        )
    return cuts


def _refuse_tensors_of_a_size(full: UnitSpec, part: UnitSpec) -> None:
    if _shapes(meta_module(part)) != _shapes(meta_module(_at_sizes_of(full, part))):
        raise SpaceError(
            f"unit {part.key} has tensors that follow from its maps' height and width, and these "
            f"are others than in the largest arch's {full.key}: such tensors cannot be shared; "
            "use layers for maps of any size, such as AdaptiveAvgPool2d, or one resolution"
        )


def _at_sizes_of(full: UnitSpec, part: UnitSpec) -> UnitSpec:
    shapes = zip(part.in_channels, full.in_shapes, strict=False)
    return replace(part, in_shapes=tuple((channels, *shape[1:]) for channels, shape in shapes))


def _refuse_other_layers(
    whole: dict[str, nn.Module], own: dict[str, nn.Module], *, full: UnitSpec, part: UnitSpec
) -> None:
    for one, other, has, has_not in ((own, whole, part, full), (whole, own, full, part)):
        for path, layer in one.items():
            if path not in other:
                raise SpaceError(
                    f"unit {has.key} has a layer {path!r} that {has_not.key} has not: units may "
                    "differ in sizes between archs, not in their layers"
                )
            if type(other[path]) is not type(layer):
                raise SpaceError(
                    f"unit {has.key}: layer {path!r} is a {type(layer).__name__}, in "
                    f"{has_not.key} a {type(other[path]).__name__} of another class; it must be "
                    "the same in every arch, and torch's parametrizations make one for every layer"
                )


def _layer_cut(
    whole: nn.Module, layer: nn.Module, *, path: str, full: UnitSpec, part: UnitSpec
) -> LayerCut:
    tensors, own = own_tensors(whole), own_tensors(layer)
    if tensors.keys() != own.keys():
        raise SpaceError(f"unit {part.key}: layer {path!r} has other tensors than {full.key}")
    regions = {name: _region(tensors[name], own[name], f"{part.key} {path}") for name in own}
    if any(regions.values()) and type(layer) not in ELASTIC:
        varying = listing(name for name, region in regions.items() if region)
        what = (
            f"layer {path!r} is a {type(layer).__name__}, which cannot be sliced"
            if path
            else f"its own {varying}, outside any layer, cannot be sliced"
        )
        raise SpaceError(
            f"unit {part.key}: {what}; elastic are: "
            f"{', '.join(sorted(t.__name__ for t in ELASTIC))}"
        )
    return LayerCut(regions, layer)


def _region(full: Tensor, part: Tensor, where: str) -> Region | None:
    if full.shape == part.shape:
        return None
    if full.dim() != part.dim() or any(p > f for f, p in zip(full.shape, part.shape, strict=True)):
        raise SpaceError(
            f"unit {where}: a tensor of {tuple(part.shape)} cannot be cut from "
            f"{tuple(full.shape)}; the largest arch must be the largest everywhere"
        )
    region = []
    for dim, (whole, size) in enumerate(zip(full.shape, part.shape, strict=True)):
        start = (whole - size) // 2 if dim >= 2 else 0  # dims 0 and 1 are channels, then space
        region.append(slice(start, start + size) if size < whole else slice(None))
    return tuple(region)


def _refuse_other_constants(full: UnitSpec, part: UnitSpec, unit: nn.Module) -> None:
    """Refuse buffers of no file that differ: a subnet has the supernet's, until it is loaded."""
    for path in constants_in(unit):
        if not torch.equal(constants(full)[path], constants(part)[path]):
            raise SpaceError(
                f"unit {part.key}: the buffer {path} holds other values than in the largest "
                f"arch's {full.key}, and is in no state dict; keep it the same in every arch, or "
                "compute it in forward"
            )


Difference = tuple[str, Any, Any]
"""An attribute's name with its layer's path, its value in the largest arch, and here."""


def _differences(whole: nn.Module, own: nn.Module) -> Iterator[Difference]:
    """Yield in what two units of the same layers differ, beside their tensors."""
    layers = dict(whole.named_modules())
    for path, layer in own.named_modules():
        ours = _attributes(layer)
        theirs = _attributes(layers[path]) if path in layers else {}
        for name in sorted(ours.keys() | theirs.keys()):
            one, other = theirs.get(name, _MISSING), ours.get(name, _MISSING)
            if not _equal(one, other):
                yield f"{path}.{name}" if path else name, one, other


def _differences_read(full: UnitSpec, whole: nn.Module, own: nn.Module) -> Iterator[Difference]:
    """Yield in what elastic layers differ that the unit's own code reads of them."""
    layers, ours = dict(whole.named_modules()), dict(own.named_modules())
    for path, name in read_of_layers(full):
        one, other = getattr(layers[path], name), getattr(ours[path], name)
        if isinstance(one, Tensor) and isinstance(other, Tensor):
            one, other = tuple(one.shape), tuple(other.shape)
            name += ".shape"
        if not _equal(one, other):
            yield f"{path}.{name}", one, other


class _Missing:
    def __repr__(self) -> str:
        return "missing"


_MISSING = _Missing()


def _attributes(layer: nn.Module) -> dict[str, Any]:
    """What a layer knows beside its tensors and layers, but for what an elastic one is told."""
    if type(layer) in ELASTIC and not isinstance(layer, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001
        return {}
    told = _OF_ANY_MODULE | ({"num_features"} if type(layer) in ELASTIC else set())
    return {
        name: value
        for name, value in vars(layer).items()
        if name not in told and not isinstance(value, Tensor)
    }


def _equal(one: Any, other: Any) -> bool:
    try:
        return one is other or bool(one == other)
    except Exception:  # whatever the comparison of a user's values raises
        return False


def _shown(value: Any) -> str:
    text = value.key if isinstance(value, UnitSpec) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _shapes(unit: nn.Module) -> dict[str, tuple[int, ...]]:
    return {
        name: tuple(tensor.shape)
        for name, tensor in (*unit.named_parameters(), *unit.named_buffers())
    }


def _compute_the_same(full: UnitSpec, part: UnitSpec, cut: UnitCut) -> bool:
    """Whether the largest unit, cut, computes what the part's own does, on random numbers.

    On small maps if they can be had, else on those of the specs.
    """
    factor = max(1, *(side // _SIDE for shape in part.in_shapes for side in shape[1:]))
    small = tuple((c, h // factor, w // factor) for c, h, w in part.in_shapes)
    for shapes in dict.fromkeys((small, part.in_shapes)):
        try:
            return _tried(full, part, cut, shapes)
        except Exception:  # whatever a unit does with maps of another size
            continue
    return False


@torch.no_grad()
def _tried(full: UnitSpec, part: UnitSpec, cut: UnitCut, shapes: tuple[Shape, ...]) -> bool:
    whole, own = made_at_random(full), made(part, seed=0)
    make_elastic(whole)
    copy_cut(whole, own, cut)
    generator = torch.Generator().manual_seed(1)
    inputs = [torch.randn(2, *shape, generator=generator, device="cpu") for shape in shapes]

    def run(unit: nn.Module) -> Tensor:
        torch.default_generator.manual_seed(0)  # of what drops out
        return unit(*(tensor.clone() for tensor in inputs))

    for training in (True, False):
        with torch.random.fork_rng(devices=[]):
            expected = run(own.train(training))
            with active(cut):
                found = run(whole.train(training))
        if found.shape != expected.shape:
            return False
        if not torch.allclose(found, expected, rtol=0, atol=1e-4 * float(expected.abs().max())):
            return False
    return True
