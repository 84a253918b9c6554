"""Networks as ONNX files, put together from units that were exported one by one.

Exporting every network anew would take longer than measuring it. A unit is exported once; a
network is its units' graphs with their names set apart (`stage1.0/…`) and their ends joined, which
is also how the measuring tells whose an operation is.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from ofa_pose.converters.quiet import quiet
from ofa_pose.latency.kit import network_inputs
from ofa_pose.latency.weights import patterned
from ofa_pose.models import NetworkPlan, UnitSpec

if TYPE_CHECKING:
    import onnx

OPSET = 17

# Operations that fit any size of map: a unit of these alone is exported once.
_ANY_SIZE = frozenset(
    {
        "Add", "BatchNormalization", "Clip", "Concat", "Constant", "Conv", "ConvTranspose",
        "HardSigmoid", "HardSwish", "Identity", "Mul", "Relu", "Sigmoid",
    }
)  # fmt: skip


class OnnxExporter:
    """Turns plans into ONNX files; a unit is exported once, whatever the map's size.

    Weights are a repeated pattern, which takes as long as learnt ones and can be compressed.
    """

    def __init__(self) -> None:
        self._graphs: dict[UnitSpec, onnx.GraphProto] = {}

    def __call__(self, plan: NetworkPlan) -> bytes:
        """Return a network's file."""
        return _joined(plan, [self._graph(unit.spec) for unit in plan.units])

    def _graph(self, spec: UnitSpec) -> onnx.GraphProto:
        for key in (spec.without_sizes(), spec):
            if key in self._graphs:
                return self._graphs[key]
        graph = _export(spec, patterned(spec.build()))
        any_size = all(node.op_type in _ANY_SIZE for node in graph.node)
        self._graphs[spec.without_sizes() if any_size else spec] = graph
        return graph


def _joined(plan: NetworkPlan, graphs: Sequence[onnx.GraphProto]) -> bytes:
    """Join units' graphs, set apart by their names, end to end."""
    import onnx
    from onnx import TensorProto, helper

    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    inputs = network_inputs(plan)
    made = {name: name for name in inputs}
    for unit, graph in zip(plan.units, graphs, strict=True):
        names = {f"in{i}": made[source] for i, source in enumerate(unit.inputs)}
        for old in graph.node:
            node = onnx.NodeProto()
            node.CopyFrom(old)
            node.name = f"{unit.name}/{old.name}"
            for tensors in (node.input, node.output):
                renamed = [names.get(t, f"{unit.name}/{t}") if t else t for t in tensors]
                del tensors[:]
                tensors.extend(renamed)
            nodes.append(node)
        for old in graph.initializer:
            weight = onnx.TensorProto()
            weight.CopyFrom(old)
            weight.name = f"{unit.name}/{old.name}"
            weights.append(weight)
        made[unit.name] = f"{unit.name}/out"
    graph = helper.make_graph(
        nodes,
        "network",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, *shape))
            for name, shape in inputs.items()
        ],
        [helper.make_tensor_value_info(made[n], TensorProto.FLOAT, None) for n in plan.outputs],
        weights,
    )
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()


def _export(spec: UnitSpec, module: nn.Module) -> onnx.GraphProto:
    import onnx

    inputs = tuple(torch.zeros(1, *shape) for shape in spec.in_shapes)
    stream = io.BytesIO()
    names = [f"in{i}" for i in range(len(inputs))]
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            inputs,
            stream,  # pyright: ignore[reportArgumentType]
            dynamo=False,
            opset_version=OPSET,
            input_names=names,
            output_names=["out"],
        )
    return onnx.load_from_string(stream.getvalue()).graph
