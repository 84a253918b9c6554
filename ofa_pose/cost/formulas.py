"""Output shape and MACs of one layer: a table of formulas, one row a layer type."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ofa_pose.errors import CostError, UsageError
from ofa_pose.models.relu6 import ReLU6
from ofa_pose.models.unit import clear_unit_caches

CONVENTIONS = ("exact", "paper", "thop")
"""The ways MACs are counted; never mixed. See `ofa_pose.cost.Cost`."""

Shape = Sequence[int]
Macs = dict[str, int]
Formula = Callable[..., Macs]
"""(layer, input's shape, output's shape) to MACs by convention."""


def _conv(layer: nn.Conv2d, source: Shape, result: Shape) -> Macs:
    # Every output element is a dot product over one kernel of one group.
    macs = math.prod(result) * layer.weight[0].numel()
    return dict.fromkeys(CONVENTIONS, macs)


def _transposed_conv(layer: nn.ConvTranspose2d, source: Shape, result: Shape) -> Macs:
    # Every input element is multiplied with the whole kernel of its channel. The other two
    # conventions apply the rule of a plain convolution to the (stride² larger) output.
    pixels_in, pixels_out = math.prod(source[2:]), math.prod(result[2:])
    each = source[0] * layer.weight.numel()
    return {"exact": pixels_in * each, "paper": pixels_out * each, "thop": pixels_out * each}


def _linear(layer: nn.Linear, source: Shape, result: Shape) -> Macs:
    return dict.fromkeys(CONVENTIONS, math.prod(result) * layer.in_features)


def _norm_of_maps(layer: nn.BatchNorm2d | nn.InstanceNorm2d, source: Shape, result: Shape) -> Macs:
    elements = math.prod(source)
    return {"exact": 0, "paper": 2 * elements, "thop": (4 if layer.affine else 2) * elements}


def _activation(layer: nn.Module, source: Shape, result: Shape) -> Macs:
    return {"exact": 0, "paper": math.prod(result), "thop": 0}


def _prelu(layer: nn.PReLU, source: Shape, result: Shape) -> Macs:
    return {"exact": 0, "paper": math.prod(result), "thop": math.prod(result)}


def _free(layer: nn.Module, source: Shape, result: Shape) -> Macs:
    return dict.fromkeys(CONVENTIONS, 0)


def _average_pool(layer: nn.Module, source: Shape, result: Shape) -> Macs:
    return {"exact": 0, "paper": 0, "thop": math.prod(result)}


def _adaptive_average_pool(layer: nn.Module, source: Shape, result: Shape) -> Macs:
    # thop's window is the plain quotient of the sides, whole or not.
    return {"exact": 0, "paper": 0, "thop": math.prod(source) + math.prod(result)}


def _layer_norm(layer: nn.LayerNorm, source: Shape, result: Shape) -> Macs:
    elements = math.prod(source)
    thop = 4 if layer.elementwise_affine else 2
    return {"exact": 0, "paper": 2 * elements, "thop": thop * elements}


def _group_norm(layer: nn.GroupNorm, source: Shape, result: Shape) -> Macs:
    return {"exact": 0, "paper": 2 * math.prod(source), "thop": 0}


def _upsample(layer: nn.Upsample, source: Shape, result: Shape) -> Macs:
    each = {"nearest": 1, "linear": 5, "bilinear": 11, "bicubic": 259}.get(layer.mode, 0)
    return {"exact": 0, "paper": 0, "thop": each * math.prod(result)}


def _same(layer: nn.Module, source: Shape) -> Shape:
    return source


def _conv_shape(layer: nn.Conv2d, source: Shape) -> Shape:
    size = (
        (cells + 2 * int(pad) - dilation * (kernel - 1) - 1) // stride + 1
        for cells, pad, dilation, kernel, stride in zip(
            source[2:],
            layer.padding,
            layer.dilation,
            layer.kernel_size,
            layer.stride,
            strict=True,
        )
    )
    return (source[0], layer.out_channels, *size)


def _transposed_conv_shape(layer: nn.ConvTranspose2d, source: Shape) -> Shape:
    size = (
        (cells - 1) * stride - 2 * int(pad) + dilation * (kernel - 1) + extra + 1
        for cells, stride, pad, dilation, kernel, extra in zip(
            source[2:],
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.kernel_size,
            layer.output_padding,
            strict=True,
        )
    )
    return (source[0], layer.out_channels, *size)


def _linear_shape(layer: nn.Linear, source: Shape) -> Shape:
    if source[-1] != layer.in_features:
        raise CostError(
            f"a Linear of {layer.in_features} features is given {'x'.join(map(str, source[1:]))}; "
            "units give each other maps, so flatten in the unit that the layer stands in"
        )
    return (*source[:-1], layer.out_features)


_ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.Softplus,
)  # fmt: skip
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_FREE = (
    nn.Identity, nn.Flatten, nn.Dropout, nn.Dropout2d, nn.Sequential, nn.MaxPool2d,
    nn.AdaptiveMaxPool2d, nn.ZeroPad2d, nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle,
)  # fmt: skip

_MACS: dict[type[nn.Module], Formula] = {
    nn.Conv2d: _conv,
    nn.ConvTranspose2d: _transposed_conv,
    nn.Linear: _linear,
    **dict.fromkeys((*_BATCH_NORMS, nn.InstanceNorm2d), _norm_of_maps),
    **dict.fromkeys(_ACTIVATIONS, _activation),
    nn.PReLU: _prelu,
    nn.LayerNorm: _layer_norm,
    nn.GroupNorm: _group_norm,
    nn.AvgPool2d: _average_pool,
    nn.AdaptiveAvgPool2d: _adaptive_average_pool,
    **dict.fromkeys((nn.Upsample, nn.UpsamplingBilinear2d, nn.UpsamplingNearest2d), _upsample),
    **dict.fromkeys(_FREE, _free),
}

# Layers whose output shape is known without running them, which is far quicker; any other
# layer is run on the meta device.
_SHAPES: dict[type[nn.Module], Callable[..., Shape]] = {
    nn.Conv2d: _conv_shape,
    nn.ConvTranspose2d: _transposed_conv_shape,
    nn.Linear: _linear_shape,
    **dict.fromkeys((*_BATCH_NORMS, *_ACTIVATIONS, nn.Identity, nn.Dropout), _same),
}

_SPACES = (torch, Tensor, F, torch.linalg)


def _functions(*names: str) -> frozenset[Callable[..., object]]:
    """Return what has one of these names, wherever torch keeps functions."""
    return frozenset(
        getattr(space, name) for space in _SPACES for name in names if hasattr(space, name)
    )


_UNCOUNTED = _functions(
    "matmul", "__matmul__", "__rmatmul__", "mm", "mv", "bmm", "dot", "vdot", "inner", "addmm",
    "addmv", "addbmm", "baddbmm", "einsum", "tensordot", "chain_matmul", "multi_dot", "cdist",
    "linear", "bilinear", "conv1d", "conv2d", "conv3d", "convolution", "conv_transpose1d",
    "conv_transpose2d", "conv_transpose3d", "scaled_dot_product_attention",
    "multi_head_attention_forward", "batch_norm", "group_norm", "layer_norm", "instance_norm",
    "rms_norm", "local_response_norm",
)  # fmt: skip
"""Functions that compute, and cost nothing unless a layer calls them that has a formula."""

_ACTIVATING = _functions(
    "relu", "relu_", "relu6", "prelu", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish",
    "sigmoid", "logsigmoid", "tanh", "hardtanh", "hardsigmoid", "hardswish", "softplus", "softmax",
)  # fmt: skip
"""Functions that do what a layer of `_ACTIVATIONS` does."""

_ADDING = _functions("add", "add_", "__add__", "__iadd__", "__radd__")


def register_layer_cost(kind: type[nn.Module], formula: Formula) -> None:
    """Count layers of a type, which has none yet or another formula, by this one from now on.

    Args:
        kind: type of the layers, not of those derived from it. What they call is theirs.
        formula: (layer, input's shape, output's shape), batch first, to the multiply-accumulates
            in every convention: `{"exact": …, "paper": …, "thop": …}`; see `Cost`. The input is
            the first tensor among the layer's parameters, the output the one tensor it returns.

    Raises:
        UsageError: the type is none of a layer's.
    """
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise UsageError(f"a layer's type is expected, derived from torch.nn.Module, got {kind!r}")
    _MACS[kind] = formula
    clear_unit_caches()


def function_macs(function: Callable[..., object], result: object) -> Macs:
    """MACs of a torch function that is called outside every layer, by convention.

    Args:
        function: what is called.
        result: what it returns.
    """
    if function in _ACTIVATING and isinstance(result, Tensor):
        return {"paper": result.numel()}
    return {}


def refuse_uncounted(function: Callable[..., object]) -> None:
    """Refuse a torch function that computes, where it is called outside every layer.

    Raises:
        CostError: its cost would be missing.
    """
    if function in _UNCOUNTED:
        raise CostError(
            f"{getattr(function, '__name__', function)} is called outside any layer, so its cost "
            "is not known: let a layer of torch.nn do it, or a layer of your own for which "
            "`ofa_pose.cost.register_layer_cost` has a formula"
        )


def has_formula(layer: nn.Module) -> bool:
    """Whether layers of this type are counted as a whole."""
    return type(layer) in _MACS


def shape_formula(layer: nn.Module) -> Callable[[Shape], Shape] | None:
    """The rule from a layer's input shape (batch first) to its output's; None where unknown."""
    rule = _SHAPES.get(type(layer))
    if rule is None or (isinstance(layer, nn.Conv2d) and isinstance(layer.padding, str)):
        return None
    return lambda source: rule(layer, source)


def layer_macs(layer: nn.Module, source: Shape, result: Shape) -> Macs:
    """MACs of one call of a layer, by convention.

    Args:
        layer: a module without children.
        source: shape of its input, batch first.
        result: shape of its output.

    Raises:
        CostError: there is no formula for this type of layer, or it lacks a convention.
    """
    formula = _MACS.get(type(layer))
    if formula is None:
        raise CostError(
            f"no MACs formula for layer {type(layer).__name__}; known: "
            f"{', '.join(sorted({t.__name__ for t in _MACS}))}; "
            "`ofa_pose.cost.register_layer_cost` adds one"
        )
    macs = formula(layer, source, result)
    if macs.keys() != set(CONVENTIONS):
        raise CostError(
            f"the MACs formula for layer {type(layer).__name__} gives {', '.join(macs) or 'none'}; "
            f"expected {', '.join(CONVENTIONS)}"
        )
    return macs


def works_in_place(called: Callable[..., object]) -> bool:
    """Whether an inference engine computes a layer or function in its input's memory.

    Or folds it away.
    """
    free = (nn.Identity, nn.Flatten, nn.Dropout, nn.Dropout2d)
    if isinstance(called, nn.Module):
        return isinstance(called, (*_BATCH_NORMS, *_ACTIVATIONS, *free))
    return called in _ACTIVATING


def gives_back(layer: nn.Module) -> bool:
    """Whether a layer in evaluation mode returns the tensor that it is given."""
    return isinstance(layer, nn.Identity | nn.Dropout) or bool(getattr(layer, "inplace", False))


def adds_up(function: Callable[..., object]) -> bool:
    """Whether a function is a sum."""
    return function in _ADDING
