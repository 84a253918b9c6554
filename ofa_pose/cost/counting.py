"""What an arch costs: MACs in three conventions, parameters and peak activation memory.

Each unit is run once on torch's meta device (shapes without numbers) and every layer and function
it calls is recorded; the totals of a network are sums over its units (memory: a scan). A layer that
has no formula is an error, never a guess, and so is a function that computes outside any layer.
"""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ofa_pose.cost.formulas import (
    CONVENTIONS,
    adds_up,
    function_macs,
    gives_back,
    has_formula,
    layer_macs,
    refuse_uncounted,
    shape_formula,
    works_in_place,
)
from ofa_pose.cost.liveness import Liveness, tensors_in
from ofa_pose.errors import CostError
from ofa_pose.models import NetworkPlan, UnitSpec, plan
from ofa_pose.models.meta import ShapesOnly
from ofa_pose.models.unit import unit_cache
from ofa_pose.space import ArchLike, FrozenDict, SearchSpace

BYTES = 4
"""Bytes of one activation: float32."""

_TRACE: ContextVar[_Trace] = ContextVar("running_trace")


@dataclass(frozen=True)
class UnitCost:
    """Cost of one unit for one picture.

    Attributes:
        name: the unit's place in the network.
        key: what it computes (`UnitSpec.key`).
        macs: multiply-accumulates by convention (`exact`, `paper`, `thop`).
        params: learnt numbers: weights, biases, batch norm's scale and shift.
        peak_memory: bytes of the activations alive at once inside the unit, its inputs and
            output included.
        output_memory: bytes of its output.
    """

    name: str
    key: str
    macs: Mapping[str, int]
    params: int
    peak_memory: int
    output_memory: int


@dataclass(frozen=True)
class Cost:
    """Cost of one network for one picture at its arch's resolution.

    Attributes:
        macs: multiply-accumulates by convention:
            `exact`: convolutions, transposed convolutions (at their input's size) and linear
            layers;
            `paper`: as the LitePose paper counts: transposed convolutions at their OUTPUT's size,
            plus 2 per batch-norm element and 1 per activation element;
            `thop`: what `thop.profile` (0.1.1) prints.
        params: learnt numbers.
        peak_memory: bytes of float32 activations alive at once, batch norm, activations and the
            sum that ends a unit computed in place, weights not counted. What functions make
            counts as what layers make does; views and changes in place make nothing.
        units: the same, unit by unit.
    """

    macs: Mapping[str, int]
    params: int
    peak_memory: int
    units: tuple[UnitCost, ...]


def count(space: SearchSpace, arch: ArchLike, **options: Any) -> Cost:
    """Count what one arch costs for one square picture at its resolution.

    Args:
        space: the arch's space.
        arch: which network; also what `space.arch` takes, such as `"XS"`.
        options: the family's own, such as `skeleton="coco"`.

    Raises:
        SpaceError: the space is none, but a name or the like.
        ArchError: the arch is none, or belongs to another space.
        CostError: a unit holds a layer whose cost is not known, or computes outside its layers; or
            its spec states another input than it is given.
    """
    return count_plan(plan(space, arch, **options))


@unit_cache(maxsize=4096)
def count_plan(network: NetworkPlan) -> Cost:
    """Count what a listed network costs; see `count`.

    Raises:
        CostError: as `count`.
    """
    _check_shapes(network)
    units = tuple(replace(unit_cost(unit.spec), name=unit.name) for unit in network.units)
    macs = FrozenDict({name: sum(unit.macs[name] for unit in units) for name in CONVENTIONS})
    params = sum(unit.params for unit in units)
    picture = BYTES * math.prod(network.units[0].spec.in_shapes[0])
    memory = {unit.name: (unit.peak_memory, unit.output_memory) for unit in units}
    return Cost(macs, params, int(scan_memory(network, picture, memory)), units)


