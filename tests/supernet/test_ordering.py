"""Channel ordering: nothing changes for the largest network, and the best channels come first."""

import pytest
import torch
from torch import Tensor, nn

import ofa_pose as op
from ofa_pose.errors import SpaceError
from ofa_pose.models import NetworkPlan, Unit, UnitSpec, register_unit
from ofa_pose.supernet import channel_groups, order_channels


def stirred(space: op.SearchSpace, **options: object) -> op.Supernet:
    """A supernet with batch norms that are not the identity."""
    supernet = op.Supernet(space, seed=1, **options).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for layer in supernet.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                    assert tensor is not None
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return supernet


@pytest.mark.parametrize("by", ["l1", "bn"])
@pytest.mark.parametrize("name", ["toy", "litepose-lite0"])
def test_the_largest_network_is_unchanged(name: str, by: str) -> None:
    space = op.load_space(name)
    supernet = stirred(space)
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = supernet(images, space.largest)
        small = supernet(images, space.smallest)
        order_channels(supernet, by=by)
        for old, new in zip(before, supernet(images, space.largest), strict=True):
            torch.testing.assert_close(new, old, rtol=1e-5, atol=1e-5 * float(old.abs().max()))
        assert not torch.allclose(supernet(images, space.smallest)[0], small[0])


def test_groups_of_litepose() -> None:
    space = op.load_space("toy")
    groups = {
        port: group
        for group in channel_groups(op.build(space, space.largest))
        for port in group.ports
    }
    # Stage 1's output is read by stage 2, by the last deconvolution and by the first head.
    stream = groups["stage1.0.project.0", "out"].ports
    readers = {("stage2.0.expand.0", "in"), ("deconv3.raw", "in"), ("head1.raw.0", "in")}
    assert readers <= set(stream)
    # The inside of a block concerns nobody else.
    inside = {path.split(".")[0] for path, _ in groups["stage2.0.expand.0", "out"].ports}
    assert inside == {"stage2"}
    # The two summands of a fusion share one order; pictures and maps keep theirs.
    assert ("deconv1.raw", "out") in groups["deconv1.refined", "out"].ports
    for port in [("stem.conv.0", "in"), ("head1.raw.3", "out"), ("head2.refined.3", "out")]:
        assert groups[port].fixed


def test_channels_are_sorted_by_the_weights_that_read_them() -> None:
    space = op.load_space("toy")
    supernet = stirred(space)
    order_channels(supernet)
    network = supernet.extract(space.largest)
    readers = dict(network.named_modules())
    inner = readers["stage2.0.project.0"]
    assert isinstance(inner, nn.Conv2d)
    importance = inner.weight.abs().sum(dim=(0, 2, 3))
    assert torch.equal(importance, importance.sort(descending=True).values)


@register_unit("test_wired")
class Wired(nn.Module):
    """Convolution, then a shortcut of a part of the channels: a concatenation in disguise."""

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.left = nn.Conv2d(3, spec.hidden, 3, padding=1)
        self.right = nn.Conv2d(3, spec.hidden, 3, padding=1)
        self.merge = nn.Conv2d(2 * spec.hidden, spec.out_channels, 1)
        self.norm = nn.BatchNorm2d(spec.out_channels)
        self.classify = nn.Linear(spec.out_channels, 4)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.left(x), self.right(x)], dim=1)
        return self.classify(self.norm(self.merge(both)).relu().mean(dim=(2, 3)))


@op.register_family("test_wired")
def wired(space: op.SearchSpace, arch: op.Arch) -> NetworkPlan:
    side = arch.resolution
    spec = UnitSpec("test_wired", ((3, side, side),), arch["width"], hidden=6)
    return NetworkPlan((Unit("all", spec, ("input",)),), ("all",))


def test_a_family_the_package_does_not_know() -> None:
    space = op.SearchSpace(
        name="wired",
        family="test_wired",
        choices=(op.Choice("resolution", (32,)), op.Choice("width", (8, 4))),
    )
    supernet = stirred(space)
    groups = {p: g for g in channel_groups(supernet.extract(space.largest)) for p in g.ports}
    # What is concatenated cannot be permuted by one order for both parts, so it is left alone.
    assert groups["all.left", "out"].fixed or len(groups["all.left", "out"].ports) == 1
    assert ("all.classify", "in") in groups["all.merge", "out"].ports
    assert not groups["all.merge", "out"].fixed
    images = torch.rand(2, 3, 32, 32)
    (before,) = supernet(images, space.largest)
    order_channels(supernet)
    torch.testing.assert_close(supernet(images, space.largest)[0], before)


