"""Batch norms folded into the convolutions before them, for networks that only predict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from ofa_pose.errors import UsageError
from ofa_pose.models.made import made_at_random
from ofa_pose.models.network import Network
from ofa_pose.models.unit import Shape, UnitSpec, unit_cache

Convolution = nn.Conv2d | nn.ConvTranspose2d

_SIDE = 8
"""Of the maps that a unit is tried on, in cells."""


def fold_batch_norms(network: nn.Module) -> int:
    """Fold batch norms into convolutions, in place; outputs stay equal to float error.

    A batch norm is folded where a unit's module knows how and has a method
    `fold_batch_norm() -> int`, which returns how many it folded; and where it directly follows a
    convolution in an `nn.Sequential` of a unit whose output stays the same by it, which is tried
    once for every spec on random weights, unless the module says `runs_sequences_whole = True`.
    `nn.Identity` takes its place. Others stay as they are: of layers that stand twice, share a
    weight, or do more than torch's own. Outside a `Network` only sequences are folded that stand
    in nothing but sequences.

    Args:
        network: in eval mode; its convolutions and batch norms are changed.

    Returns:
        How many batch norms were folded.

    Raises:
        UsageError: the network is in training mode, in which statistics are not constant.
    """
    if network.training:
        raise UsageError("only a network in eval mode can have its batch norms folded")
    stands = _Stands(network)
    folded = _fold_by_own_methods(network)
    if not isinstance(network, Network):
        return folded + _fold(list(_pairs(_chain(network), stands)))
    for unit in network.plan.units:
        module = network.get_submodule(unit.name)
        pairs = list(_pairs(module.modules(), stands))
        whole = getattr(module, "runs_sequences_whole", False)
        if pairs and (whole or _unchanged_by_folding(unit.spec) is type(module)):
            folded += _fold(pairs)
    return folded


class _Stands:
    """How often layers, and how often tensors, stand in modules."""

    def __init__(self, root: nn.Module) -> None:
        modules = list(root.modules())
        self._layers = Counter(child for module in modules for child in module.children())
        self._tensors = Counter(
            parameter for module in modules for parameter in module._parameters.values()
        )

    def once(self, layer: nn.Module) -> bool:
        own = (tensor for tensor in layer._parameters.values() if tensor is not None)
        return self._layers[layer] == 1 and all(self._tensors[tensor] == 1 for tensor in own)


def _fold_by_own_methods(module: nn.Module) -> int:
    own = (getattr(layer, "fold_batch_norm", None) for layer in list(module.modules()))
    return sum(fold() for fold in own if fold is not None)


def _chain(module: nn.Module) -> Iterator[nn.Module]:
    """Yield a sequence and the sequences that are its layers: each is called whole."""
    if isinstance(module, nn.Sequential) and _runs_in_order(module):
        yield module
        for layer in module.children():
            yield from _chain(layer)


@torch.no_grad()
def absorb(norm: nn.BatchNorm2d, *convolutions: Convolution) -> None:
    """Make the sum of the convolutions' outputs what `norm` would have made of it.

    The first convolution carries the shift as its bias.

    Args:
        norm: in eval mode, over C channels.
        convolutions: each with C output channels; their outputs are added up before `norm`.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise UsageError("a batch norm without running statistics cannot be folded")
    scale = torch.rsqrt(norm.running_var + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -norm.running_mean * scale
    if norm.bias is not None:
        shift = shift + norm.bias
    for convolution in convolutions:
        if convolution.bias is not None:
            shift = shift + convolution.bias * scale
            convolution.bias = None
        convolution.weight.copy_(convolution.weight * _over_outputs(scale, convolution))
    convolutions[0].bias = nn.Parameter(shift, requires_grad=False)


def _over_outputs(scale: Tensor, convolution: Convolution) -> Tensor:
    """Lay the (C,) scale along the output channels of the convolution's weight."""
    if isinstance(convolution, nn.Conv2d):
        return scale.view(-1, 1, 1, 1)
    # A transposed convolution's weight is (in, out / groups, h, w); a group's inputs are adjacent.
    weight = convolution.weight
    by_group = scale.view(convolution.groups, 1, -1)
    inputs = weight.shape[0] // convolution.groups
    return by_group.expand(-1, inputs, -1).reshape(weight.shape[0], -1, 1, 1)


def _runs_in_order(sequence: nn.Sequential) -> bool:
    """Whether calling it runs its layers one after the other."""
    return type(sequence).forward is nn.Sequential.forward


def _is_plain(layer: nn.Module) -> bool:
    """Whether a layer does what torch's own of its type does, and nothing else."""
    hooked = layer._forward_hooks or layer._forward_pre_hooks
    own = type(layer) in (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d)
    return own and not hooked and not is_parametrized(layer)


Pair = tuple[nn.Sequential, int]
"""A sequence, and the place of a convolution in it that a batch norm follows."""


def _pairs(modules: Iterable[nn.Module], stands: _Stands) -> Iterator[Pair]:
    for sequence in modules:
        if not isinstance(sequence, nn.Sequential) or not _runs_in_order(sequence):
            continue
        for place in range(len(sequence) - 1):
            before, norm = sequence[place], sequence[place + 1]
            if not isinstance(before, Convolution) or not isinstance(norm, nn.BatchNorm2d):
                continue
            if not all(_is_plain(layer) and stands.once(layer) for layer in (before, norm)):
                continue
            if norm.running_mean is not None:  # else it normalises each batch by itself
                yield sequence, place


def _fold(pairs: list[Pair]) -> int:
    for sequence, place in pairs:
        absorb(sequence[place + 1], sequence[place])  # pyright: ignore[reportArgumentType]
        sequence[place + 1] = nn.Identity()
    return len(pairs)


@unit_cache(maxsize=16384)
def _unchanged_by_folding(spec: UnitSpec) -> type[nn.Module] | None:
    """Return the class of a spec's unit if its output stays the same by folding, else None.

    A unit may use a sequence in another way than calling it: layer by layer, for what is between
    a convolution and its norm, or for a weight. So one of random weights is run before and after.
    """
    small = replace(spec, in_shapes=tuple((c, _SIDE, _SIDE) for c in spec.in_channels))
    for shapes in (small.in_shapes, spec.in_shapes):
        try:
            return _tried(spec, shapes)
        except Exception:  # whatever a unit does with maps of another size
            continue
    return None


@torch.no_grad()
def _tried(spec: UnitSpec, shapes: Iterable[Shape]) -> type[nn.Module] | None:
    unit = made_at_random(spec).eval()
    generator = torch.Generator().manual_seed(1)
    inputs = [torch.randn(2, *shape, generator=generator, device="cpu") for shape in shapes]
    _fold_by_own_methods(unit)
    expected = unit(*(tensor.clone() for tensor in inputs)).clone()  # it may work in place
    _fold(list(_pairs(unit.modules(), _Stands(unit))))
    scale = float(expected.abs().max())
    same = torch.allclose(unit(*inputs), expected, rtol=0, atol=1e-4 * scale)
    return type(unit) if same and scale > 0 else None
