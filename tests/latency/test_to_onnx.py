"""A network joined from its units' graphs computes what the network computes."""

import numpy as np
import onnxruntime
import torch

from ofa_pose.latency import to_onnx
from ofa_pose.latency.to_onnx import OnnxExporter, _export
from ofa_pose.latency.weights import patterned
from ofa_pose.models import build, plan


def test_it_computes_what_the_network_computes(toy):
    space = toy.space
    network = build(space, space.largest).eval()
    for unit in network.plan.units:  # the weights that are exported
        weights = patterned(unit.spec.build()).state_dict()
        network.get_submodule(unit.name).load_state_dict(weights)
    model = OnnxExporter()(plan(space, space.largest))
    picture = torch.randn(1, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    found = session.run(None, {"input": picture.numpy()})
    with torch.no_grad():
        expected = network(picture)
    assert len(found) == len(expected) == 2
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.asarray(ours), theirs.numpy(), atol=1e-5)


def test_a_unit_is_exported_once_for_all_sizes(toy, monkeypatch):
    exported = []

    def counted(spec, module):
        exported.append(spec)
        return _export(spec, module)

    monkeypatch.setattr(to_onnx, "_export", counted)
    export = OnnxExporter()
    large, small = (
        plan(toy.space, toy.space.arch({**toy.space.largest.to_dict(), "resolution": size}))
        for size in (48, 32)
    )
    export(large)
    count = len(exported)
    model = export(small)
    assert len(exported) == count
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    picture = np.zeros((1, 3, 32, 32), dtype=np.float32)
    shapes = [np.asarray(output).shape for output in session.run(None, {"input": picture})]
    assert [shape[2:] for shape in shapes] == [(8, 8), (16, 16)]