class LayerScale(nn.Module):
    """A tensor of its own meets the channels of what it holds."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.before = nn.Conv2d(channels, channels, 1)
        self.after = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.before(x) * self.scale[:, None, None])


class HalfConvolved(nn.Module):
    """One half of the channels goes through a convolution, the other beside it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.part = nn.Conv2d(channels // 2, channels // 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        one, other = x.chunk(2, dim=1)
        return torch.cat([one, self.part(other)], dim=1)


class Repeated(nn.Module):
    """One layer under two names."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.once = nn.Conv2d(channels, channels, 1)
        self.again = self.once

    def forward(self, x: Tensor) -> Tensor:
        return self.again(self.once(x))


INNER = {
    "grouped": lambda: nn.Conv2d(8, 8, 3, padding=1, groups=2),
    "several kernels a channel": lambda: nn.Conv2d(8, 16, 3, padding=1, groups=8),
    "depthwise transposed": lambda: nn.ConvTranspose2d(8, 8, 2, 2, groups=8),
    "norm without weights": lambda: nn.BatchNorm2d(8, affine=False),
    "norm of groups": lambda: nn.GroupNorm(2, 8),
    "slopes by channel": lambda: nn.PReLU(8),
    "one slope": lambda: nn.PReLU(),
    "layer scale": lambda: LayerScale(8),
    "half convolved": lambda: HalfConvolved(8),
    "one under two names": lambda: Repeated(8),
    "linear along the last axis": lambda: nn.Linear(8, 8),
}


@register_unit("test_inner")
class Inner(nn.Module):
    """The layer of `INNER` at place `hidden` between two convolutions."""

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=4, padding=1)
        self.inner = list(INNER.values())[spec.hidden]()
        self.last = nn.Conv2d(spec.out_channels, spec.out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.inner(self.first(x)))


@op.register_family("test_inner")
def inner_family(space: op.SearchSpace, arch: op.Arch) -> NetworkPlan:
    channels = 16 if space.name == "several kernels a channel" else 8
    place = list(INNER).index(space.name)
    spec = UnitSpec("test_inner", ((3, 32, 32),), channels, hidden=place)
    return NetworkPlan((Unit("all", spec, ("input",)),), ("all",))


@pytest.mark.parametrize("name", INNER)
def test_layers_of_any_kind_keep_the_largest_network(name: str) -> None:
    supernet = op.Supernet(
        op.SearchSpace(name=name, family="test_inner", choices=(op.Choice("resolution", (32,)),))
    ).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in supernet.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    images = torch.rand(2, 3, 32, 32, generator=generator)
    (before,) = supernet(images, supernet.space.largest)
    order_channels(supernet)
    torch.testing.assert_close(supernet(images, supernet.space.largest)[0], before)


@pytest.mark.parametrize(("name", "fixed"), [("one slope", False), ("slopes by channel", True)])
def test_one_slope_of_all_channels_leaves_their_order_free(name: str, fixed: bool) -> None:
    space = op.SearchSpace(
        name=name, family="test_inner", choices=(op.Choice("resolution", (32,)),)
    )
    groups = channel_groups(op.build(space, space.largest))
    (group,) = (group for group in groups if ("all.first", "out") in group.ports)
    assert group.fixed == fixed


@pytest.mark.parametrize("precision", [torch.float64, torch.bfloat16])
def test_weights_of_any_precision_are_ordered(precision: torch.dtype) -> None:
    supernet = stirred(op.load_space("toy")).to(precision)
    order_channels(supernet)
    weight = supernet.network.get_parameter("stage2.0.project.0.weight")
    assert weight.dtype == precision
    importance = weight.float().abs().sum(dim=(0, 2, 3))
    assert torch.equal(importance, importance.sort(descending=True).values)


def test_unknown_importance_is_refused() -> None:
    with pytest.raises(SpaceError, match="'magic'"):
        order_channels(op.Supernet(op.load_space("toy")), by="magic")


class Flattened(nn.Module):
    """A linear layer that reads the whole map, whose size it knows."""

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        ((_, height, width),) = spec.in_shapes
        self.first = nn.Conv2d(3, 8, 3, 2, 1)
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.Linear(8 * (height // 2) * (width // 2), 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.norm(self.first(x)).flatten(1))


class Coarse(nn.Module):
    """A stride that leaves nothing of a tiny picture."""

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 8, 8)
        self.last = nn.Conv2d(8, 4, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x))


class Named(nn.Module):
    """Layers that are called by keyword, and one that several tensors go through."""

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.other = nn.Conv2d(3, 8, 3, padding=1)
        self.both = nn.Bilinear(8, 8, 8)
        self.last = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        one, other = self.first(input=x), self.other(x)
        mean = self.both(one.mean((2, 3)), input2=other.mean((2, 3)))
        return self.last(input=one + mean[:, :, None, None])


class Attentive(nn.Module):
    """An attention, which returns a tuple, beside a shortcut."""

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 4, 4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.last = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        tokens = y.flatten(2).transpose(1, 2)
        tokens = tokens + self.attention(tokens, tokens, tokens)[0]
        return self.last(tokens.transpose(1, 2).reshape(y.shape))


class Recurrent(nn.Module):
    """Rows of a map through an LSTM, whose tuple holds another one."""

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 4, 4)
        self.rows = nn.LSTM(8, 8, batch_first=True)
        self.last = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.first(x).mean(3).transpose(1, 2)
        _, (hidden, _) = self.rows(tokens)
        return self.last(hidden[0])


class OfNothing(nn.Module):
    """A layer that reads no other layer's channels."""

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.of_nothing = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        fixed = self.of_nothing(torch.arange(8.0)[None])
        return self.first(x).mean(1, keepdim=True) + fixed[:, :, None, None]


WHOLE = (Flattened, Coarse, Named, Attentive, Recurrent, OfNothing)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")  # of the unit's shapes
@pytest.mark.parametrize("unit", WHOLE, ids=lambda unit: unit.__name__)
def test_units_that_are_called_in_other_ways(unit: type[nn.Module]) -> None:
    register_unit("test_whole")(unit)

    @op.register_family("test_whole")
    def whole(space: op.SearchSpace, arch: op.Arch) -> NetworkPlan:
        side = arch.resolution
        spec = UnitSpec("test_whole", ((3, side, side),), 4)
        return NetworkPlan((Unit("all", spec, ("input",)),), ("all",))

    choices = (op.Choice("resolution", (64,)),)
    supernet = stirred(op.SearchSpace(name="whole", family="test_whole", choices=choices))
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for tensor in supernet.parameters():
            tensor.copy_(torch.rand(tensor.shape, generator=torch.Generator().manual_seed(1)) - 0.5)
        (before,) = supernet(images, supernet.space.largest)
        first = supernet.network.get_submodule("all.first").get_parameter("weight").clone()
        order_channels(supernet)
        (after,) = supernet(images, supernet.space.largest)
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-5)
    moved = supernet.network.get_submodule("all.first").get_parameter("weight")
    assert torch.equal(moved, first) == (unit is not Coarse)  # the only one with a free order


