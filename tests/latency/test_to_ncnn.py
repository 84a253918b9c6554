"""A parameter file joined from units holds the layers that pnnx gives the whole network."""

import collections
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from ofa_pose.converters.pnnx import Layer
from ofa_pose.converters.quiet import quiet
from ofa_pose.latency.kit import whole_entries
from ofa_pose.latency.measuring.with_ncnn import Ncnn
from ofa_pose.latency.to_ncnn import NcnnExporter
from ofa_pose.models import UnitSpec, build, plan

needs_pnnx = pytest.mark.skipif(find_spec("pnnx") is None, reason="pnnx is not installed")


class _Tuple(torch.nn.Module):
    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.network(image))


@pytest.mark.parametrize("kind", ["Convolution", "Reshape"])
def test_a_unit_is_converted_once_or_once_for_each_size(monkeypatch, kind):
    """A convolution fits any size; the sizes of a reshape are written into its layer."""
    converted: list[UnitSpec] = []

    def convert(specs):
        converted.extend(specs)
        return [(Layer(kind, spec.key, ("in0",), ("out",)),) for spec in specs]

    monkeypatch.setattr("ofa_pose.latency.to_ncnn._convert", convert)
    sizes = [UnitSpec("conv", ((3, side, side),), 8, 3, 1) for side in (8, 16, 8, 16, 8)]
    exporter = NcnnExporter()
    exporter.prepare(iter(sizes))
    exporter.prepare(sizes)
    assert len(converted) == (1 if kind == "Convolution" else 2)
    assert len(set(converted)) == len(converted)


@needs_pnnx
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # pnnx's own
def test_the_layers_are_those_of_the_whole_network(toy, tmp_path, monkeypatch):
    import pnnx  # pyright: ignore[reportMissingImports]

    space = toy.space
    joined = NcnnExporter()(plan(space, space.largest)).decode()
    monkeypatch.chdir(tmp_path)
    network = _Tuple(build(space, space.largest)).eval()
    with quiet():
        pnnx.export(network, "n.pt", (torch.zeros(1, 3, 48, 48),), fp16=False, check_trace=False)
    whole = Path("n.ncnn.param").read_text()

    def layers(text: str) -> collections.Counter[tuple[str, str]]:
        lines = [Layer.parse(line) for line in text.splitlines()[2:]]
        return collections.Counter((layer.kind, layer.parameters) for layer in lines)

    assert layers(joined) == layers(whole)


@needs_pnnx
@pytest.mark.slow
def test_ncnn_runs_it_unit_by_unit(toy):
    pytest.importorskip("ncnn")
    space = toy.space
    (entry,) = whole_entries(toy, [space.largest], role="cover", rounds=1)
    runner = Ncnn(NcnnExporter()(entry.plan), entry.task, 1)
    for _ in range(5):
        runner.run()
    times = runner.unit_times()
    assert times.shape == (5, len(entry.task.units))
    assert (times > 0).all()
