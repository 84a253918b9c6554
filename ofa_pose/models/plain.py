"""A network without this package: torch's own layers and the order they run in."""

from __future__ import annotations

import torch
from torch import fx

from ofa_pose.errors import UsageError
from ofa_pose.models.network import Network


def to_plain(network: Network) -> fx.GraphModule:
    """Return a network as a module of torch's own layers, to be used where this package is not.

    `torch.save` keeps it whole, `torch.load(…, weights_only=False)` reads it with nothing but
    torch, and `torch.jit.script` takes it. It computes what the network computes in eval mode, to
    the bit, and shares its weights.

    Args:
        network: in eval mode; see `Supernet.extract`, `Tier.build`.

    Raises:
        UsageError: the network is in training mode, is none of this package's, or a unit of its
            family decides by what it is given what it does, which no list of layers says.
    """
    if not isinstance(network, Network):
        raise UsageError(f"a Network is expected, as a supernet extracts, not {type(network)}")
    if network.training:
        raise UsageError("only a network in eval mode can be written as a list of layers")
    try:
        plain = fx.symbolic_trace(network)
    except Exception as error:  # whatever a unit does to what has no value yet
        raise UsageError(f"the network is no mere list of layers: {error}") from None
    for node in plain.graph.nodes:
        node.type = None  # of an annotation, which torch cannot write down if it is a text
    plain.recompile()
    _compare(network, plain)
    return plain.eval()


@torch.no_grad()
def _compare(network: Network, plain: fx.GraphModule) -> None:
    channels, height, width = network.plan.units[0].spec.in_shapes[0]
    weights = next(network.parameters())
    images = torch.rand(1, channels, height, width, device=weights.device, dtype=weights.dtype)
    for found, expected in zip(plain(images), network(images), strict=True):
        if not torch.equal(found, expected):
            raise UsageError("the network is no mere list of layers: as one it computes otherwise")
