"""A network under torch.compile; by its eager backend, which needs no C++ compiler."""

import pytest
import torch

import ofa_pose as op


@pytest.mark.filterwarnings("ignore:Guards may run slower on Python 3.13.0")
@pytest.mark.parametrize("learns", [True, False])
def test_a_network_is_one_graph(learns: bool) -> None:
    """`fullgraph` refuses what would make it fall into pieces, of which torch compiles eight."""
    space = op.load_space("toy")
    network = op.build(space, space.largest, skeleton="coco").train(learns)
    images = torch.rand(2, 3, 64, 96)
    compiled = torch.compile(network, fullgraph=True, backend="eager")(images)
    for own, plain in zip(compiled, network(images), strict=True):
        torch.testing.assert_close(own, plain, rtol=0, atol=1e-6)
