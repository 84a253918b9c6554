"""Registering a unit or a family again replaces it everywhere, as a notebook's user expects."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ofa_pose as op
from ofa_pose import models
from ofa_pose.errors import SpaceError, UsageError
from ofa_pose.models import NetworkPlan, Unit, UnitSpec, register_unit

SPACE = op.SearchSpace(
    name="again",
    family="test_again",
    choices=(op.Choice("resolution", (8,)), op.Choice("width", (16, 8))),
)


def register(kernel: int, *, units: int = 1) -> None:
    """Run a notebook's cell: `units` convolutions without bias, of `kernel` x `kernel`."""

    @register_unit("test_again")
    class Conv(nn.Module):
        def __init__(self, spec: UnitSpec) -> None:
            super().__init__()
            self.conv = nn.Conv2d(
                spec.in_channels[0], spec.out_channels, kernel, padding=kernel // 2, bias=False
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x)

    @op.register_family("test_again")
    def family(space: op.SearchSpace, arch: op.Arch) -> NetworkPlan:
        width, last = arch["width"], ("input", 3)
        found = []
        for number in range(units):
            spec = UnitSpec("test_again", ((last[1], 8, 8),), width)
            found.append(Unit(f"unit{number}", spec, (last[0],)))
            last = (f"unit{number}", width)
        return NetworkPlan(tuple(found), (last[0],))


def parameters_built() -> int:
    network = op.build(SPACE, SPACE.largest)
    return sum(parameter.numel() for parameter in network.parameters())


def parameters_counted() -> int:
    return op.count(SPACE, SPACE.largest).params


def parameters_in_the_table() -> int:
    return int(op.CostTable(SPACE)["params"][0])


def parameters_cut_out() -> int:
    network = op.Supernet(SPACE).extract(SPACE.largest)
    return sum(parameter.numel() for parameter in network.parameters())


WAYS = [parameters_built, parameters_counted, parameters_in_the_table, parameters_cut_out]


@pytest.mark.parametrize("parameters", WAYS)
def test_another_unit(parameters: Callable[[], int]) -> None:
    register(kernel=1)
    assert parameters() == 3 * 16
    register(kernel=3)
    assert parameters() == 9 * 3 * 16


@pytest.mark.parametrize("parameters", WAYS)
def test_another_family(parameters: Callable[[], int]) -> None:
    register(kernel=1)
    assert parameters() == 3 * 16
    register(kernel=1, units=2)
    assert parameters() == 3 * 16 + 16 * 16


def test_a_supernet_runs_as_the_unit_that_is_now() -> None:
    register(kernel=1)
    op.Supernet(SPACE)(torch.zeros(1, 3, 8, 8), SPACE.smallest)
    register(kernel=3)
    supernet = op.Supernet(SPACE).eval()
    images = torch.rand(1, 3, 8, 8)
    for arch in SPACE:
        (own,), (alone,) = supernet(images, arch), supernet.extract(arch)(images)
        assert own.shape == (1, arch["width"], 8, 8)
        assert torch.equal(own, alone)


def test_a_supernet_of_the_unit_that_was_is_not_cut() -> None:
    register(kernel=1)
    supernet = op.Supernet(SPACE)
    register(kernel=3)
    with pytest.raises(SpaceError, match=r"\(16, 3, 3, 3\).*\(16, 3, 1, 1\).*make it again"):
        supernet.extract(SPACE.largest)


def test_an_option_that_can_be_changed() -> None:
    register(kernel=1)

    @op.register_family("test_again_sizes")
    def family(space: op.SearchSpace, arch: op.Arch, *, sizes: tuple[int, ...]) -> NetworkPlan:
        if sizes == (0,):
            raise TypeError("the family's own")
        spec = UnitSpec("test_again", ((3, 8, 8),), sizes[0])
        return NetworkPlan((Unit("only", spec, ("input",)),), ("only",))

    choices = (op.Choice("resolution", (8,)),)
    space = op.SearchSpace(name="sizes", family="test_again_sizes", choices=choices)
    assert (
        op.build(space, space.largest, sizes=(5,)).get_parameter("only.conv.weight").shape[0] == 5
    )
    for value in ([5], (5, [6])):
        with pytest.raises(UsageError, match=r"^option sizes=.* holds what can be changed.*tuple"):
            op.build(space, space.largest, sizes=value)
    with pytest.raises(TypeError, match="^the family's own$"):
        op.build(space, space.largest, sizes=(0,))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import not_there_at_all", "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("family = None.x", "AttributeError: 'NoneType' object has no attribute 'x'"),
        ("other = 1", "AttributeError: module 'users_family' has no attribute 'family'"),
        ("raise SystemError('two\\nlines')", "SystemError: two lines"),
        (None, "ModuleNotFoundError: No module named 'users_family'"),
    ],
)
def test_a_package_that_cannot_be_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, expected: str
) -> None:
    installed = tmp_path / "users_family-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: users-family\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(
        "[ofa_pose.families]\nusers = users_family:family\n"
    )
    if text is not None:
        (tmp_path / "users_family.py").write_text(f"{text}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "users_family", raising=False)
    space = op.SearchSpace(name="a", family="users", choices=(op.Choice("resolution", (8,)),))
    with pytest.raises(UsageError) as caught:
        op.build(space, "largest")
    assert str(caught.value) == (
        f"family 'users' cannot be loaded from users_family:family: {expected}"
    )


def test_plans_of_a_long_search_do_not_fill_the_memory() -> None:
    """Some hundred plans are kept, of 24 kB each, however many archs are seen."""
    space = op.load_space("litepose")
    rng = np.random.default_rng(0)
    for _ in range(700):
        models.plan(space, space.sample(rng))
    assert importlib.import_module("ofa_pose.models.family")._plan.cache_info().currsize == 512
