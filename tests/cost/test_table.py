"""Costs of a whole space against counting arch by arch."""

import numpy as np
import pytest
import torch
from torch import nn

import ofa_pose as op
from ofa_pose.errors import CostError
from ofa_pose.models import NetworkPlan, Unit, UnitSpec, register_unit


@pytest.mark.parametrize("name", ["toy", "litepose-lite0"])
def test_table_equals_counting_one_by_one(name: str) -> None:
    space = op.load_space(name)
    table = op.CostTable(space, skeleton="coco")
    some = np.random.default_rng(0).integers(len(space), size=40)
    for index in {0, len(space) - 1, *some.tolist()}:
        cost = op.count(space, space[index], skeleton="coco")
        for convention, macs in cost.macs.items():
            assert table[f"macs_{convention}"][index] == macs
        assert table["params"][index] == cost.params
        assert table["peak_memory"][index] == cost.peak_memory


def test_kernels_and_expansions() -> None:
    """XS is the paper's network there too; a block's MACs by hand when its kernel shrinks."""
    space = op.load_space("litepose-k")
    xs = space.arch("XS")
    cost = op.count(space, xs)
    assert round(cost.macs["exact"] / 1e9, 4) == 0.8829
    smaller = op.count(space, space.arch({**xs, "kernel1": 3}))
    # Stage 1: six blocks of 96 channels inside, the depthwise kernels on 64 x 64 cells.
    assert cost.macs["exact"] - smaller.macs["exact"] == 6 * 64**2 * 96 * (7**2 - 3**2)
    halved = op.count(space, space.arch({**xs, "expansion4": 3}))
    # Stage 4, on 16 x 16 cells: half of 288 channels in the first block, of 480 in nine more.
    first, others = 16**2 * 144 * (48 + 49 + 80), 9 * 16**2 * 240 * (80 + 49 + 80)
    assert cost.macs["exact"] - halved.macs["exact"] == first + others


@pytest.mark.slow
def test_a_table_of_millions_equals_counting_one_by_one() -> None:
    space = op.load_space("litepose-k")
    costs = op.CostTable(space).arrays()
    for index in np.random.default_rng(0).integers(len(space), size=200).tolist():
        cost = op.count(space, space[index])
        counted = [*cost.macs.values(), cost.params, cost.peak_memory]
        assert [costs[name][index] for name in costs] == counted


def test_elastic_depth() -> None:
    toy = op.load_space("toy")
    stages = [dict(stage) for stage in toy.network["stages"]]
    stages[1]["blocks"], stages[2]["blocks"] = "depth2", "depth3"
    space = op.SearchSpace(
        name="deep",
        family="litepose",
        choices=(*toy.choices, op.Choice("depth2", (3, 1)), op.Choice("depth3", (4, 2, 1))),
        network={**toy.network, "stages": stages},
    )
    table = op.CostTable(space)
    for index in range(0, len(space), 7):
        cost = op.count(space, space[index])
        assert table["macs_exact"][index] == cost.macs["exact"]
        assert table["peak_memory"][index] == cost.peak_memory


@register_unit("test_sum")
class _Add(nn.Module):
    """A 1x1 convolution of each input, added up."""

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(n, spec.out_channels, 1) for n in spec.in_channels)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        first, *others = [conv(x) for conv, x in zip(self.convs, inputs, strict=True)]
        for other in others:
            first = first + other
        return first


def test_wiring_by_a_choice() -> None:
    """A picture that waits for the last unit, or not; and a unit that the largest arch lacks."""

    @op.register_family("test_rewired")
    def wired(space: op.SearchSpace, arch: op.Arch) -> NetworkPlan:
        def unit(name: str, inputs: tuple[str, ...], out: int) -> Unit:
            shapes = tuple(((widths[source], side, side)) for source in inputs)
            widths[name] = out
            return Unit(name, UnitSpec("test_sum", shapes, out), inputs)

        side, width = arch.resolution, arch["width"]
        widths = {"input": 3}
        units = [unit("a", ("input",), width)]
        units.append(unit("b", ("a", "input") if arch["late"] == 2 else ("a",), 2 * width))
        units += [unit("extra", ("b",), 40)] if arch["late"] == 1 else []
        last = units[-1].name
        units.append(unit("c", (last, "input") if arch["late"] == 2 else (last,), 2))
        return NetworkPlan(tuple(units), ("c",))

    space = op.SearchSpace(
        name="wired",
        family="test_rewired",
        choices=(
            op.Choice("resolution", (16, 8)),
            op.Choice("width", (8, 4)),
            op.Choice("late", (2, 1)),
        ),
    )
    table = op.CostTable(space)
    assert [place.name for place in table.places] == ["a", "b", "c", "extra"]
    for index in range(len(space)):
        assert table["peak_memory"][index] == op.count(space, space[index]).peak_memory
        assert table["macs_exact"][index] == op.count(space, space[index]).macs["exact"]
    # While b adds its second input: the picture, a, its own two maps.
    assert table["peak_memory"][0] == 4 * 16**2 * (3 + 8 + 16 + 16)


