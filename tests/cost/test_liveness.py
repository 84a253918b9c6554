"""Peak memory by hand: every unit here maps 4x8x8 numbers, by a 1x1 convolution first."""

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ofa_pose as op
from ofa_pose.cost.counting import unit_cost
from ofa_pose.models import NetworkPlan, Unit, UnitSpec, register_unit
from ofa_pose.models.unit import clear_unit_caches

MAP = 4 * 8 * 8
"""Elements of the input, and of what the convolution makes of it."""


class _Then(nn.Module):
    """A convolution, then a function of its output and of the unit itself."""

    def __init__(self, then: Callable[[Tensor, "_Then"], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)
        self.second = nn.Conv2d(4, 4, 1)
        self.scale = nn.Parameter(torch.ones(4))
        self.relu = nn.ReLU()
        self.relu_in_place = nn.ReLU(inplace=True)
        self.norm = nn.BatchNorm2d(4)
        self.flatten = nn.Flatten(2)
        self.identity = nn.Identity()
        self.upsample = nn.Upsample(scale_factor=2)
        self.then = then

    def forward(self, x: Tensor) -> Tensor:
        self.x = x
        return self.then(self.conv(x), self)


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    clear_unit_caches()


def peak_elements(then: Callable[[Tensor, _Then], Tensor]) -> int:
    register_unit("test_then")(lambda spec: _Then(then))  # pyright: ignore[reportArgumentType]
    cost = unit_cost(UnitSpec("test_then", ((4, 8, 8),), 4))
    assert cost.peak_memory % 4 == 0
    return cost.peak_memory // 4


@pytest.mark.parametrize(
    "then",
    [
        lambda c, unit: c,
        lambda c, unit: F.relu(c),
        lambda c, unit: torch.relu(c),
        lambda c, unit: c.relu(),
        lambda c, unit: F.relu(c, inplace=True),
        lambda c, unit: unit.relu(c),
        lambda c, unit: unit.relu_in_place(c),
        lambda c, unit: F.silu(unit.norm(c)),
        lambda c, unit: unit.relu(unit.norm(c)),
        lambda c, unit: F.dropout(c, training=False),
    ],
)
def test_activations_are_computed_in_place_by_whatever_name(then) -> None:
    assert peak_elements(then) == MAP + MAP


@pytest.mark.parametrize(
    "then",
    [
        lambda c, unit: F.interpolate(c, scale_factor=2),
        lambda c, unit: F.interpolate(c, size=(16, 16), mode="bilinear"),
        lambda c, unit: unit.upsample(c),
        lambda c, unit: F.max_pool2d(F.interpolate(c, scale_factor=2), 2),
        lambda c, unit: F.relu(unit.upsample(c)),
        lambda c, unit: unit.relu(F.interpolate(c, scale_factor=2)),
        lambda c, unit: torch.cat([c, c, c, c], dim=1),
        lambda c, unit: torch.cat(tensors=(c, c, c, c), dim=1),
        lambda c, unit: F.pad(c, (4, 4, 4, 4)),
        lambda c, unit: c.repeat(1, 4, 1, 1),
    ],
)
def test_a_functions_tensor_counts(then) -> None:
    # The input, the convolution's map and one of four times its size.
    assert peak_elements(then) == MAP + MAP + 4 * MAP


@pytest.mark.parametrize(
    "then",
    [
        lambda c, unit: c.flatten(1).reshape(1, 4, 8, 8),
        lambda c, unit: c.transpose(1, 2)[:, :4].detach(),
        lambda c, unit: unit.flatten(c).view(1, 4, 8, 8),
        lambda c, unit: unit.identity(c),
        lambda c, unit: c.expand(3, 4, 8, 8)[:1],
        lambda c, unit: c.contiguous().float(),
        lambda c, unit: c.chunk(2, dim=1)[1],
        lambda c, unit: c.mul_(2).clamp_(0, 6),
        lambda c, unit: c.add_(unit.x),
        lambda c, unit: c[:, :2].copy_(unit.x[:, 2:]),
    ],
)
def test_views_and_changes_in_place_take_no_memory(then) -> None:
    assert peak_elements(then) == MAP + MAP


def test_views_of_the_input_take_none_either() -> None:
    # The second convolution reads a view of the input: the first one's map, unread, and its own.
    assert peak_elements(lambda c, unit: unit.second(unit.identity(unit.x))) == 3 * MAP


def test_memory_lives_as_long_as_a_view_is_read() -> None:
    def swapped(c: Tensor, unit: _Then) -> Tensor:
        one, other = c.chunk(2, dim=1)
        grown = F.interpolate(one, scale_factor=4)  # 16 halves
        return torch.cat([F.max_pool2d(grown, 4), other], dim=1)

    # At the pool: the input, the whole map of which half is still to be read, 16 halves and one.
    assert peak_elements(swapped) == MAP + MAP + 8 * MAP + MAP // 2


def test_a_tensor_dies_when_nothing_reads_it_any_more() -> None:
    def twice(c: Tensor, unit: _Then) -> Tensor:
        for _ in range(3):
            c = F.avg_pool2d(F.interpolate(c, scale_factor=4), 4)
        return c

    assert peak_elements(twice) == MAP + MAP + 16 * MAP


@pytest.mark.parametrize(
    ("then", "maps"),
    [
        # The activation cannot overwrite what the product reads: input, map, gate, product.
        (lambda c, unit: c * torch.sigmoid(c), 4),
        (lambda c, unit: c * unit.relu(c), 4),
        # Nor the map that is added up later: input, map, activation, second map.
        (lambda c, unit: c + unit.second(F.relu(c)), 4),
        (lambda c, unit: c + unit.second(unit.relu(unit.norm(c))), 4),
        # Nor the unit's input.
        (lambda c, unit: F.relu(unit.x), 3),
        (lambda c, unit: unit.relu(unit.x), 3),
    ],
)
def test_what_is_read_later_is_not_overwritten(then, maps) -> None:
    assert peak_elements(then) == maps * MAP


@pytest.mark.parametrize(
    ("then", "maps"),
    [
        # A sum that is the output is made in the memory of a term: input, map.
        (lambda c, unit: unit.x + c, 2),
        (lambda c, unit: torch.add(c, unit.x, alpha=2), 2),
        (lambda c, unit: unit.x + c + unit.x, 2),
        (lambda c, unit: 1 + c, 2),
        # Not where both terms are the unit's inputs: input, map, sum.
        (lambda c, unit: unit.x + unit.x, 3),
        # One that is read on has its own, and so has any other function's result.
        (lambda c, unit: F.relu(unit.x + c), 3),
        (lambda c, unit: unit.relu(unit.x + c), 3),
        (lambda c, unit: unit.x - c, 3),
        (lambda c, unit: c * 2, 3),
    ],
)
def test_sums(then, maps) -> None:
    assert peak_elements(then) == maps * MAP


def test_weights_do_not_count() -> None:
    # The input, the map, the product.
    assert peak_elements(lambda c, unit: c * unit.scale.view(1, 4, 1, 1)) == 3 * MAP
    # What is made of weights does: 4 numbers more.
    assert peak_elements(lambda c, unit: c * unit.scale.exp().view(1, 4, 1, 1)) == 3 * MAP + 4


def test_a_tensor_that_is_filled_piece_by_piece() -> None:
    def filled(c: Tensor, unit: _Then) -> Tensor:
        both = torch.empty(1, 8, 8, 8)
        both[:, :4] = c
        both[:, 4:] = unit.second(c)
        return both

    # At the second convolution: the input, the map, both halves, the second map.
    assert peak_elements(filled) == (1 + 1 + 2 + 1) * MAP


def test_fusion_deconv_by_hand() -> None:
    # Two maps of 5 channels on 16 x 16 cells and their sum, in which norm and ReLU are computed.
    spec = UnitSpec("fusion_deconv", ((4, 8, 8), (6, 8, 8)), 5, kernel=4, stride=2)
    assert unit_cost(spec).peak_memory == 4 * ((4 + 6) * 8**2 + 3 * 5 * 16**2)


def test_fusion_head_by_hand() -> None:
    # The first head's maps wait while the second's depthwise map of 6 channels becomes maps.
    spec = UnitSpec("fusion_head", ((4, 8, 8), (6, 8, 8)), 5, kernel=5)
    assert unit_cost(spec).peak_memory == 4 * 8**2 * ((4 + 6) + 5 + 6 + 5)


@register_unit("test_pyramid")
class _Pyramid(nn.Module):
    """The top map, doubled, beside the side one; a convolution fuses them."""

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.fuse = nn.Conv2d(sum(spec.in_channels), spec.out_channels, 1)

    def forward(self, top: Tensor, side: Tensor) -> Tensor:
        return F.relu(self.fuse(torch.cat([F.interpolate(top, scale_factor=2), side], dim=1)))


@register_unit("test_down")
class _Down(nn.Module):
    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.conv = nn.Conv2d(spec.in_channels[0], spec.out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.max_pool2d(x, 2))


def test_a_table_counts_functions_as_count_does() -> None:
    @op.register_family("test_pyramids")
    def pyramids(space: op.SearchSpace, arch: op.Arch) -> NetworkPlan:
        side, top, out = arch.resolution, arch["top"], arch["out"]
        down = UnitSpec("test_down", ((3, side, side),), top)
        fuse = UnitSpec("test_pyramid", ((top, side // 2, side // 2), (3, side, side)), out)
        return NetworkPlan((Unit("a", down, ("input",)), Unit("b", fuse, ("a", "input"))), ("b",))

    space = op.SearchSpace(
        name="pyramids",
        family="test_pyramids",
        choices=(
            op.Choice("resolution", (16, 8)),
            op.Choice("top", (8, 4)),
            op.Choice("out", (32, 2)),
        ),
    )
    table = op.CostTable(space)
    for index, arch in enumerate(space):
        assert table["peak_memory"][index] == op.count(space, arch).peak_memory
        side, top, out = arch.resolution, arch["top"], arch["out"]
        # Inputs of b, and at the concatenation the doubled map, both; at the fusion both, output.
        held = side**2 * 3 + side**2 // 4 * top
        inner = max(top + (top + 3), (top + 3) + out) * side**2
        assert table["peak_memory"][index] == 4 * (held + inner)
