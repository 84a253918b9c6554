"""The measured networks hold every unit, each behind the neighbour it has in a whole network."""

import pytest

from ofa_pose.catalog import load_space
from ofa_pose.cost import CostTable
from ofa_pose.latency.cover import covering_archs, without_repeats
from ofa_pose.models import plan


# lite0's deconvolutions read two widths and make a third: 27 combinations at 8 resolutions. Toy's
# units read pairs of widths, 4 combinations at 2 resolutions, which the greedy choice misses a bit.
@pytest.mark.parametrize(("name", "most"), [("toy", 8 + 4), ("litepose-lite0", 27 * 8)])
def test_every_unit_is_covered(name, most):
    costs = CostTable(load_space(name))
    archs = covering_archs(costs)
    held = {unit.spec for arch in archs for unit in without_repeats(plan(costs.space, arch)).units}
    assert held == set(costs.specs_of_all)
    assert len(archs) <= most


def test_the_networks_are_always_the_same(toy):
    assert covering_archs(toy) == covering_archs(toy)


def test_repeats_go_and_everything_else_stays():
    space = load_space("litepose-xs")
    whole = plan(space, space.arch("XS"))
    short = without_repeats(whole)
    # 40 units: stem, stages of 6, 8, 10, 10 blocks, 3 deconvolutions, 2 heads; of every stage the
    # first block and one repeat are left.
    assert len(whole.units) == 40
    assert [unit.name for unit in short.units] == [
        "stem",
        *(f"stage{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)),
        *("deconv1", "deconv2", "head1", "deconv3", "head2"),
    ]
    assert {unit.spec for unit in short.units} == {unit.spec for unit in whole.units}
    by_name = {unit.name: unit for unit in short.units}
    assert by_name["stage2.0"].inputs == ("stage1.1",)
    assert by_name["deconv1"].inputs == ("stage4.1", "stage3.1")
    assert short.outputs == whole.outputs
