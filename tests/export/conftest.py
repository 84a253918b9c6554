"""A tier of the toy space, and what it is made of."""

import pytest

from ofa_pose import Supernet, load_space
from ofa_pose.export import Tier, make_tier, save_tier


@pytest.fixture(scope="module")
def space():
    return load_space("toy")


@pytest.fixture(scope="module")
def supernet(space):
    return Supernet(space, seed=1).eval()


@pytest.fixture
def arch(space):
    return space.arch("48-2-8-8-16-8-8-4-4")


@pytest.fixture
def saved(space, supernet, arch, tmp_path) -> Tier:
    tier = make_tier(
        "S",
        space,
        arch,
        budget="0.25M",
        scores={"search": {"AP": 0.25, "AP50": 0.5}},
        seed=7,
        created_by="ofa-pose search",
    )
    return save_tier(tmp_path / "run", tier, supernet.extract(arch))
