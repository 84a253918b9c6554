"""Networks as ncnn parameter files, put together from units that pnnx converted in batches.

pnnx takes seconds for a unit and a quarter of a minute for a network, so units are converted many
at a time, as one module with an output for each; a network's file is then its units' layers with
their names set apart and their ends joined, with a `Split` where a result is read twice, as pnnx
itself would write it. Weights are left out: the measuring reads zeros, which take as long.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from torch import Tensor, nn

from ofa_pose.converters.pnnx import Layer, run_pnnx
from ofa_pose.errors import ConversionError, LatencyError
from ofa_pose.latency.kit import network_inputs
from ofa_pose.models import NetworkPlan, UnitSpec

_MAGIC = "7767517"
_BATCH = 24


class NcnnExporter:
    """Turns plans into parameter files; a unit is converted once, whatever the map's size."""

    def __init__(self) -> None:
        self._layers: dict[UnitSpec, tuple[Layer, ...]] = {}

    def prepare(self, specs: Iterable[UnitSpec]) -> None:
        """Convert units, many at a time; `__call__` then finds them."""
        specs = list(specs)
        missing = (spec for spec in specs if self._find(spec) is None)
        wanted = list({spec.without_sizes(): spec for spec in missing}.values())
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            for spec, layers in zip(batch, _convert(batch), strict=True):
                any_size = all(layer.fits_any_size for layer in layers)
                self._layers[spec.without_sizes() if any_size else spec] = layers
        for spec in specs:  # the other sizes of what does not fit any
            if self._find(spec) is None:
                (self._layers[spec],) = _convert([spec])

    def _find(self, spec: UnitSpec) -> tuple[Layer, ...] | None:
        return self._layers.get(spec) or self._layers.get(spec.without_sizes())

    def __call__(self, plan: NetworkPlan) -> bytes:
        """Return a network's parameter file; a unit's result bears the unit's name."""
        self.prepare([unit.spec for unit in plan.units])
        layers = []
        made: dict[str, str] = {}
        for number, name in enumerate(network_inputs(plan)):
            made[name] = f"in{number}"
            layers.append(Layer("Input", f"in{number}", (), (f"in{number}",)))
        branches = _branches(plan)
        for name in tuple(made):
            layers += branches.split(name, made[name])
        for unit in plan.units:
            names = {
                f"in{i}": branches.take(source, made[source])
                for i, source in enumerate(unit.inputs)
            }
            names["out"] = made[unit.name] = unit.name
            for layer in self._find(unit.spec) or ():
                layers.append(_renamed(layer, unit.name, names))
            layers += branches.split(unit.name, unit.name)
        blobs = sum(len(layer.outputs) for layer in layers)
        lines = [_MAGIC, f"{len(layers)} {blobs}", *map(str, layers)]
        return ("\n".join(lines) + "\n").encode()


class _Branches:
    """Results that several units read: each reader takes its own branch of a `Split`."""

    def __init__(self, readers: dict[str, int]) -> None:
        self._readers = readers
        self._taken = dict.fromkeys(readers, 0)

    def split(self, name: str, blob: str) -> list[Layer]:
        count = self._readers.get(name, 0)
        if count < 2:
            return []
        outputs = tuple(f"{blob}/branch{i}" for i in range(count))
        return [Layer("Split", f"{blob}/split", (blob,), outputs)]

    def take(self, name: str, blob: str) -> str:
        if self._readers[name] < 2:
            return blob
        self._taken[name] += 1
        return f"{blob}/branch{self._taken[name] - 1}"


def _branches(plan: NetworkPlan) -> _Branches:
    readers: dict[str, int] = {}
    for unit in plan.units:
        for name in unit.inputs:
            readers[name] = readers.get(name, 0) + 1
    return _Branches(readers)


def _renamed(layer: Layer, unit: str, names: dict[str, str]) -> Layer:
    inputs, outputs = (
        tuple(names.get(blob, f"{unit}/{blob}") for blob in blobs)
        for blobs in (layer.inputs, layer.outputs)
    )
    return replace(layer, name=f"{unit}/{layer.name}", inputs=inputs, outputs=outputs)


class _Bag(nn.Module):
    """Several units side by side, each with its own inputs and output."""

    def __init__(self, specs: Sequence[UnitSpec]) -> None:
        super().__init__()
        self.units = nn.ModuleList(spec.build() for spec in specs)
        self.counts = [len(spec.in_shapes) for spec in specs]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        rest = iter(inputs)
        return tuple(
            unit(*(next(rest) for _ in range(count)))
            for unit, count in zip(self.units, self.counts, strict=True)
        )


def _convert(specs: Sequence[UnitSpec]) -> list[tuple[Layer, ...]]:
    """Run pnnx once and return every unit's layers; its ends are called `in0`, …, `out`.

    Raises:
        LatencyError: pnnx fails, or what it wrote is not these units side by side.
    """
    shapes = [(1, *shape) for spec in specs for shape in spec.in_shapes]
    try:
        layers = run_pnnx(_Bag(specs).eval(), shapes).layers
    except ConversionError as error:
        raise LatencyError(f"pnnx cannot convert {specs[0].key} …: {error}") from None
    return _apart(layers, specs)


def _apart(layers: Sequence[Layer], specs: Sequence[UnitSpec]) -> list[tuple[Layer, ...]]:
    """Take a bag's layers apart, from every output back to its inputs."""
    makers = {output: layer for layer in layers for output in layer.outputs}
    found = []
    offset = 0
    for number, spec in enumerate(specs):
        mine: set[str] = set()
        wanted = [f"out{number}"]
        while wanted:
            layer = makers.get(wanted.pop())
            if layer is None:
                raise LatencyError(f"pnnx drops or merges the output of unit {spec.key}")
            if layer.name not in mine:
                mine.add(layer.name)
                wanted += layer.inputs
        names = {f"in{offset + i}": f"in{i}" for i in range(len(spec.in_shapes))}
        names[f"out{number}"] = "out"
        offset += len(spec.in_shapes)
        own = [layer for layer in layers if layer.name in mine]
        foreign = {layer.name for layer in own if layer.kind == "Input"} - names.keys()
        if foreign or not all(layer.is_ncnns for layer in own):
            raise LatencyError(f"pnnx has no ncnn layers for unit {spec.key}")
        found.append(
            tuple(
                replace(
                    layer,
                    inputs=tuple(names.get(blob, blob) for blob in layer.inputs),
                    outputs=tuple(names.get(blob, blob) for blob in layer.outputs),
                )
                for layer in own
                if layer.kind != "Input"
            )
        )
    return found