def test_a_unit_that_only_some_pairs_of_values_have_is_never_missed() -> None:
    @op.register_family("test_pairs")
    def pairs(space: op.SearchSpace, arch: op.Arch) -> NetworkPlan:
        side, first, second = arch.resolution, arch["w0"], arch["w1"]
        units = [Unit("a", UnitSpec("test_sum", ((3, side, side),), first), ("input",))]
        if first > second:
            spec = UnitSpec("test_sum", ((first, side, side),), first)
            units.append(Unit("b", spec, ("a",)))
        return NetworkPlan(tuple(units), (units[-1].name,))

    space = op.SearchSpace(
        name="pairs",
        family="test_pairs",
        choices=(
            op.Choice("resolution", (16, 8)),
            op.Choice("w0", (8, 4)),
            op.Choice("w1", (8, 4)),
        ),
    )
    table = op.CostTable(space)
    try:
        found = table.arrays()
    except CostError:  # told, which is as good
        return
    for index in range(len(space)):
        assert found["macs_exact"][index] == op.count(space, space[index]).macs["exact"]


def test_a_unit_of_a_few_archs_is_varied_by_itself() -> None:
    """A unit that one value in forty builds, of a width and a further unit that others give."""

    @op.register_family("test_rare")
    def rare(space: op.SearchSpace, arch: op.Arch) -> NetworkPlan:
        side, width = arch.resolution, arch["width"]
        units = [Unit("a", UnitSpec("test_sum", ((3, side, side),), 2), ("input",))]
        if arch["kind"] == 20:
            units.append(Unit("b", UnitSpec("test_sum", ((2, side, side),), width), ("a",)))
            if arch["depth"] == 20:
                units.append(Unit("c", UnitSpec("test_sum", ((width, side, side),), 5), ("b",)))
        return NetworkPlan(tuple(units), (units[-1].name,))

    space = op.SearchSpace(
        name="rare",
        family="test_rare",
        choices=(
            op.Choice("resolution", (16,)),
            op.Choice("kind", tuple(range(40, 0, -1))),
            op.Choice("depth", tuple(range(40, 0, -1))),
            op.Choice("width", (8, 6, 4)),
        ),
    )
    table = op.CostTable(space)
    for index, arch in enumerate(space):
        width = arch["width"] if arch["kind"] == 20 else 0
        last = 5 if width and arch["depth"] == 20 else 0
        assert table["macs_exact"][index] == 16**2 * (3 * 2 + 2 * width + width * last)
        maps = max(3 + 2, 2 + width, width + last)  # the widest unit's input and output
        assert table["peak_memory"][index] == 4 * 16**2 * maps


def test_a_winner_whose_costs_do_not_split_is_refused() -> None:
    """One pair of values in 2,304 builds a unit; no probe and none of the archs compared has it."""

    @op.register_family("test_single")
    def single(space: op.SearchSpace, arch: op.Arch) -> NetworkPlan:
        side = arch.resolution
        units = [Unit("a", UnitSpec("test_sum", ((3, side, side),), arch["w0"]), ("input",))]
        units.append(Unit("b", UnitSpec("test_sum", ((arch["w0"], side, side),), 2), ("a",)))
        if (arch["w0"], arch["w1"]) == (2, 2):
            units.append(Unit("c", UnitSpec("test_sum", ((2, side, side),), 90), ("b",)))
        return NetworkPlan(tuple(units), (units[-1].name,))

    widths = tuple(range(48, 0, -1))
    space = op.SearchSpace(
        name="single",
        family="test_single",
        choices=(
            op.Choice("resolution", (16,)),
            op.Choice("w0", widths),
            op.Choice("w1", widths),
        ),
    )
    odd = space.arch({"resolution": 16, "w0": 2, "w1": 2})
    table = op.CostTable(space)
    budget = 16**2 * 2 * (3 + 2)  # MACs of a and b of the odd arch, which has 90 x 2 x 16² more
    assert table["macs_exact"][space.index(odd)] == budget
    table.verify([space.largest, space.smallest])
    with pytest.raises(CostError, match=f"{odd.key} has other costs than its choices give"):
        table.verify([space.largest, odd])

    def prefer(w0: int, w1: int):
        return lambda arch: {"AP": 1 / (1 + abs(arch["w0"] - w0) + abs(arch["w1"] - w1))}

    limits = {"budget": str(budget)}
    found = op.search(space, prefer(2, 3), budgets=limits, costs=table, evaluations=96)
    assert found.tiers["budget"].arch == space.arch({"resolution": 16, "w0": 2, "w1": 3})
    with pytest.raises(CostError, match=f"{odd.key} has other costs"):
        op.search(space, prefer(2, 2), budgets=limits, costs=table, evaluations=96)


def test_unknown_cost_is_refused() -> None:
    with pytest.raises(CostError, match="macs_exakt"):
        op.CostTable(op.load_space("toy"))["macs_exakt"]


def test_unit_macs_add_up_to_the_networks():
    space = op.load_space("toy")
    table = op.CostTable(space)
    indices = np.array([0, 63, 17, 40])
    units = table.unit_macs(indices)
    assert units.sum(axis=1).tolist() == table["macs_exact"][indices].tolist()
    names = list(table.specs(space[17]))
    assert units.shape == (4, len(names))


@pytest.mark.parametrize("cost", ["macs_exact", "peak_memory"])
def test_a_table_s_numbers_stay_and_a_frame_s_are_one_s_own(cost: str) -> None:
    space = op.load_space("toy")
    table = op.CostTable(space)
    frame = table.frame()
    frame.loc[0, cost] = 1
    with pytest.raises(ValueError, match="read-only"):
        table[cost][0] = 1
    counted = op.count(space, space[0])
    expected = counted.macs["exact"] if cost == "macs_exact" else counted.peak_memory
    assert table[cost][0] == expected
