"""What a family's list of units must be, and that a slip in it is told and not run."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor, nn

import ofa_pose as op
from ofa_pose.errors import SpaceError, UnknownNameError
from ofa_pose.models import NetworkPlan, Unit, UnitSpec, register_unit


@register_unit("test_family")
class Conv(nn.Module):
    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.conv = nn.Conv2d(sum(spec.in_channels), spec.out_channels, 1)

    def forward(self, *maps: Tensor) -> Tensor:
        return self.conv(sum(maps))


class OwnSpec(UnitSpec):
    """One whose further fields would be in no key."""


def space_of(network: Any) -> op.SearchSpace:
    op.register_family("test_family")(lambda space, arch: network)
    return op.SearchSpace(
        name="family", family="test_family", choices=(op.Choice("resolution", (8,)),)
    )


def unit(name: str, *inputs: str, shapes: int = 1) -> Unit:
    return Unit(name, UnitSpec("test_family", ((3, 8, 8),) * shapes, 3), inputs)


@pytest.mark.parametrize(
    ("network", "told"),
    [
        (
            NetworkPlan((unit("a", "input"), unit("b", "a"), unit("b", "b")), ("b",)),
            "two units, or the picture and a unit, are called 'b'",
        ),
        (NetworkPlan((unit("input", "input"),), ("input",)), "are called 'input'"),
        (
            NetworkPlan((unit("a", "b"), unit("b", "a")), ("b",)),
            "unit 'a' takes 'b', and none before it is called so",
        ),
        (NetworkPlan((unit("a", "input"),), ("b",)), "no unit is called 'b', which is an output"),
        (
            NetworkPlan((unit("a", "input"), unit("b", "a", "a")), ("b",)),
            "unit 'b' has 2 inputs and the shapes of 1",
        ),
        (
            NetworkPlan((Unit("a", UnitSpec("test_family", ((3, 8, 4),), 3), ("input",)),), ("a",)),
            "unit 'a' takes a picture of 3x8x4, and the arch's resolution is 8",
        ),
        (
            NetworkPlan((unit("a.b", "input"), unit("a.b.c.d", "a.b")), ("a.b.c.d",)),
            "unit 'a.b.c.d' would be a layer of unit 'a.b'",
        ),
        (NetworkPlan((unit("a", "input"),), "a"), "outputs is a str, not a tuple"),  # pyright: ignore[reportArgumentType]
        (NetworkPlan([unit("a", "input")], ("a",)), "units is a list, not a tuple"),  # pyright: ignore[reportArgumentType]
        (
            NetworkPlan((Unit("a", unit("a").spec, "input"),), ("a",)),  # pyright: ignore[reportArgumentType]
            "unit 'a': inputs is a str, not a tuple",
        ),
        (
            NetworkPlan((Unit("a", OwnSpec("test_family", ((3, 8, 8),), 3), ("input",)),), ("a",)),
            "unit 'a': its spec is a OwnSpec, not a UnitSpec, by whose key",
        ),
        (NetworkPlan((), ()), "it has no output"),
        (
            NetworkPlan((unit("n", shapes=0), unit("a", "input", "n", shapes=2)), ("a",)),
            "unit 'n' takes nothing; a constant is a buffer of its reader",
        ),
        ([unit("a", "input")], "it returns a list, not a NetworkPlan"),
    ],
)
def test_what_is_no_network_is_told(network: Any, told: str) -> None:
    space = space_of(network)
    uses = (
        lambda: op.Supernet(space),
        lambda: op.count(space, "largest"),
        lambda: op.CostTable(space)["params"],
    )
    for use in uses:
        with pytest.raises(SpaceError, match=f"^family 'test_family' lists no network: .*{told}"):
            use()


def test_units_beside_each_other_may_share_a_beginning_of_their_names() -> None:
    network = NetworkPlan((unit("a.b", "input"), unit("a.bc", "a.b"), unit("ab", "a.bc")), ("ab",))
    assert len(op.build(space_of(network), "largest")(Tensor(1, 3, 8, 8).zero_())) == 1


def test_an_unknown_family_is_told_with_how_one_is_known() -> None:
    space = op.SearchSpace(name="x", family="nobodys", choices=(op.Choice("resolution", (8,)),))
    with pytest.raises(
        UnknownNameError, match="^unknown family 'nobodys'.*litepose.*; one of your own"
    ):
        op.build(space, "largest")
