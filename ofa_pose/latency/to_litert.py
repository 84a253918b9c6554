"""Networks as LiteRT files, put together from units that litert-torch converted one by one.

A conversion takes seconds, and only shapes differ between the sizes of a unit's maps: a unit is
converted once, its file's shapes are scaled, and the files of a network's units are joined end to
end. Inputs and outputs are channels-last, the layout that LiteRT computes in, so that a lone unit
does not pay for turning what nothing turns inside a network.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from ofa_pose.converters.litert import run_litert_torch
from ofa_pose.latency.kit import network_inputs
from ofa_pose.latency.weights import patterned
from ofa_pose.models import NetworkPlan, UnitSpec

_IDENTIFIER = b"TFL3"
_PAD, _TRANSPOSE_CONV = 34, 67
# Operations (by their number in the file format) that work at any size: addition, concatenation,
# convolutions, logistic, multiplication, ReLUs, padding, subtraction, max, min, hard swish.
_ANY_SIZE = frozenset({0, 2, 3, 4, 14, 18, 19, 21, _PAD, 41, 55, 57, _TRANSPOSE_CONV, 117})


class LiteRtExporter:
    """Turns plans into LiteRT files; a unit is converted once, whatever the map's size."""

    def __init__(self) -> None:
        self._converted: dict[UnitSpec, tuple[UnitSpec, Any]] = {}

    def __call__(self, plan: NetworkPlan) -> bytes:
        """Return a network's file."""
        import flatbuffers  # pyright: ignore[reportMissingImports]

        schema = _schema()
        network = _Joined(schema)
        made = {name: network.add_input(shape) for name, shape in network_inputs(plan).items()}
        for unit in plan.units:
            sources = [made[name] for name in unit.inputs]
            made[unit.name] = network.add(self._unit(unit.spec), sources, name=unit.name)
        network.finish([made[name] for name in plan.outputs])
        builder = flatbuffers.Builder()
        builder.Finish(network.model.Pack(builder), _IDENTIFIER)
        return bytes(builder.Output())

    def _unit(self, spec: UnitSpec) -> Any:
        """The unit's file as objects, at its size."""
        if spec in self._converted:
            return self._converted[spec][1]
        key = spec.without_sizes()
        if key not in self._converted:
            self._converted[key] = (spec, _convert(spec))
        base, model = self._converted[key]
        scaled = _scaled(model, base.in_shapes[0][1:], spec.in_shapes[0][1:])
        if scaled is None:
            scaled = _convert(spec)
            self._converted[spec] = (spec, scaled)
        return scaled


def _schema() -> Any:
    """The classes of the file format."""
    from ai_edge_litert import schema_py_generated  # pyright: ignore[reportMissingImports]

    return schema_py_generated


def _convert(spec: UnitSpec) -> Any:
    shapes = [(1, *shape) for shape in spec.in_shapes]
    content = run_litert_torch(patterned(spec.build()).eval(), shapes)
    schema = _schema()
    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))


def _code(model: Any, operator: Any) -> int:
    code = model.operatorCodes[operator.opcodeIndex]
    return max(code.builtinCode, code.deprecatedBuiltinCode)


