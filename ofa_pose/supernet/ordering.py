"""Channel ordering: the important channels first, so that leading slices are good subnets.

Which tensor dimensions must be permuted together is derived from the network itself: a NaN put
into some channels of a layer's output shows at which other layers the same channels arrive. No
family lists anything by hand. A layer of another kind than convolutions without groups, depthwise
ones, linear layers and batch norms keeps the channels it meets as they are, and so does one that
returns something else than one tensor. What a mark does not show, as it ends in `torch.where` or
is blind to a channel's place, is tried: an order is free if another one gives the same outputs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ofa_pose.errors import SpaceError
from ofa_pose.models import Network
from ofa_pose.models.eval_mode import in_eval_mode
from ofa_pose.supernet.elastic import own_tensors
from ofa_pose.supernet.supernet import Supernet

_SIDE = 32  # of the tiny picture that most networks can be probed with

Port = tuple[str, str]
"""A layer's path and `in` or `out`."""


@dataclass(frozen=True)
class ChannelGroup:
    """Dimensions that share one order of channels.

    Attributes:
        channels: how many.
        ports: the layers' inputs and outputs that carry them.
        fixed: whether the order means something outside (the picture, the network's outputs) or
            to a layer that cannot be permuted.
    """

    channels: int
    ports: tuple[Port, ...]
    fixed: bool


def order_channels(supernet: Supernet, *, by: str = "l1") -> None:
    """Sort the supernet's channels by importance, in place; the largest network is unchanged.

    Args:
        supernet: trained, or at least pre-trained.
        by: `l1`: by the absolute weights that read the channel (Once-for-all, Cai et al. 2020,
            section 3.3); `bn`: by the absolute scales of the batch norms it passes.

    Raises:
        SpaceError: `by` is neither.
    """
    if by not in ("l1", "bn"):
        raise SpaceError(f"channels are ordered by 'l1' or 'bn', not by {by!r}")
    layers = dict(supernet.extract(supernet.space.largest).named_modules())

    def sort(group: ChannelGroup) -> Tensor:
        importance = _importance(group, layers, by=by)
        return torch.argsort(importance, descending=True, stable=True)

    permute_channels(supernet, sort)


@torch.no_grad()
def permute_channels(supernet: Supernet, order_of: Callable[[ChannelGroup], Tensor]) -> None:
    """Put the supernet's channels in another order, in place; the largest network is unchanged.

    Args:
        supernet: of any family.
        order_of: for a group whose order is free, its channels' present numbers, (channels,), in
            the order they are to have.
    """
    network = supernet.extract(supernet.space.largest).eval()
    layers = dict(network.named_modules())
    for group in channel_groups(network):
        if not group.fixed:
            _reorder(layers, group, order_of(group))
    supernet.network.load_state_dict(network.state_dict())


def channel_groups(network: Network) -> list[ChannelGroup]:
    """Derive which dimensions of a plain network share one order of channels.

    Runs the network once for every layer and once for every group, in eval mode, on a tiny picture
    where it takes one, else on one of the side that its plan has. The network is left as it was.
    """
    layers = {path: layer for path, layer in network.named_modules() if _meets_channels(layer)}
    with torch.no_grad(), in_eval_mode(network):
        image = _picture(network)
        found = _marked_groups(network, layers, image)
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(image.shape, generator=generator, device="cpu").to(image)
        expected = network(noise)

        def is_free(group: ChannelGroup) -> bool:
            with _reordered(layers, group):
                return all(map(_alike, network(noise), expected))

        return [replace(group, fixed=group.fixed or not is_free(group)) for group in found]


def _marked_groups(
    network: Network, layers: Mapping[str, nn.Module], image: Tensor
) -> list[ChannelGroup]:
    """Derive the groups from where marks arrive."""
    union = _Union()
    for path, layer in layers.items():
        if not _can_be_permuted(layer):
            # Its tensors may meet the channels of what it holds, as those of a layer scale do.
            for inner in layers:
                if f"{inner}.".startswith(f"{path}."):
                    union.fix((inner, "in"))
                    union.fix((inner, "out"))
    for path in layers:
        _probe(network, layers, path, image, union)
    for path in layers:
        if (path, "in") not in union.reached:  # nothing tells where its channels come from
            union.fix((path, "in"))
    return union.groups(layers)


