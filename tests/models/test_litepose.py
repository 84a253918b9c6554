"""The LitePose family against the paper's numbers."""

import pytest
import torch

import ofa_pose as op
from ofa_pose.errors import ArchError, SpaceError, UsageError
from ofa_pose.models import plan

# Parameters of the searched networks with 14 joints, in millions (paper, Table 1, at more digits).
PUBLISHED = {"XS": 1.6756, "S": 2.7312, "M": 3.5338, "L": 5.7381}


def published_arch(name: str):
    space = op.load_space("litepose-xs" if name == "XS" else "litepose")
    return space, space.arch(name)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_have_the_published_parameters(name: str) -> None:
    space, arch = published_arch(name)
    with torch.device("meta"):
        network = op.build(space, arch, device="meta", skeleton="crowdpose")
    parameters = sum(p.numel() for p in network.parameters())
    assert round(parameters / 1e6, 4) == PUBLISHED[name]


def test_outputs_are_heatmaps_and_tags_at_a_quarter_and_heatmaps_at_half() -> None:
    space = op.load_space("toy")
    network = op.build(space, space.largest, skeleton="coco")
    quarter, half = network(torch.zeros(2, 3, 64, 96))
    assert quarter.shape == (2, 34, 16, 24)
    assert half.shape == (2, 17, 32, 48)


def test_the_first_block_of_a_stage_has_no_residual_and_the_others_have() -> None:
    # Stem 16 -> stage 1 of 16 channels: shapes alone would allow a residual at stage 4's stride 1.
    space, arch = published_arch("XS")
    units = {unit.name: unit.spec for unit in plan(space, arch).units}
    blocks = {1: 6, 2: 8, 3: 10, 4: 10}  # facts of the published configuration
    for stage, count in blocks.items():
        assert [units[f"stage{stage}.{b}"].residual for b in range(count)] == [
            False,
            *[True] * (count - 1),
        ]
        assert f"stage{stage}.{count}" not in units


def test_raw_maps_are_fused_from_the_deepest_up() -> None:
    space, arch = published_arch("XS")
    inputs = {unit.name: unit.inputs for unit in plan(space, arch).units}
    assert inputs["deconv1"] == ("stage4.9", "stage3.9")
    assert inputs["deconv2"] == ("deconv1", "stage2.7")
    assert inputs["deconv3"] == ("deconv2", "stage1.5")
    assert inputs["head1"] == ("deconv2", "stage1.5")
    assert inputs["head2"] == ("deconv3", "stem")


def test_weights_are_a_function_of_the_seed_alone() -> None:
    space = op.load_space("toy")
    torch.manual_seed(1)
    first = op.build(space, space.largest, seed=3).state_dict()
    torch.manual_seed(2)
    second = op.build(space, space.largest, seed=3).state_dict()
    other = op.build(space, space.largest, seed=4).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_building_leaves_the_global_generator_alone() -> None:
    space = op.load_space("toy")
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    op.build(space, space.largest)
    assert torch.equal(torch.rand(1), expected)


def test_arch_of_another_space_is_refused() -> None:
    toy, other = op.load_space("toy"), op.load_space("litepose-xs")
    with pytest.raises(ArchError, match="litepose-xs"):
        op.build(toy, other.largest)


def test_unknown_option_is_refused() -> None:
    space = op.load_space("toy")
    with pytest.raises(UsageError, match="skelton"):
        op.build(space, space.largest, skelton="coco")


def test_a_stage_table_that_cannot_be_wired_is_refused() -> None:
    toy = op.load_space("toy")
    stages = [dict(stage) for stage in toy.network["stages"]]
    stages[3]["stride"] = 2  # now stage 4 and stage 3 differ in size
    space = op.SearchSpace(
        name="bent",
        family="litepose",
        choices=toy.choices,
        network={**toy.network, "stages": stages},
    )
    with pytest.raises(SpaceError, match="deconv1 fuses maps"):
        op.build(space, space.largest)


def test_every_fault_of_the_network_section_is_listed() -> None:
    toy = op.load_space("toy")
    network = {**toy.network, "head_kernel": 0, "colour": "red"}
    space = op.SearchSpace(name="bad", family="litepose", choices=toy.choices, network=network)
    with pytest.raises(SpaceError, match=r"(?s)head_kernel.*colour"):
        op.build(space, space.largest)


def test_kernel_expansion_and_depth_can_be_choices() -> None:
    toy = op.load_space("toy")
    stages = [dict(stage) for stage in toy.network["stages"]]
    stages[1] |= {"kernel": "kernel2", "expansion": "expansion2", "blocks": "depth2"}
    space = op.SearchSpace(
        name="elastic",
        family="litepose",
        choices=(
            *toy.choices,
            op.Choice("kernel2", (7, 5, 3)),
            op.Choice("expansion2", (4, 2)),
            op.Choice("depth2", (3, 1)),
        ),
        network={**toy.network, "stages": stages},
    )
    supernet = op.Supernet(space).eval()
    images = torch.rand(1, 3, 32, 32)
    for arch in (space.largest, space.smallest):
        expected = supernet.extract(arch)(images)
        assert all(map(torch.equal, supernet(images, arch), expected))
    names = [unit.name for unit in plan(space, space.smallest).units]
    assert "stage2.0" in names
    assert "stage2.1" not in names
