"""A teacher sees the student's pictures in its own size and normalisation, and never learns."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from ofa_pose import build, load_skeleton, load_space
from ofa_pose.errors import WeightsError
from ofa_pose.skeleton import Skeleton
from ofa_pose.space import Choice, SearchSpace
from ofa_pose.train.teacher import Teacher

CROWDPOSE = load_skeleton("crowdpose")


def space_of(mean: tuple[float, float, float], std: tuple[float, float, float]) -> SearchSpace:
    return SearchSpace(
        name="none",
        family="none",
        choices=(Choice("resolution", (8,)),),
        pixel_mean=mean,
        pixel_std=std,
    )


PLAIN = space_of((10.0, 20.0, 30.0), (50.0, 60.0, 70.0))
OTHER = space_of((100.0, 0.0, 40.0), (25.0, 120.0, 10.0))


class Echo(nn.Module):
    """Returns its input, and notes how it was run."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))
        self.norm = nn.BatchNorm2d(3, affine=False)  # identity in eval mode, up to its epsilon

    def forward(self, images: Tensor) -> list[Tensor]:
        assert not torch.is_grad_enabled()
        assert images.is_contiguous(memory_format=torch.channels_last)
        self.norm(images)
        return [self.gain * images]


def teacher(*, resolution: int = 8, space: SearchSpace = PLAIN, **options) -> Teacher:
    skeleton: Skeleton = options.pop("skeleton", CROWDPOSE)
    return Teacher(
        Echo(),
        resolution=resolution,
        space=space,
        skeleton=skeleton,
        student_space=PLAIN,
        student_skeleton=CROWDPOSE,
    )


def test_pictures_of_its_own_kind_arrive_as_they_are() -> None:
    images = torch.randn(2, 3, 8, 8)
    (seen,) = teacher()(images)
    assert torch.equal(seen, images)
    assert not seen.requires_grad


@pytest.mark.parametrize("resolution", [4, 8, 20])
def test_pixels_are_normalised_as_the_teacher_expects(resolution) -> None:
    # A picture of (110, 80, 170), as the student has it, and as the teacher must.
    images = torch.tensor([100 / 50, 60 / 60, 140 / 70]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    (seen,) = teacher(resolution=resolution, space=OTHER)(images)
    expected = torch.tensor([10 / 25, 80 / 120, 130 / 10]).view(1, 3, 1, 1)
    torch.testing.assert_close(seen, expected.expand(1, 3, resolution, resolution))


def test_a_larger_teacher_sees_pixels_in_between() -> None:
    images = torch.tensor([0.0, 4.0]).expand(1, 3, 2, 2)
    (seen,) = teacher(resolution=4)(images)
    torch.testing.assert_close(seen[0, 0], torch.tensor([0.0, 1.0, 3.0, 4.0]).expand(4, 4))


def test_a_smaller_teacher_misses_no_pixel() -> None:
    images = torch.zeros(1, 3, 16, 16)
    images[..., ::4] = 1  # sampling between the second and the third of four would see none
    (seen,) = teacher(resolution=4)(images)
    assert seen.min() > 0.15
    # Only at the border may it be more than a quarter: what lies beyond has no weight.
    torch.testing.assert_close(seen[..., 1:3].mean(), torch.tensor(0.25), rtol=0, atol=0.03)


def test_the_network_neither_learns_nor_measures() -> None:
    kept = teacher()
    kept(torch.randn(2, 3, 8, 8))
    assert not any(parameter.requires_grad for parameter in kept.network.parameters())
    assert kept.network.get_buffer("norm.num_batches_tracked").item() == 0


def test_a_network_of_a_space_teaches() -> None:
    space = load_space("toy")
    kept = Teacher(
        build(space, space.largest, skeleton="crowdpose").train(),
        resolution=48,
        space=space,
        skeleton=CROWDPOSE,
        student_space=space,
        student_skeleton=CROWDPOSE,
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low, high = kept(torch.randn(2, 3, 32, 32))
    assert low.shape == (2, 28, 12, 12)
    assert high.shape == (2, 14, 24, 24)


def test_a_teacher_of_another_skeleton_is_refused() -> None:
    with pytest.raises(WeightsError, match="^the teacher was trained with skeleton 'coco', not 'c"):
        teacher(skeleton=load_skeleton("coco"))
    sigmas = (0.5, *CROWDPOSE.sigmas[1:])
    with pytest.raises(WeightsError, match="another skeleton called 'crowdpose': sigmas differ"):
        teacher(skeleton=dataclasses.replace(CROWDPOSE, sigmas=sigmas))