def _check_shapes(network: NetworkPlan) -> None:
    """Refuse a plan in which a spec states other maps than the units before it give.

    Costs follow from specs alone, so that they would be another network's.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for unit in network.units:
        for name, stated in zip(unit.inputs, unit.spec.in_shapes, strict=True):
            given = shapes.setdefault(name, stated)  # the picture's is the first that is stated
            if (*given, 1, 1)[: max(3, len(given))] != stated:
                raise CostError(
                    f"unit {unit.name!r} is given {_sized(given)} by {name!r}, and its spec states "
                    f"{_sized(stated)}, by which it would be counted; correct its in_shapes"
                )
        shapes[unit.name] = _traced(unit.spec)[1]


def _sized(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def scan_memory(network: NetworkPlan, picture: Any, units: Mapping[str, tuple[Any, Any]]) -> Any:
    """Scan the execution order: what waits for a later unit adds to the running unit's peak.

    Args:
        network: in which order units run, and what they take.
        picture: its bytes; a number, or an array of several archs' that are wired alike.
        units: by name, peak and output in bytes, likewise.

    Returns:
        The peak in bytes, likewise.
    """
    last_use = {name: step for step, unit in enumerate(network.units) for name in unit.inputs}
    last_use.update(dict.fromkeys(network.outputs, len(network.units)))
    alive = {"input": picture}
    peak = 0
    for step, unit in enumerate(network.units):
        own, output = units[unit.name]
        waiting = sum(size for name, size in alive.items() if name not in unit.inputs)
        peak = np.maximum(peak, waiting + own)
        alive[unit.name] = output
        alive = {n: size for n, size in alive.items() if last_use.get(n, -1) > step}
    return peak


def unit_cost(spec: UnitSpec) -> UnitCost:
    """Cost of one unit, wherever it stands (its `name` is its key).

    Raises:
        CostError: it holds a layer whose cost is not known, or computes outside its layers.
    """
    return _traced(spec)[0]


@unit_cache(maxsize=65536)
def _traced(spec: UnitSpec) -> tuple[UnitCost, tuple[int, ...]]:
    """Cost of one unit, and the shape of what it gives for one picture."""
    trace = _sizeless_trace(spec) or _Trace(spec, _shape_module(spec))
    macs = FrozenDict(trace.macs)  # what is kept for the next caller must not change
    cost = UnitCost(spec.key, spec.key, macs, trace.params, trace.peak_memory(), BYTES * trace.size)
    return cost, trace.shape


class _AnySize:
    """A map's shape of which the channels are known alone; whoever asks for more is refused."""

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def __getitem__(self, place: object) -> int:
        if place != 0:
            raise LookupError("the map may have any height and width")
        return self.channels


def _sizeless_trace(spec: UnitSpec) -> _Trace | None:
    """Run the module that a unit's every size shares; None if its maps' sizes are asked for."""
    with contextlib.suppress(Exception):  # whatever a unit does then, or cannot be counted for
        return _Trace(spec, _sizeless_module(spec.without_sizes()))
    return None


@unit_cache(maxsize=4096)
def _sizeless_module(spec: UnitSpec) -> tuple[nn.Module, int]:
    """As `_shape_module`, of units that are the same at every picture size, of which most are."""
    shapes: Any = tuple(map(_AnySize, spec.in_channels))
    return _shape_module(replace(spec, in_shapes=shapes))


@unit_cache(maxsize=4096)
def _shape_module(spec: UnitSpec) -> tuple[nn.Module, int]:
    """The unit on the meta device, and how many numbers it learns.

    Its layers tell the running trace what they are called with. Those that are known answer with
    their shape formula, which is far quicker than computing.
    """
    with ShapesOnly():
        module = spec.build()
    for layer in _layers(module):
        if layer is module and not (has_formula(layer) or _is_torchs(layer)):
            continue  # a unit of functions alone, which the trace is told of
        formula = shape_formula(layer)
        if formula is not None:
            layer.forward = _by_formula(layer, formula)
        else:
            layer.register_forward_pre_hook(_enter_layer)
            layer.register_forward_hook(_tell_trace, with_kwargs=True)
    params = sum(parameter.numel() for parameter in module.parameters())
    return module.eval(), params  # batch norm must not take one 1x1 map for a fault


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """List what is counted: layers without children, and those of several with a formula."""
    children = list(module.children())
    if not children or (has_formula(module) and not isinstance(module, nn.Sequential)):
        yield module
        return
    for child in dict.fromkeys(children):
        yield from _layers(child)


def _is_torchs(layer: nn.Module) -> bool:
    return type(layer).__module__.startswith("torch.")


def _by_formula(
    layer: nn.Module, formula: Callable[[Sequence[int]], Sequence[int]]
) -> Callable[..., object]:
    def forward(*inputs: Any, **named: Any) -> object:
        if len(inputs) == 1 and isinstance(inputs[0], Tensor) and not named:
            return _TRACE.get().answer(layer, inputs[0], formula=formula)
        _enter_layer(layer, inputs)
        result = type(layer).forward(layer, *inputs, **named)
        _tell_trace(layer, inputs, named, result)
        return result

    return forward


def _enter_layer(layer: nn.Module, inputs: tuple[object, ...]) -> None:
    _TRACE.get().inside += 1