def _picture(network: Network) -> Tensor:
    """Return an empty picture, (1, 3, H, W), that the network can run on."""
    (channels, height, width) = next(
        shape
        for unit in network.plan.units
        for name, shape in zip(unit.inputs, unit.spec.in_shapes, strict=True)
        if name == "input"
    )
    image = torch.zeros(1, channels, height, width).to(next(network.parameters()))
    tiny = image[:, :, :_SIDE, :_SIDE]
    try:
        network(tiny)
    except Exception:  # noqa: BLE001 - whatever a layer of a fixed size raises
        return image
    return tiny


@contextlib.contextmanager
def _reordered(layers: Mapping[str, nn.Module], group: ChannelGroup) -> Iterator[None]:
    """Put a group's channels into some other order, and back."""
    order = torch.randperm(group.channels, generator=torch.Generator().manual_seed(0))
    if torch.equal(order, torch.arange(group.channels)):
        order = order.roll(1)
    _reorder(layers, group, order)
    try:
        yield
    finally:
        _reorder(layers, group, order.argsort())


def _reorder(layers: Mapping[str, nn.Module], group: ChannelGroup, order: Tensor) -> None:
    for path, port in group.ports:
        for name, dim in _dimensions(layers[path], port):
            tensor = getattr(layers[path], name)
            tensor.copy_(tensor.index_select(dim, order.to(tensor.device)))


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether two outputs are the same but for the order in which numbers were added."""
    if not other.is_floating_point():
        return torch.equal(one, other)
    tolerance = max(1e-3, 32 * torch.finfo(one.dtype).eps) * float(other.abs().max())
    return torch.allclose(one, other, rtol=0, atol=tolerance, equal_nan=True)


class _Union:
    """Ports joined into groups."""

    def __init__(self) -> None:
        self._parent: dict[Port, Port] = {}
        self._fixed: set[Port] = set()
        self.reached: set[Port] = set()  # by some mark

    def root(self, port: Port) -> Port:
        parent = self._parent.setdefault(port, port)
        return port if parent == port else self.root(parent)

    def join(self, one: Port, other: Port) -> None:
        self._parent[self.root(one)] = self.root(other)

    def fix(self, port: Port) -> None:
        self._fixed.add(port)
        self.root(port)

    def groups(self, layers: Mapping[str, nn.Module]) -> list[ChannelGroup]:
        members: dict[Port, list[Port]] = {}
        for path, layer in layers.items():
            for port in ((path, "in"), (path, "out")):
                if _dimensions(layer, port[1]) or port in self._parent:
                    members.setdefault(self.root(port), []).append(port)
        fixed = {self.root(port) for port in self._fixed}
        return [
            ChannelGroup(_channels(layers[ports[0][0]], ports[0][1]), tuple(ports), root in fixed)
            for root, ports in members.items()
        ]


def _probe(
    network: Network, layers: Mapping[str, nn.Module], marked: str, image: Tensor, union: _Union
) -> None:
    """Mark some channels of a layer's output; join it with the ports that see just these."""
    source = (marked, "out")
    channels: list[int] = []
    width = 0
    if _channel_wise(layers[marked]):
        union.join((marked, "in"), source)

    def mark(layer: nn.Module, inputs: Any, output: Any) -> Any:
        nonlocal channels, width
        if not isinstance(output, Tensor) or output.dim() < 2 or not output.is_floating_point():
            union.fix((marked, "in"))
            union.fix(source)
            return _for_each_tensor(_spoilt, output)
        width = output.shape[1]
        channels = _marks(width)
        if isinstance(layer, nn.Linear) and output.dim() > 2:  # its channels are the last axis
            union.fix((marked, "in"))
            union.fix(source)
        output = output.clone()
        output[:, channels] = torch.nan
        return output

    def look(path: str, seen: Tensor) -> Tensor:
        if seen is image:
            union.fix((path, "in"))  # the picture's channels are red, green and blue
        hit = _marked_channels(seen)
        if hit:
            union.reached.add((path, "in"))
        if hit == channels and seen.shape[1] == width:
            union.join(source, (path, "in"))
        elif hit:
            union.fix(source)
            union.fix((path, "in"))
        # Behind a layer that mixes channels the mark would be everywhere and hide what a sum
        # joins, so it ends here.
        mixes = seen.is_floating_point() and not _channel_wise(layers[path])
        return seen.nan_to_num() if mixes else seen

    hooks = [layers[marked].register_forward_hook(mark)]
    for path, layer in layers.items():
        hooks.append(layer.register_forward_pre_hook(_inputs(look, path), with_kwargs=True))
    try:
        outputs = network(image)
    finally:
        for hook in hooks:
            hook.remove()
    if any(_marked_channels(output) for output in outputs):
        union.fix(source)


