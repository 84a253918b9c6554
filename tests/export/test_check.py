"""The check that a cut-out network is the supernet's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ofa_pose import Supernet, load_space
from ofa_pose.errors import WeightsError
from ofa_pose.export import check_same_outputs


class Plus(nn.Module):
    def __init__(self, amount: float) -> None:
        super().__init__()
        self.amount = nn.Parameter(torch.tensor(amount))

    def forward(self, images: Tensor) -> list[Tensor]:
        return [torch.zeros_like(images) + self.amount]


def test_extraction_equals_the_supernet():
    space = load_space("toy")
    supernet = Supernet(space).eval()
    for arch in (space.smallest, space[5], space.largest):
        found = check_same_outputs(
            supernet.extract(arch),
            lambda images, arch=arch: supernet(images, arch),
            resolution=arch.resolution,
        )
        assert found <= 1e-6


def test_another_arch_is_noticed():
    space = load_space("toy")
    supernet = Supernet(space).eval()
    with pytest.raises(WeightsError, match="differs"):
        check_same_outputs(
            supernet.extract(space.smallest),
            lambda images: supernet(images, space.largest),
            resolution=32,
        )


def test_difference_is_a_fraction_of_the_range():
    # 4.5 against 4: 0.125 of the reference's 4; below 1 the unit stays 1.
    assert check_same_outputs(Plus(4.5), Plus(4.0), resolution=8, tolerance=0.2) == 0.125
    assert check_same_outputs(Plus(0.25), Plus(0.5), resolution=8, tolerance=0.3) == 0.25
    with pytest.raises(WeightsError, match=r"output 0 differs .* by 0\.12"):
        check_same_outputs(Plus(4.5), Plus(4.0), resolution=8, tolerance=0.1)


def test_nan_is_a_difference():
    with pytest.raises(WeightsError, match="nan"):
        check_same_outputs(Plus(float("nan")), Plus(0.0), resolution=8)


def test_other_shapes_are_refused():
    with pytest.raises(WeightsError, match="shapes"):
        check_same_outputs(Plus(0.0), lambda images: [images[:, :1]], resolution=8)
