"""Units of one's own: which layers and functions are counted, as what, and which are refused."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ofa_pose.cost import CONVENTIONS, formulas, register_layer_cost
from ofa_pose.cost.counting import count_plan, unit_cost
from ofa_pose.errors import CostError, UsageError
from ofa_pose.models import NetworkPlan, Unit, UnitSpec, register_unit
from ofa_pose.models.unit import clear_unit_caches


class _Mystery(nn.Module):
    """A layer of somebody else's."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ x


@pytest.fixture
def unit_of():
    """Return a spec of 4 channels at 8x8 whose unit is what a function of no arguments makes."""

    def make(build) -> UnitSpec:
        register_unit("test_layer")(lambda spec: build())  # pyright: ignore[reportArgumentType]
        return UnitSpec("test_layer", ((4, 8, 8),), 4)

    return make


class _Calling(nn.Module):
    """A unit of one convolution, and a function of its output."""

    def __init__(self, function) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.conv(x))


def test_an_unknown_layer_is_reported_and_not_guessed(unit_of) -> None:
    spec = unit_of(lambda: nn.Sequential(_Mystery()))
    with pytest.raises(CostError, match="no MACs formula for layer _Mystery"):
        unit_cost(spec)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: x @ x.transpose(2, 3), "matmul"),
        (lambda x: torch.einsum("nchw,nchv->nchv", x, x), "einsum"),
        (lambda x: F.conv2d(x, torch.empty(4, 4, 1, 1)), "conv2d"),
        (lambda x: F.linear(x, torch.empty(8, 8)), "linear"),
        (lambda x: F.scaled_dot_product_attention(x, x, x), "attention"),
        (lambda x: F.batch_norm(x, torch.empty(4), torch.empty(4)), "batch_norm"),
        (lambda x: nn.MultiheadAttention(8, 2)(x[0], x[0], x[0])[0][None], "attention"),
    ],
)
def test_what_computes_outside_a_layer_is_reported_too(unit_of, function, name) -> None:
    spec = unit_of(lambda: _Calling(function))
    with pytest.raises(CostError, match=f"{name}.* is called outside any layer"):
        unit_cost(spec)


@pytest.mark.parametrize(
    "function", [F.relu, torch.relu, F.silu, lambda x: x.sigmoid(), lambda x: F.relu(x, True)]
)
def test_a_function_that_activates_costs_what_its_layer_does(unit_of, function) -> None:
    macs = unit_cost(unit_of(lambda: _Calling(function))).macs
    conv, elements = 8 * 8 * 4 * 4, 4 * 8 * 8
    assert macs == {"exact": conv, "paper": conv + elements, "thop": conv}


@pytest.mark.parametrize(
    "layer",
    [
        "SiLU()", "Hardswish()", "GELU()", "LeakyReLU()", "PReLU()", "PReLU(4)",
        "MaxPool2d(2)", "AvgPool2d(2)",
        "AvgPool2d(4, stride=2)", "AdaptiveAvgPool2d(2)", "AdaptiveAvgPool2d(5)",
        "AdaptiveMaxPool2d(1)",
        "GroupNorm(2, 4)", "InstanceNorm2d(4)", "InstanceNorm2d(4, affine=True)",
        "LayerNorm(8)", "LayerNorm(8, elementwise_affine=False)",
        "Upsample(scale_factor=2)", "Upsample(scale_factor=2, mode='bilinear')",
        "Upsample(scale_factor=2, mode='bicubic')", "UpsamplingNearest2d(scale_factor=2)",
        "PixelShuffle(2)", "ZeroPad2d(1)", "Dropout2d()",
    ],
)  # fmt: skip
def test_common_layers_count_as_in_thop(unit_of, thop_profile, layer) -> None:
    def build() -> nn.Module:
        return nn.Sequential(eval(f"nn.{layer}"))

    cost = unit_cost(unit_of(build))
    assert cost.macs["thop"] == thop_profile(build(), (4, 8, 8))[0]
    assert cost.macs["exact"] == 0
    assert cost.params == sum(weights.numel() for weights in build().parameters())


def test_a_formula_of_ones_own(unit_of) -> None:
    spec = unit_of(lambda: nn.Sequential(_Mystery()))
    with pytest.raises(CostError):
        unit_cost(spec)
    register_layer_cost(
        _Mystery, lambda layer, source, result: dict.fromkeys(CONVENTIONS, 8 * math.prod(result))
    )
    try:
        # 4 products of 8x8 matrices.
        assert unit_cost(spec).macs == dict.fromkeys(CONVENTIONS, 4 * 8**3)
        register_layer_cost(_Mystery, lambda layer, source, result: {"exact": 1})
        with pytest.raises(CostError, match="gives exact; expected exact, paper, thop"):
            unit_cost(spec)
    finally:
        del formulas._MACS[_Mystery]
        clear_unit_caches()


