"""A tier of the toy space, and what it is made of."""

import pytest
import torch

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


@pytest.fixture(scope="package")
def learnt(tmp_path_factory) -> Tier:
    """A tier whose batch norms have seen something; tests do not change it."""
    space = load_space("toy")
    network = Supernet(space, seed=3, skeleton="crowdpose").train().extract(space.smallest)
    generator = torch.Generator().manual_seed(1)
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(4, 3, 32, 32, generator=generator))
    folder = tmp_path_factory.mktemp("learnt")
    return save_tier(folder, make_tier("mine", space, space.smallest), network.eval())
