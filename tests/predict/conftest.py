"""A tier whose network sees white dots, and a tiny real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ofa_pose.catalog import load_space
from ofa_pose.export import Tier, make_tier, save_tier
from ofa_pose.models import build
from ofa_pose.pose import Person
from ofa_pose.predict import PosePredictor
from ofa_pose.skeleton import Skeleton

DOT = Skeleton(name="dot", joints=("dot",), flip=(0,), limbs=(), sigmas=(0.3,), matching_order=(0,))


class DotNetwork(nn.Module):
    """The heatmap is the brightness of the normalised pixels: 1 and more where they are white."""

    def forward(self, images: Tensor) -> list[Tensor]:
        brightness = images.mean(dim=1, keepdim=True).clamp(0, 1)
        low = F.avg_pool2d(brightness, 4)
        # Far-apart tags: every dot is a person of its own.
        columns = torch.arange(low.shape[3]).float().mul(10).expand_as(low)
        return [torch.cat([low, columns], dim=1), F.avg_pool2d(brightness, 2)]


class DotTier(Tier):
    """A tier that is built as a `DotNetwork`."""

    def build(self, **_: Any) -> Any:
        return DotNetwork().eval()


@pytest.fixture
def dot_tier() -> Tier:
    """A tier of 256 px whose network finds white dots on black."""
    space = load_space("toy")
    tier = make_tier("dots", space, space.largest, skeleton=DOT)
    return DotTier(**vars(tier))


@pytest.fixture
def dots(dot_tier: Tier) -> PosePredictor:
    return PosePredictor(dot_tier)


@pytest.fixture(scope="session")
def tiny_tier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The YAML of a tier with random weights."""
    space = load_space("toy")
    tier = make_tier("tiny", space, space.smallest)
    network = build(space, space.smallest, skeleton=tier.skeleton, seed=0)
    path = save_tier(tmp_path_factory.mktemp("tier"), tier, network).path
    assert path is not None
    return path


@pytest.fixture
def within() -> Iterator[None]:
    """Fail a test that hangs."""
    signal = pytest.importorskip("signal")
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def hung(*_: object) -> None:
        raise TimeoutError("hung")

    before = signal.signal(signal.SIGALRM, hung)
    signal.alarm(120)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def person(*places: tuple[float, float], score: float = 0.5) -> Person:
    """Return a person whose joints lie there, all with one score; (0, 0) is not found."""
    keypoints = np.array([(x, y, score if x or y else 0.0) for x, y in places], float)
    return Person(keypoints=keypoints, score=score)


@pytest.fixture
def make_person() -> Any:
    return person
