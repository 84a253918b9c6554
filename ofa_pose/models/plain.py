"""A network without this package: torch's own layers and the order they run in."""

from __future__ import annotations

from torch import fx
from torch.fx.proxy import TraceError

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
        UsageError: the network is in training mode, or a unit of its family runs otherwise for
            other pictures, which no list of layers says.
    """
    if network.training:
        raise UsageError("only a network in eval mode can be written as a list of layers")
    try:
        plain = fx.symbolic_trace(network)
    except TraceError as error:
        raise UsageError(f"the network is no mere list of layers: {error}") from None
    for node in plain.graph.nodes:
        node.type = None  # of an annotation, which torch cannot write down if it is a text
    plain.recompile()
    return plain.eval()
