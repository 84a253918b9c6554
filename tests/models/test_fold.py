"""Folding batch norms changes no output beyond float error, and leaves none where it can fold."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

import ofa_pose as op
from ofa_pose import build, load_space
from ofa_pose.errors import UsageError
from ofa_pose.models import NetworkPlan, Unit, UnitSpec, fold_batch_norms, register_unit


def trained_like(network: nn.Module) -> nn.Module:
    """Give every batch norm statistics and weights that are not the identity."""
    generator = torch.Generator().manual_seed(7)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for tensor, low, high in (
                (norm.weight.data, 0.5, 2.0),
                (norm.bias.data, -1.0, 1.0),
                (norm.running_mean, -1.0, 1.0),
                (norm.running_var, 0.5, 2.0),
            ):
                assert tensor is not None
                tensor.uniform_(low, high, generator=generator)
    return network.eval()


def norms_in(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("name", ["toy", "litepose-lite0", "litepose-xs"])
@torch.no_grad()
def test_same_outputs_without_a_batch_norm(name):
    space = load_space(name)
    network = trained_like(build(space, space.smallest))
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    expected = network(images)
    norms = norms_in(network)
    assert fold_batch_norms(network) == norms > 0
    assert norms_in(network) == 0
    for output, reference in zip(network(images), expected, strict=True):
        error = (output - reference).abs().max() / reference.abs().max()
        assert error < 1e-5
    assert fold_batch_norms(network) == 0


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(4, 6, 3, groups=2, bias=True),
        nn.ConvTranspose2d(4, 6, 4, 2, groups=2),
        nn.ConvTranspose2d(4, 4, 2, 2, groups=4, bias=False),
        nn.Conv2d(4, 6, 1, bias=False),
    ],
)
@torch.no_grad()
def test_grouped_and_biased_convolutions(convolution):
    sequence = nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU())
    trained_like(sequence)
    images = torch.randn(2, 4, 9, 9)
    expected = sequence(images)
    assert fold_batch_norms(sequence) == 1
    torch.testing.assert_close(sequence(images), expected, rtol=1e-5, atol=1e-5)


def test_only_what_follows_a_convolution_is_folded():
    """A norm after an activation, and one that normalises by its batch, stay."""
    by_batch = nn.BatchNorm2d(3, track_running_stats=False)
    network = nn.Sequential(
        nn.Conv2d(3, 3, 1), nn.ReLU(), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1), by_batch
    ).eval()
    assert fold_batch_norms(network) == 0
    assert norms_in(network) == 2


def test_training_is_refused():
    with pytest.raises(UsageError, match="eval mode"):
        fold_batch_norms(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)))


class Branching(nn.Sequential):
    """A sequence that is no sequence."""

    def forward(self, input):
        first = self[0](input)
        return self[1](first) + first


class Standardised(nn.Conv2d):
    """A convolution that does not use its weights as they are."""

    def forward(self, input):
        weight = self.weight / self.weight.std()
        return nn.functional.conv2d(input, weight, self.bias)


def shared() -> nn.Module:
    conv = nn.Conv2d(3, 3, 1)
    return nn.Sequential(nn.Sequential(conv, nn.BatchNorm2d(3)), nn.Sequential(conv, nn.ReLU()))


def tied() -> nn.Module:
    one, other = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
    other.weight = one.weight
    return nn.Sequential(one, nn.BatchNorm2d(3), other, nn.ReLU())


def hooked() -> nn.Module:
    conv = nn.Conv2d(3, 3, 1)
    conv.register_forward_hook(lambda layer, inputs, output: output.relu())
    return nn.Sequential(conv, nn.BatchNorm2d(3))


@pytest.mark.parametrize(
    "build",
    [
        lambda: Branching(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)),
        lambda: nn.Sequential(Standardised(3, 3, 1), nn.BatchNorm2d(3)),
        lambda: nn.Sequential(weight_norm(nn.Conv2d(3, 3, 1)), nn.BatchNorm2d(3)),
        shared,
        tied,
        hooked,
    ],
    ids=["own forward", "own convolution", "weight norm", "shared", "tied", "hook"],
)
@torch.no_grad()
def test_what_does_more_than_it_seems_is_left_alone(build):
    network = build()
    trained_like(network)
    images = torch.randn(2, 3, 5, 5)
    expected = network(images)
    assert fold_batch_norms(network) == 0
    assert torch.equal(network(images), expected)


class Tapped(nn.Module):
    """Uses what is between a convolution and its norm."""

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        raw = self.net[0](x)
        return self.net[2](self.net[1](raw)) + raw


class Looped(Tapped):
    """Adds up what every layer of a sequence gives."""

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for layer in self.net:
            x = layer(x)
            found.append(x)
        return torch.stack(found).sum(dim=0)


class Weighed(Tapped):
    """Reads a weight beside calling the sequence."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) * self.net[0].weight.norm()  # pyright: ignore[reportCallIssue]


class InOrder(Tapped):
    """Calls every layer itself, in the sequence's own order."""

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.net:
            x = layer(x)
        return x


class OfOneSize(Tapped):
    """Takes maps of one size only."""

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__(spec)
        self.last = nn.Linear(4 * 16 * 16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.net(x).flatten(1))


def network_of(unit: type[nn.Module]) -> nn.Module:
    """A network of one unit on pictures of 16 pixels."""
    register_unit("test_fold")(unit)

    @op.register_family("test_fold")
    def family(space: op.SearchSpace, arch: op.Arch) -> NetworkPlan:
        spec = UnitSpec("test_fold", ((3, 16, 16),), 4)
        return NetworkPlan((Unit("only", spec, ("input",)),), ("only",))

    space = op.SearchSpace(
        name="fold", family="test_fold", choices=(op.Choice("resolution", (16,)),)
    )
    return op.build(space, space.largest)


@pytest.mark.parametrize(
    ("unit", "norms"), [(Tapped, 0), (Looped, 0), (Weighed, 0), (InOrder, 1), (OfOneSize, 1)]
)
@torch.no_grad()
def test_a_sequence_that_a_unit_takes_apart(unit, norms):
    # Also where the first network of the kind has norms that change nothing.
    assert fold_batch_norms(network_of(unit).eval()) == norms
    network = trained_like(network_of(unit))
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    (expected,) = network(images)
    assert fold_batch_norms(network) == norms
    torch.testing.assert_close(network(images)[0], expected, rtol=1e-4, atol=1e-4)


def test_a_sequence_in_a_module_that_nothing_is_known_of():
    spec = UnitSpec("test_fold", ((3, 16, 16),), 4)
    assert fold_batch_norms(InOrder(spec).eval()) == 0
    assert fold_batch_norms(nn.Sequential(InOrder(spec).net).eval()) == 1