def _first_half_activated(x: Tensor) -> Tensor:
    half = x.shape[1] // 2
    return torch.cat([x[:, :half].relu(), x[:, half:]], dim=1)


def _times_its_place(x: Tensor) -> Tensor:
    return x * torch.arange(x.shape[1], dtype=x.dtype)[:, None, None]


UNSEEN = {
    "where": lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
    "sign": torch.sign,
    "half": _first_half_activated,
    "place": _times_its_place,
}


@pytest.mark.parametrize("by", ["l1", "bn"])
@pytest.mark.parametrize("name", UNSEEN)
def test_channels_that_a_mark_does_not_tell_apart_keep_their_order(name: str, by: str) -> None:
    @register_unit("test_unseen")
    class Unseen(nn.Module):
        def __init__(self, spec: UnitSpec) -> None:
            super().__init__()
            self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8))
            self.last = nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 1))

        def forward(self, x: Tensor) -> Tensor:
            return self.last(UNSEEN[name](self.first(x)))

    @op.register_family("test_unseen")
    def unseen(space: op.SearchSpace, arch: op.Arch) -> NetworkPlan:
        spec = UnitSpec("test_unseen", ((3, 16, 16),), 4)
        return NetworkPlan((Unit("all", spec, ("input",)),), ("all",))

    choices = (op.Choice("resolution", (16,)),)
    supernet = stirred(op.SearchSpace(name="unseen", family="test_unseen", choices=choices))
    weights = {path: tensor.clone() for path, tensor in supernet.network.state_dict().items()}
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        (before,) = supernet(images, "largest")
        order_channels(supernet, by=by)
        torch.testing.assert_close(supernet(images, "largest")[0], before, rtol=1e-4, atol=1e-4)
    moved = {
        path
        for path, tensor in supernet.network.state_dict().items()
        if not torch.equal(tensor, weights[path])
    }
    by_reader = {"all.last.0.weight", "all.last.2.weight"}  # and by no norm, whose bias is 0
    assert moved == (by_reader if by == "l1" else set())


def test_groups_are_derived_without_a_trace() -> None:
    """A network in training mode keeps its mode, its statistics and its weights."""
    supernet = stirred(op.load_space("toy"))
    network = supernet.extract("largest").train()
    network.get_submodule("stem").eval()
    before = {path: tensor.clone() for path, tensor in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    channel_groups(network)
    assert [module.training for module in network.modules()] == modes
    for path, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[path]), path
