"""The operations of an ONNX file, and to which unit each belongs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .errors import MeasureError

Operation = tuple[str, tuple[str, ...], tuple[str, ...]]
"""Name, inputs, outputs of one operation of a graph."""


def operations_to_units(operations: Sequence[Operation], units: Sequence[str]) -> dict[str, str]:
    """Say to which unit each operation of an optimised graph belongs.

    An operation of a unit has a name that starts with the unit's and a slash. What the optimiser
    has added (a conversion of layout) belongs to the unit that reads it, and at the end of the
    network to the one that made it.

    Raises:
        MeasureError: an operation belongs to no unit.
    """
    known = set(units)
    makers = {output: op for op in operations for output in op[2]}
    readers: dict[str, Operation] = {}
    for op in operations:
        for source in op[1]:
            readers.setdefault(source, op)

    def own(op: Operation) -> str | None:
        unit = op[0].partition("/")[0]
        return unit if unit in known else None

    def reader(op: Operation) -> str | None:
        for output in op[2]:
            if output in readers:
                return own(readers[output]) or reader(readers[output])
        return None

    def maker(op: Operation) -> str | None:
        for source in op[1]:
            if source in makers:
                return own(makers[source]) or maker(makers[source])
        return None

    found: dict[str, str] = {}
    for op in operations:
        unit = own(op) or reader(op) or maker(op)
        if unit is None:
            raise MeasureError(f"the operation {op[0]!r} of the optimised graph belongs to no unit")
        found[op[0]] = unit
    return found


def read_onnx_graph(model: bytes) -> list[Operation]:
    """The operations of an ONNX file in order, read without the package onnx.

    The file is a protobuf message: field 7 of the model is the graph, field 1 of the graph an
    operation, whose fields 1, 2 and 3 are its inputs, its outputs and its name.
    """
    operations = []
    for field_, graph in _protobuf(memoryview(model)):
        if field_ != 7:
            continue
        for number, node in _protobuf(graph):
            if number != 1:
                continue
            texts: dict[int, list[str]] = {1: [], 2: [], 3: [""]}
            for part, value in _protobuf(node):
                if part in texts:
                    texts[part].append(str(value, "utf-8"))
            operations.append((texts[3][-1], tuple(texts[1]), tuple(texts[2])))
    return operations


def _protobuf(message: memoryview) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message: (number, content), skipping numbers' contents."""
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(message):
        tag = varint()
        kind = tag & 7
        if kind == 0:
            varint()
        elif kind == 2:
            size = varint()
            yield tag >> 3, message[position : position + size]
            position += size
        else:
            position += {1: 8, 5: 4}[kind]