def _scaled(model: Any, old: tuple[int, int], new: tuple[int, int]) -> Any | None:
    """The file with its maps scaled from one size to another; None where that cannot be done."""
    model = copy.deepcopy(model)
    graph = model.subgraphs[0]
    padded = {
        int(operator.outputs[0]): operator.inputs
        for operator in graph.operators
        if _code(model, operator) == _PAD
    }
    fits = all(_code(model, operator) in _ANY_SIZE for operator in graph.operators)

    def scale(shape: Any) -> np.ndarray:
        nonlocal fits
        batch, height, width, channels = (int(size) for size in shape)
        products = height * new[0], width * new[1]
        fits = fits and not (products[0] % old[0] or products[1] % old[1])
        sizes = (batch, products[0] // old[0], products[1] // old[1], channels)
        return np.array(sizes, dtype=np.int32)

    for index, tensor in enumerate(graph.tensors):
        if model.buffers[tensor.buffer].data is None and len(tensor.shape) == 4:
            tensor.shapeSignature = None
            if index not in padded:
                tensor.shape = scale(tensor.shape)
    for index, (source, widths) in padded.items():  # what is added to a map does not grow with it
        added = _numbers(model.buffers[graph.tensors[widths].buffer]).reshape(4, 2).sum(axis=1)
        graph.tensors[index].shape = graph.tensors[source].shape + added.astype(np.int32)
    for operator in graph.operators:
        if _code(model, operator) == _TRANSPOSE_CONV:  # its first input is its output's shape
            buffer = model.buffers[graph.tensors[operator.inputs[0]].buffer]
            shape = _numbers(buffer)
            if shape[1] != graph.tensors[operator.outputs[0]].shape[1]:
                buffer.data = np.frombuffer(scale(shape).tobytes(), dtype=np.uint8)
    return model if fits else None


def _numbers(buffer: Any) -> np.ndarray:
    return np.frombuffer(bytes(bytearray(buffer.data)), dtype=np.int32)


class _Joined:
    """A LiteRT file that grows unit by unit.

    Attributes:
        model: the file as objects.
    """

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._graph = schema.SubGraphT()
        self._graph.name = b"main"
        self._graph.tensors, self._graph.operators, self._graph.inputs = [], [], []
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.subgraphs = [self._graph]
        self.model.buffers = [schema.BufferT()]  # number 0 is for tensors without content
        self.model.operatorCodes = []
        self._codes: dict[tuple[int, int], int] = {}

    def add_input(self, shape: tuple[int, ...]) -> int:
        """Add an input of `(C, H, W)` and return its tensor's number."""
        channels, height, width = shape
        tensor = self._schema.TensorT()
        tensor.shape = np.array((1, height, width, channels), dtype=np.int32)
        tensor.type, tensor.buffer = self._schema.TensorType.FLOAT32, 0
        tensor.name = f"input{len(self._graph.inputs)}".encode()
        self._graph.tensors.append(tensor)
        self._graph.inputs.append(len(self._graph.tensors) - 1)
        return self._graph.inputs[-1]

    def add(self, unit: Any, sources: list[int], *, name: str) -> int:
        """Join a unit's file to these tensors and return the number of its output."""
        graph = unit.subgraphs[0]
        numbers = dict(zip((int(i) for i in graph.inputs), sources, strict=True))
        for index, old in enumerate(graph.tensors):
            if index not in numbers:
                tensor = copy.copy(old)
                content = unit.buffers[old.buffer]
                tensor.buffer = 0
                if content.data is not None:
                    self.model.buffers.append(content)
                    tensor.buffer = len(self.model.buffers) - 1
                tensor.name = f"{name}/{index}".encode()
                self._graph.tensors.append(tensor)
                numbers[index] = len(self._graph.tensors) - 1
        numbers[-1] = -1  # an optional input that is not given
        for old in graph.operators:
            operator = copy.copy(old)
            operator.opcodeIndex = self._operation(unit.operatorCodes[old.opcodeIndex])
            operator.inputs = [numbers[int(i)] for i in old.inputs]
            operator.outputs = [numbers[int(i)] for i in old.outputs]
            self._graph.operators.append(operator)
        return numbers[int(graph.outputs[0])]

    def _operation(self, code: Any) -> int:
        key = (max(code.builtinCode, code.deprecatedBuiltinCode), code.version)
        if key not in self._codes:
            self._codes[key] = len(self.model.operatorCodes)
            self.model.operatorCodes.append(code)
        return self._codes[key]

    def finish(self, outputs: list[int]) -> None:
        """Say which tensors leave the network."""
        self._graph.outputs = outputs
