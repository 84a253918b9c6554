"""Output shape and MACs of one layer: a table of formulas, one row a layer type."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import nn

from ofa_pose.errors import CostError
from ofa_pose.models.relu6 import ReLU6

CONVENTIONS = ("exact", "paper", "thop")
"""The ways MACs are counted; never mixed. See `ofa_pose.cost.Cost`."""

Shape = Sequence[int]
Macs = dict[str, int]


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


def _batch_norm(layer: nn.BatchNorm2d, source: Shape, result: Shape) -> Macs:
    elements = math.prod(source)
    return {"exact": 0, "paper": 2 * elements, "thop": (4 if layer.affine else 2) * elements}


def _activation(layer: nn.Module, source: Shape, result: Shape) -> Macs:
    return {"exact": 0, "paper": math.prod(result), "thop": 0}


def _free(layer: nn.Module, source: Shape, result: Shape) -> Macs:
    return dict.fromkeys(CONVENTIONS, 0)


def _average_pool(layer: nn.Module, source: Shape, result: Shape) -> Macs:
    window = math.prod(source) // math.prod(result)
    return {"exact": 0, "paper": 0, "thop": (window + 1) * math.prod(result)}


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
    return (*source[:-1], layer.out_features)


_ACTIVATIONS = (nn.ReLU, nn.ReLU6, ReLU6)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)

_MACS: dict[type[nn.Module], Callable[..., Macs]] = {
    nn.Conv2d: _conv,
    nn.ConvTranspose2d: _transposed_conv,
    nn.Linear: _linear,
    **dict.fromkeys(_BATCH_NORMS, _batch_norm),
    **dict.fromkeys(_ACTIVATIONS, _activation),
    nn.AdaptiveAvgPool2d: _average_pool,
    **dict.fromkeys((nn.Identity, nn.Flatten, nn.Dropout, nn.Sequential), _free),
}

# Layers whose output shape is known without running them, which is far quicker; any other
# layer is run on the meta device.
_SHAPES: dict[type[nn.Module], Callable[..., Shape]] = {
    nn.Conv2d: _conv_shape,
    nn.ConvTranspose2d: _transposed_conv_shape,
    nn.Linear: _linear_shape,
    **dict.fromkeys((*_BATCH_NORMS, *_ACTIVATIONS, nn.Identity, nn.Dropout), _same),
}


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
        CostError: there is no formula for this type of layer.
    """
    formula = _MACS.get(type(layer))
    if formula is None:
        raise CostError(
            f"no MACs formula for layer {type(layer).__name__}; known: "
            f"{', '.join(sorted({t.__name__ for t in _MACS}))}"
        )
    return formula(layer, source, result)


def works_in_place(layer: nn.Module) -> bool:
    """Whether an inference engine computes the layer in its input's memory (or folds it away)."""
    return isinstance(layer, (*_BATCH_NORMS, *_ACTIVATIONS, nn.Identity, nn.Flatten, nn.Dropout))