class _Attending(nn.Module):
    """A layer with layers inside, whose formula counts what those compute, too."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2)
        self.conv = nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(self.attention(x[0], x[0], x[0])[0][None])


def test_a_formula_holds_for_all_that_its_layer_calls(unit_of) -> None:
    spec = unit_of(lambda: nn.Sequential(_Attending(), nn.Conv2d(4, 4, 1)))
    with pytest.raises(CostError, match="outside any layer"):
        unit_cost(spec)
    register_layer_cost(_Attending, lambda layer, source, result: dict.fromkeys(CONVENTIONS, 5))
    try:
        assert unit_cost(spec).macs == dict.fromkeys(CONVENTIONS, 5 + 8 * 8 * 4 * 4)
    finally:
        del formulas._MACS[_Attending]
        clear_unit_caches()


def test_only_a_layers_type_gets_a_formula() -> None:
    with pytest.raises(UsageError, match=r"derived from torch\.nn\.Module, got SiLU"):
        register_layer_cost(nn.SiLU(), lambda *shapes: {})  # pyright: ignore[reportArgumentType]


class _CallingByName(nn.Module):
    """A unit that names what it gives to its layers, or does not."""

    def __init__(self, by_name: bool) -> None:
        super().__init__()
        self.by_name = by_name
        self.layers = nn.ModuleList(
            [nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU6(True), nn.SiLU(), nn.MaxPool2d(2)]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(input=x) if self.by_name else layer(x)
        return x


def test_layers_called_by_keyword_count_alike(unit_of) -> None:
    cost = unit_cost(unit_of(lambda: _CallingByName(by_name=True)))
    # 6 maps of 6 x 6 cells, 3 x 3 x 4 products each; norm 2 (thop: 4) and two activations.
    conv, elements = 6 * 6**2 * 36, 6 * 6**2
    assert cost.macs == {
        "exact": conv,
        "paper": conv + 4 * elements,
        "thop": conv + 4 * elements,
    }
    # At the pool the input, the convolution's maps, a quarter of them.
    assert cost.peak_memory == 4 * (4 * 8**2 + elements + elements // 4)
    assert cost == unit_cost(unit_of(lambda: _CallingByName(by_name=False)))


def test_a_transposed_convolution_to_a_given_size(unit_of) -> None:
    class Grown(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.deconv = nn.ConvTranspose2d(4, 4, 3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.deconv(x, output_size=(18, 18))  # 17 x 17 otherwise

    cost = unit_cost(unit_of(Grown))
    products = 4 * 4 * 3**2
    outside = 18**2 * products
    assert cost.macs == {"exact": 8**2 * products, "paper": outside, "thop": outside}
    assert cost.output_memory == 4 * 4 * 18**2


class _Gate(nn.Module):
    """A layer of two tensors."""

    def forward(self, x: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        return x * gate


class _Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 1, 1)
        self.gate = _Gate()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gate(gate=self.conv(x), x=x)


def test_a_formula_takes_the_first_parameter_by_whatever_order(unit_of) -> None:
    register_layer_cost(
        _Gate, lambda layer, source, result: dict.fromkeys(CONVENTIONS, math.prod(source))
    )
    try:
        cost = unit_cost(unit_of(_Gated))
        assert cost.macs["exact"] == 8**2 * 4 + 4 * 8**2
        # The input, the gate of one channel, the product.
        assert cost.peak_memory == 4 * 8**2 * (4 + 1 + 4)
    finally:
        del formulas._MACS[_Gate]
        clear_unit_caches()


class _Named(nn.Module):
    """A layer that returns a dict."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"x": x}


class _Learnt(nn.Module):
    """A layer that is given nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, 4, 8, 8))

    def forward(self) -> torch.Tensor:
        return self.weight * 2


class _Around(nn.Module):
    """A unit of one layer, whatever that takes and returns."""

    def __init__(self, layer: nn.Module, call) -> None:
        super().__init__()
        self.layer = layer
        self.call = call

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.call(self.layer, x)


@pytest.mark.parametrize(
    ("make", "call", "told"),
    [
        (
            lambda: nn.MaxPool2d(2, return_indices=True),
            lambda layer, x: layer(x)[0],
            "layer MaxPool2d returns a tuple, .*: let it return one tensor",
        ),
        (_Named, lambda layer, x: layer(x)["x"], "layer _Named returns a dict, .*: let it return"),
        (_Learnt, lambda layer, x: x + layer(), "layer _Learnt is called without a tensor"),
        (nn.ReLU, lambda layer, x: (layer(x), x), r"unit test_layer:4x8x8:4:k1:s1 returns a tuple"),
    ],
)
def test_what_is_no_tensor_is_reported_by_name(unit_of, make, call, told) -> None:
    with pytest.raises(CostError, match=told) as error:
        unit_cost(unit_of(lambda: _Around(make(), call)))
    assert "\n" not in str(error.value)


def test_a_shape_that_is_changed_in_place(unit_of) -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 1)
            self.linear = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(self.conv(x).transpose_(1, 3))

    # A convolution of 4 x 4 products a cell, then a linear layer of 4 x 2.
    assert unit_cost(unit_of(Turned)).macs["exact"] == 8 * 8 * (4 * 4 + 4 * 2)


class _Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flat = nn.Flatten()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.flat(self.pool(x))


class _OfItsMap(nn.Module):
    """Layers and a number of repetitions that follow from a map's height and width."""

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        ((channels, height, width),) = spec.in_shapes
        self.norm = nn.LayerNorm([channels, height, width])
        self.mix = nn.Linear(height * width, 5)
        self.times = height // 4

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(self.times):
            x = self.norm(x)
        return self.mix(x.flatten(2))[..., None]


