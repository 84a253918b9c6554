"""Costs of a whole space against counting arch by arch."""

import numpy as np
import pytest

import ofa_pose as op
from ofa_pose.errors import CostError


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
    stages[1]["blocks"] = "depth2"
    space = op.SearchSpace(
        name="deep",
        family="litepose",
        choices=(*toy.choices, op.Choice("depth2", (3, 1))),
        network={**toy.network, "stages": stages},
    )
    table = op.CostTable(space)
    for index in range(0, len(space), 7):
        cost = op.count(space, space[index])
        assert table["macs_exact"][index] == cost.macs["exact"]
        assert table["peak_memory"][index] == cost.peak_memory


def test_unknown_cost_is_refused() -> None:
    with pytest.raises(CostError, match="macs_exakt"):
        op.CostTable(op.load_space("toy"))["macs_exakt"]
