"""MACs, parameters and memory: by hand, by the paper, and by thop itself."""

import pytest

import ofa_pose as op
from ofa_pose.cost.counting import unit_cost
from ofa_pose.models import UnitSpec

# GMACs of the searched networks in the paper's convention, and thop's (14 joints, 17 joints).
PAPER = {"XS": (1.2023, 1.205), "S": (4.9814, 4.992), "M": (7.8416, 7.854), "L": (13.7130, 13.730)}
THOP = {
    "XS": (1.2202, 1.2232),
    "S": (5.0411, 5.0513),
    "M": (7.9180, 7.9300),
    "L": (13.8341, 13.8514),
}
EXACT = {
    "XS": (0.8829, 0.8858),
    "S": (3.6141, 3.6244),
    "M": (5.2637, 5.2757),
    "L": (9.9620, 9.9793),
}
CASES = [(name, joints) for name in PAPER for joints in (14, 17)]
SKELETON = {14: "crowdpose", 17: "coco"}


def published(name: str) -> tuple[op.SearchSpace, op.Arch]:
    space = op.load_space("litepose-xs" if name == "XS" else "litepose")
    return space, space.arch(name)


def macs_by_hand(arch: op.Arch, joints: int) -> int:
    """The exact MACs of a LitePose network, from its definition in the paper."""
    side = arch["resolution"] // 2
    macs = side**2 * (27 * 32 + 9 * 32 + 32 * arch["stem"])  # 3x3x3 to 32, depthwise, linear
    width, sides, widths = arch["stem"], [side], [arch["stem"]]
    for stage, (blocks, stride) in enumerate([(6, 2), (8, 2), (10, 2), (10, 1)], start=1):
        out = arch[f"stage{stage}"]
        for block in range(blocks):
            inner, step = 6 * width, stride if block == 0 else 1
            macs += side**2 * width * inner  # expand at the input's size
            side //= step
            macs += side**2 * (49 * inner + inner * out)  # 7x7 depthwise, linear
            width = out
        sides.append(side)
        widths.append(width)
    refined = width
    for step in range(3):
        raw, raw_side = widths[3 - step], sides[3 - step]
        out = arch[f"deconv{step + 1}"]
        macs += raw_side**2 * 16 * (refined + raw) * out  # 4x4 at the input's size
        refined = out
        if step:
            maps = 2 * joints if step == 1 else joints
            raw, raw_side = widths[2 - step], sides[2 - step]
            macs += raw_side**2 * (refined + raw) * (25 + maps)
    return macs


@pytest.mark.parametrize(("name", "joints"), CASES)
def test_exact_macs_to_the_last(name: str, joints: int) -> None:
    space, arch = published(name)
    macs = op.count(space, arch, skeleton=SKELETON[joints]).macs["exact"]
    assert macs == macs_by_hand(arch, joints)
    assert round(macs / 1e9, 4) == EXACT[name][joints == 17]


@pytest.mark.parametrize(("name", "joints"), CASES)
def test_the_papers_macs(name: str, joints: int) -> None:
    space, arch = published(name)
    macs = op.count(space, arch, skeleton=SKELETON[joints]).macs["paper"]
    assert macs / 1e9 == pytest.approx(PAPER[name][joints == 17], abs=1e-3)


@pytest.mark.parametrize(
    ("name", "joints"),
    [("XS", 14), *(pytest.param(*case, marks=pytest.mark.slow) for case in CASES[1:])],
)
def test_thop_macs_are_what_thop_says(name: str, joints: int, thop_profile) -> None:
    space, arch = published(name)
    cost = op.count(space, arch, skeleton=SKELETON[joints])
    network = op.build(space, arch, skeleton=SKELETON[joints])
    assert (cost.macs["thop"], cost.params) == thop_profile(
        network, (3, arch.resolution, arch.resolution)
    )
    assert round(cost.macs["thop"] / 1e9, 4) == THOP[name][joints == 17]


@pytest.mark.parametrize("index", [0, 7, -1])
def test_thop_agrees_on_the_toy_space(index: int, thop_profile) -> None:
    space = op.load_space("toy")
    arch = space[index]
    cost = op.count(space, arch)
    network = op.build(space, arch)
    assert (cost.macs["thop"], cost.params) == thop_profile(
        network, (3, arch.resolution, arch.resolution)
    )


# Facts of litepose-lite0 (14 joints): resolution -> GMACs at full width.
@pytest.mark.parametrize(
    ("resolution", "gmacs"), [(128, 0.132), (256, 0.527), (384, 1.187), (448, 1.615)]
)
def test_litepose_lite0(resolution: int, gmacs: float) -> None:
    space = op.load_space("litepose-lite0")
    cost = op.count(space, space.arch({**space.largest, "resolution": resolution}))
    assert round(cost.macs["exact"] / 1e9, 3) == gmacs
    assert round(cost.params / 1e6, 2) == 0.92


def test_toy_is_small() -> None:
    space = op.load_space("toy")
    assert len(space) < 100
    assert op.count(space, space.largest).macs["exact"] < 1_000_000


def test_units_sum_to_the_total() -> None:
    space, arch = published("XS")
    cost = op.count(space, arch)
    assert sum(unit.params for unit in cost.units) == cost.params
    for convention, macs in cost.macs.items():
        assert sum(unit.macs[convention] for unit in cost.units) == macs


def test_memory_of_one_block_by_hand() -> None:
    # 8x8x8 in, expanded to 16x8x8, strided to 16x4x4, projected to 4x4x4; float32.
    spec = UnitSpec("inverted_residual", ((8, 8, 8),), 4, kernel=3, stride=2, hidden=16)
    # The expansion is the peak: the input waits (512), expanded 1024, depthwise result 256.
    assert unit_cost(spec).peak_memory == 4 * (512 + 1024 + 256)
    assert unit_cost(spec).output_memory == 4 * 64


def test_memory_counts_what_waits_for_the_heads() -> None:
    # XS at 256: while stage 1's first block expands 16 channels to 96 at 128x128, alive are its
    # input (16), the expansion (96) and the depthwise result at 64x64 (96). The stem's output
    # waits for head 2, but it is that input.
    space, arch = published("XS")
    expected = 4 * (128 * 128 * (16 + 96) + 64 * 64 * 96)
    assert op.count(space, arch).peak_memory == expected


def test_what_was_counted_cannot_be_changed() -> None:
    space = op.load_space("toy")
    cost = op.count(space, "largest")
    for macs in (cost.macs, cost.units[0].macs):
        with pytest.raises(TypeError):
            macs["exact"] = 0  # pyright: ignore[reportIndexIssue]
    assert op.count(space, "largest").macs["exact"] == sum(
        unit.macs["exact"] for unit in cost.units
    )
