"""Batch norms folded into the convolutions before them, for networks that only predict."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from ofa_pose.errors import UsageError

Convolution = nn.Conv2d | nn.ConvTranspose2d


def fold_batch_norms(network: nn.Module) -> int:
    """Fold batch norms into convolutions, in place; outputs stay equal to float error.

    A batch norm is folded where it directly follows a convolution in an `nn.Sequential`, and
    where a unit's module knows better and has a method `fold_batch_norm() -> int`, which returns
    how many it folded. `nn.Identity` takes its place. Others stay as they are: of a sequence that
    is called in another way, of layers that stand twice, or that do more than torch's own.

    Args:
        network: in eval mode; its convolutions and batch norms are changed.

    Returns:
        How many batch norms were folded.

    Raises:
        UsageError: the network is in training mode, in which statistics are not constant.
    """
    if network.training:
        raise UsageError("only a network in eval mode can have its batch norms folded")
    folded = 0
    stands = Counter(child for module in network.modules() for child in module.children())
    for module in list(network.modules()):
        own = getattr(module, "fold_batch_norm", None)
        if own is not None:
            folded += own()
        elif isinstance(module, nn.Sequential):
            folded += _fold_sequence(module, stands)
    return folded


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


def _is_plain(layer: nn.Module) -> bool:
    """Whether a layer does what torch's own of its type does, and nothing else."""
    hooked = layer._forward_hooks or layer._forward_pre_hooks
    own = type(layer) in (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d)
    return own and not hooked and not is_parametrized(layer)


def _fold_sequence(sequence: nn.Sequential, stands: Counter[nn.Module]) -> int:
    if type(sequence).forward is not nn.Sequential.forward:
        return 0
    folded = 0
    for place in range(len(sequence) - 1):
        before, norm = sequence[place], sequence[place + 1]
        if not isinstance(before, Convolution) or not isinstance(norm, nn.BatchNorm2d):
            continue
        if not all(_is_plain(layer) and stands[layer] == 1 for layer in (before, norm)):
            continue
        if norm.running_mean is not None:  # else it normalises each batch by itself
            absorb(norm, before)
            sequence[place + 1] = nn.Identity()
            folded += 1
    return folded
