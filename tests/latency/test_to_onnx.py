"""A network joined from its units' graphs computes what the network computes."""

import numpy as np
import onnxruntime
import torch

from ofa_pose.latency.to_onnx import network_to_onnx
from ofa_pose.models import build, plan


def test_it_computes_what_the_network_computes(toy):
    space = toy.space
    network = build(space, space.largest, seed=3).eval()
    modules = {unit.name: network.get_submodule(unit.name) for unit in network.plan.units}
    model = network_to_onnx(plan(space, space.largest), modules)
    picture = torch.randn(1, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    found = session.run(None, {"input": picture.numpy()})
    with torch.no_grad():
        expected = network(picture)
    assert len(found) == len(expected) == 2
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.asarray(ours), theirs.numpy(), atol=1e-5)