def _marks(width: int) -> list[int]:
    """Choose about half of the channels, in no pattern that a split or a shuffle could keep."""
    chosen = torch.rand(width, generator=torch.Generator().manual_seed(0)) < 0.5
    return chosen.nonzero().flatten().tolist() or list(range(width))


def _inputs(look: Callable[[str, Tensor], Tensor], path: str) -> Callable[..., Any]:
    """Return a hook that lets `look` see, and change, all tensors that a layer is given."""

    def hook(layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        return _for_each_tensor(lambda seen: look(path, seen), (inputs, named))

    return hook


def _for_each_tensor(change: Callable[[Tensor], Tensor], value: Any) -> Any:
    """Return nested mappings, lists and tuples with every tensor changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _for_each_tensor(change, item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_for_each_tensor(change, item) for item in value)
    return value


def _spoilt(output: Tensor) -> Tensor:
    """A tensor with a NaN in every number, so that all layers that read it are found."""
    return torch.full_like(output, torch.nan) if output.is_floating_point() else output


def _marked_channels(seen: Tensor) -> list[int]:
    """Channels of the first picture that hold a NaN."""
    if seen.dim() < 2:
        return [0] if bool(seen.isnan().any()) else []
    return seen[0].reshape(seen.shape[1], -1).isnan().any(dim=1).nonzero().flatten().tolist()


def _meets_channels(layer: nn.Module) -> bool:
    """Whether the layer has tensors that may follow its channels; one slope does for all."""
    one_slope = isinstance(layer, nn.PReLU) and layer.num_parameters == 1
    return bool(own_tensors(layer)) and not one_slope


def _channel_wise(layer: nn.Module) -> bool:
    """Whether output channel i depends on input channel i alone."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        return layer.groups == layer.in_channels == layer.out_channels
    return isinstance(layer, nn.modules.batchnorm._BatchNorm)  # noqa: SLF001


def _can_be_permuted(layer: nn.Module) -> bool:
    """Whether it is known how the layer's tensors follow its channels."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.groups == 1:
        return True
    return isinstance(layer, nn.Linear) or _channel_wise(layer)


def _dimensions(layer: nn.Module, port: str) -> list[tuple[str, int]]:
    """The layer's own tensors and their dimension that follows the channels of a port."""
    if not _can_be_permuted(layer):
        return []
    if _channel_wise(layer):
        # In and out are one group; its tensors are permuted once, for the output.
        tensors = own_tensors(layer) if port == "out" else {}
        return [(name, 0) for name, tensor in tensors.items() if tensor.dim()]
    dims = {"in": 0, "out": 1} if isinstance(layer, nn.ConvTranspose2d) else {"in": 1, "out": 0}
    found = [("weight", dims[port])]
    if port == "out" and getattr(layer, "bias", None) is not None:
        found.append(("bias", 0))
    return found


def _channels(layer: nn.Module, port: str) -> int:
    names = (f"{port}_channels", f"{port}_features", "num_features")
    return next((int(getattr(layer, name)) for name in names if hasattr(layer, name)), 0)


def _importance(group: ChannelGroup, layers: Mapping[str, nn.Module], *, by: str) -> Tensor:
    """Importance of each channel of a group, (channels,)."""
    total = torch.zeros(group.channels)
    for path, port in group.ports:
        layer = layers[path]
        weight = getattr(layer, "weight", None)
        if not isinstance(weight, Tensor):
            continue
        norm = isinstance(layer, nn.modules.batchnorm._BatchNorm)  # noqa: SLF001
        if by == "bn" and norm and port == "out":
            total += weight.detach().abs().cpu()
        elif by == "l1" and port == "in" and not _channel_wise(layer):
            for name, dim in _dimensions(layer, "in"):
                tensor = getattr(layer, name).detach().abs()
                total += tensor.sum([d for d in range(tensor.dim()) if d != dim]).cpu()
    return total
