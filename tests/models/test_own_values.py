"""What a unit's own constructor gives its tensors, and what no rule of the package fills."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import ofa_pose as op
from ofa_pose.errors import SpaceError
from ofa_pose.models import NetworkPlan, Unit, UnitSpec, register_unit

SPACE = op.SearchSpace(
    name="own values", family="test_own_values", choices=(op.Choice("resolution", (8,)),)
)


def register(unit: Callable[[], nn.Module]) -> None:
    """Let the network be two units, `a` and `b`, of one spec."""
    register_unit("test_own_values")(lambda spec: unit())  # pyright: ignore[reportArgumentType]

    @op.register_family("test_own_values")
    def family(space: op.SearchSpace, arch: op.Arch) -> NetworkPlan:
        spec = UnitSpec("test_own_values", ((3, 8, 8),), 3)
        return NetworkPlan((Unit("a", spec, ("input",)), Unit("b", spec, ("a",))), ("b",))


def soil_memory() -> None:
    """Leave numbers where memory without values may come to lie."""
    del [torch.full((1024,), 7.7) for _ in range(64)][:]


class Scaled(nn.Module):
    """Tensors of its own, constant ones and one that is drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.gamma = nn.Parameter(torch.full((3, 1, 1), 0.5))
        self.bias = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))
        self.drawn = nn.Parameter(torch.randn(4))
        self.register_buffer("blur", torch.tensor([1.0, 2.0, 1.0]))
        self.register_buffer("steps", torch.arange(3), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * self.gamma


def check(unit: nn.Module) -> None:
    assert isinstance(unit, Scaled)
    assert unit.gamma.flatten().tolist() == [0.5, 0.5, 0.5]
    assert unit.bias.tolist() == [1.0, 2.0, 3.0]
    assert unit.get_buffer("blur").tolist() == [1.0, 2.0, 1.0]
    assert unit.get_buffer("steps").tolist() == [0, 1, 2]


def test_tensors_of_its_own_have_the_constructor_s_values() -> None:
    register(Scaled)
    soil_memory()
    network = op.build(SPACE, SPACE.largest)
    supernet = op.Supernet(SPACE)
    for found in (network, supernet.network, supernet.extract(SPACE.largest)):
        for name in ("a", "b"):
            check(found.get_submodule(name))


def test_what_a_constructor_draws_follows_the_seed_alone() -> None:
    register(Scaled)
    before = torch.get_rng_state()
    one, same, other = (op.build(SPACE, SPACE.largest, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, same.state_dict()[name])
    drawn = [network.get_parameter("a.drawn").tolist() for network in (one, other)]
    assert drawn[0] != drawn[1]
    assert drawn[0] != one.get_parameter("b.drawn").tolist()


def test_own_tensors_do_not_change_what_layers_draw() -> None:
    register(Scaled)
    scaled = op.build(SPACE, SPACE.largest, seed=3)
    register(lambda: nn.Conv2d(3, 3, 1))
    plain = op.build(SPACE, SPACE.largest, seed=3)
    for name in ("a", "b"):
        expected = plain.get_parameter(f"{name}.weight")
        assert torch.equal(scaled.get_parameter(f"{name}.conv.weight"), expected)


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(64, 2)


def test_a_layer_of_torch_that_fills_itself_only_when_it_is_made() -> None:
    register(Attending)
    soil_memory()
    weight = op.build(SPACE, SPACE.largest).get_parameter("a.attend.in_proj_weight")
    # Xavier's rule (Glorot and Bengio 2010, equation 16): uniform up to sqrt(6 / (in + out)).
    bound = (6 / (64 + 3 * 64)) ** 0.5
    assert 0.9 * bound < weight.max() <= bound
    assert abs(weight.mean()) < 0.02 * bound


class Unfilled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Module())
        self.inner[0].scale = nn.Parameter(torch.empty(3))


class FilledLater(Unfilled):
    def initialize(self, generator: torch.Generator) -> None:
        self.get_parameter("inner.0.scale").data.fill_(2)


def test_a_tensor_without_a_value_is_named() -> None:
    register(Unfilled)
    with pytest.raises(SpaceError, match=r"test_own_values:3x8x8:3.*inner\.0\.scale.*no value"):
        op.build(SPACE, SPACE.largest)
    register(FilledLater)
    scale = op.build(SPACE, SPACE.largest).get_parameter("a.inner.0.scale")
    assert scale.tolist() == [2, 2, 2]


class Loose(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.grid = torch.arange(3)


def test_a_tensor_that_is_no_buffer_is_named() -> None:
    register(Loose)
    with pytest.raises(SpaceError, match=r"grid is a tensor.*register_buffer\('grid'"):
        op.build(SPACE, SPACE.largest)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(3, 3, 1))
        self.other = nn.Conv2d(3, 3, 1)
        self.other.weight = self.one[0].weight  # pyright: ignore[reportAttributeAccessIssue]


class CalledTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.conv(x))


def test_a_tensor_that_two_layers_share_is_named() -> None:
    register(Tied)
    with pytest.raises(SpaceError, match=r"other\.weight is the tensor one\.0\.weight, .*twice"):
        op.build(SPACE, SPACE.largest)
    register(CalledTwice)
    assert len(list(op.build(SPACE, SPACE.largest).parameters())) == 2 * 2


def test_a_tier_is_read_with_the_buffers_that_no_file_holds(tmp_path) -> None:
    from ofa_pose.export import load_tier, make_tier, save_tier

    register(Scaled)
    network = op.build(SPACE, SPACE.largest)
    network.get_parameter("a.gamma").data.fill_(4)
    save_tier(tmp_path, make_tier("XS", SPACE, SPACE.largest), network)
    soil_memory()
    read = load_tier(tmp_path / "XS.yaml", space=SPACE).build()
    assert read.get_buffer("a.steps").tolist() == [0, 1, 2]
    assert read.get_parameter("a.gamma").flatten().tolist() == [4, 4, 4]