def _tell_trace(
    layer: nn.Module, inputs: tuple[object, ...], named: Mapping[str, object], result: object
) -> None:
    trace = _TRACE.get()
    given = inspect.signature(type(layer).forward).bind(layer, *inputs, **named).arguments
    trace.record(layer, list(tensors_in(given)), result)
    trace.inside -= 1


class _Watched(ShapesOnly):
    """Tells the running trace of functions outside its layers, and refuses those that compute."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """As `ShapesOnly`."""
        trace = _TRACE.get()
        if trace.inside:
            return super().__torch_function__(func, types, args, kwargs)
        refuse_uncounted(func)
        result = super().__torch_function__(func, types, args, kwargs)
        trace.record_function(func, (args, kwargs), result)
        return result


class _Trace:
    """One run of a unit on the meta device: the layers and functions it called, in order.

    Attributes:
        macs: of all layers, by convention.
        params: learnt numbers of the unit.
        shape: of its output, without the axis of pictures.
        size: elements of its output.
        inside: how many layers, one within the other, are being run just now.
    """

    def __init__(self, spec: UnitSpec, made: tuple[nn.Module, int]) -> None:
        self.inside = 0
        module, self.params = made
        self.macs: dict[str, int] = dict.fromkeys(CONVENTIONS, 0)
        inputs = [torch.empty((1, *shape), device="meta") for shape in spec.in_shapes]
        self._live = Liveness(inputs, map(math.prod, spec.in_shapes))
        # Asking a tensor for its shape is slow here, so it is kept; by id, as all are kept alive.
        self._shapes: dict[int, Sequence[int]] = {
            id(tensor): (1, *shape) for tensor, shape in zip(inputs, spec.in_shapes, strict=True)
        }
        token = _TRACE.set(self)
        try:
            with torch.no_grad(), _Watched():
                output = module(*inputs)
        finally:
            _TRACE.reset(token)
        if not isinstance(output, Tensor):
            raise CostError(
                f"unit {spec.key} returns a {type(output).__name__}; a unit returns one tensor"
            )
        self._output = output
        self.shape = tuple(output.shape[1:])
        self.size = math.prod(self.shape)

    def answer(
        self,
        layer: nn.Module,
        source: Tensor,
        *,
        formula: Callable[[Sequence[int]], Sequence[int]],
    ) -> Tensor:
        """Record a call of a layer whose output's shape is known by formula; return an output."""
        shape = self._shapes.get(id(source)) or tuple(source.shape)
        found = tuple(formula(shape))
        self._add(layer_macs(layer, shape, found))
        if gives_back(layer):
            return source
        self.inside += 1  # what makes the tensor is no function of the unit's
        result = torch.empty(found, device="meta")
        self.inside -= 1
        self._live.call(source, result, math.prod(found), in_place=works_in_place(layer))
        self._shapes[id(result)] = found
        return result

    def record(self, layer: nn.Module, sources: Sequence[Tensor], result: object) -> None:
        """Record a call of a layer that was run.

        Args:
            layer: what was run.
            sources: the tensors that it was given, in the order of its parameters.
            result: what it returned.

        Raises:
            CostError: there is no formula for it, it is given no tensor, or it returns another
                thing than one.
        """
        name = type(layer).__name__
        if not sources:
            raise CostError(
                f"layer {name} is called without a tensor, so its cost is not known: give it one, "
                "whose shape its formula takes"
            )
        if not isinstance(result, Tensor):
            raise CostError(
                f"layer {name} returns a {type(result).__name__}, so its cost is not known: let it "
                "return one tensor, or put it into a layer of your own that does, for which "
                "`ofa_pose.cost.register_layer_cost` has a formula"
            )
        self._add(layer_macs(layer, sources[0].shape, result.shape))
        self._live.run(sources, (result,), in_place=works_in_place(layer))

    def record_function(
        self, function: Callable[..., object], given: Sequence[object], result: object
    ) -> None:
        """Record a call of a function, of which the trace was told by `_Watched`."""
        self._add(function_macs(function, result))
        sources = list(tensors_in(given))
        results = sources[:1] if function is Tensor.__setitem__ else list(tensors_in(result))
        if results:
            in_place, adds = works_in_place(function), adds_up(function)
            self._live.run(sources, results, in_place=in_place, adds=adds)
        for tensor in results:
            self._shapes.pop(id(tensor), None)  # as it may be another now

    def _add(self, macs: Mapping[str, int]) -> None:
        for convention, number in macs.items():
            self.macs[convention] += number

    def peak_memory(self) -> int:
        """Most bytes alive at once; see `Liveness`."""
        return BYTES * self._live.peak(self._output)
