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


def test_unit_macs_add_up_to_the_networks():
    space = op.load_space("toy")
    table = op.CostTable(space)
    indices = np.array([0, 63, 17, 40])
    units = table.unit_macs(indices)
    assert units.sum(axis=1).tolist() == table["macs_exact"][indices].tolist()
    names = list(table.specs(space[17]))
    assert units.shape == (4, len(names))