def test_a_unit_that_follows_from_its_maps_sizes() -> None:
    register_unit("test_of_its_map")(_OfItsMap)
    for side in (8, 12):
        cost = unit_cost(UnitSpec("test_of_its_map", ((4, side, side),), 4))
        cells = side * side
        assert cost.macs["exact"] == 4 * cells * 5
        assert cost.macs["paper"] == 4 * cells * 5 + side // 4 * 2 * 4 * cells
        assert cost.params == 2 * 4 * cells + cells * 5 + 5


class _Sum(nn.Module):
    """A unit without a layer."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + y)


def test_a_unit_of_functions_alone(unit_of) -> None:
    spec = replace(unit_of(_Sum), in_shapes=((4, 8, 8), (4, 8, 8)))
    elements = 4 * 8 * 8
    cost = unit_cost(spec)
    assert cost.macs == {"exact": 0, "paper": elements, "thop": 0}
    assert (cost.params, cost.output_memory) == (0, 4 * elements)
    assert cost.peak_memory == 3 * 4 * elements  # its inputs live throughout
    with pytest.raises(CostError, match="matmul.* is called outside any layer"):
        unit_cost(unit_of(_Mystery))
    with pytest.raises(CostError, match="no MACs formula for layer RMSNorm"):
        unit_cost(unit_of(lambda: nn.RMSNorm(8)))


def _plan_of(*units: tuple[Callable[[], nn.Module], tuple[int, int, int], int]) -> NetworkPlan:
    """A chain of units, each of what makes it, what its spec states of its input, and channels."""
    found: list[Unit] = []
    for number, (make, shape, channels) in enumerate(units):
        kind = f"test_stated_{number}"
        register_unit(kind)(lambda spec, make=make: make())  # pyright: ignore[reportArgumentType]
        source = found[-1].name if found else "input"
        found.append(Unit(f"unit{number}", UnitSpec(kind, (shape,), channels), (source,)))
    return NetworkPlan(tuple(found), (found[-1].name,))


@pytest.mark.parametrize(
    ("stated", "given"), [((8, 7, 7), "8x8x8"), ((4, 8, 8), "8x8x8"), ((8, 16, 16), "8x8x8")]
)
def test_a_map_that_is_not_what_its_reader_states_is_reported(stated, given) -> None:
    network = _plan_of(
        (lambda: nn.Conv2d(3, 8, 3, 2, 1), (3, 15, 15), 8),
        (lambda: nn.Conv2d(stated[0], 4, 1), stated, 4),
    )
    wanted = f"unit 'unit1' is given {given} by 'unit0', and its spec states "
    with pytest.raises(CostError, match=wanted + "x".join(map(str, stated))):
        count_plan(network)


def test_a_picture_that_two_units_state_otherwise_is_reported() -> None:
    network = _plan_of((lambda: nn.Conv2d(3, 4, 1), (3, 16, 16), 4))
    (first,) = network.units
    other = Unit("other", UnitSpec(first.spec.kind, ((3, 8, 8),), 4), ("input",))
    with pytest.raises(CostError, match="is given 3x16x16 by 'input', and its spec states 3x8x8"):
        count_plan(NetworkPlan((first, other), ("unit0", "other")))


def test_a_vector_is_stated_as_a_map_of_one_cell() -> None:
    """What reads it counts alike, if it makes a vector of the map; a linear layer alone cannot."""
    pooled = (_Pooled, (4, 8, 8), 4)
    flat = (lambda: nn.Sequential(nn.Flatten(), nn.Linear(4, 10)), (4, 1, 1), 10)
    assert count_plan(_plan_of(pooled, flat)).macs["exact"] == 4 * 10
    with pytest.raises(CostError, match="a Linear of 4 features is given 4x1x1; .* flatten in the"):
        count_plan(_plan_of(pooled, (lambda: nn.Linear(4, 10), (4, 1, 1), 10)))
