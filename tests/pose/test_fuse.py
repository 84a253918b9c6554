"""Fusion: scales are averaged, a mirrored pass lands on the joints it belongs to."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ofa_pose.errors import UsageError
from ofa_pose.pose.fuse import fuse_outputs, fuse_scales, zoomed_maps
from ofa_pose.skeleton import load_skeleton

COCO = load_skeleton("coco")


def test_the_low_maps_are_upsampled_and_averaged() -> None:
    low = torch.zeros(1, 2, 1, 2)
    low[0, 0, 0] = torch.tensor([0.0, 4.0])
    low[0, 1, 0] = torch.tensor([8.0, 0.0])
    high = torch.ones(1, 1, 2, 4)
    heatmaps, tags = fuse_outputs([low, high], size=(4, 8))
    # Cell centres 0.25, 0.75, 1.25, 1.75 of cells whose own centres are 0.5 and 1.5.
    assert heatmaps[0, 0].tolist() == [[0.5, 1.0, 2.0, 2.5]] * 2
    assert tags.shape == (1, 1, 2, 4, 1)
    assert tags[0, 0, :, :, 0].tolist() == [[8.0, 6.0, 2.0, 0.0]] * 2


def test_project_resizes_to_the_input() -> None:
    outputs = [torch.rand(2, 4, 4, 6), torch.rand(2, 2, 8, 12)]
    heatmaps, tags = fuse_outputs(outputs, size=(16, 24), project=True)
    assert heatmaps.shape == (2, 2, 16, 24)
    assert tags.shape == (2, 2, 16, 24, 1)


@pytest.mark.parametrize("size", [(16, 24), (9, 31), (5, 4), (8, 12)])
def test_sizes_of_any_ratio_are_resized_as_pytorch_does(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(2, 6, 8, 12, generator=generator)
    heatmaps, tags = fuse_outputs([maps], size=size, project=True)
    expected = F.interpolate(maps, size=size, mode="bilinear", align_corners=False).numpy()
    np.testing.assert_allclose(heatmaps, expected[:, :3], atol=1e-5)
    np.testing.assert_allclose(tags[..., 0], expected[:, 3:], atol=1e-5)


def test_a_single_output_and_half_precision_are_taken() -> None:
    heatmaps, tags = fuse_outputs([torch.ones(1, 6, 4, 4, dtype=torch.float16)], size=(16, 16))
    assert heatmaps.shape == (1, 3, 4, 4)
    assert tags.shape == (1, 3, 4, 4, 1)
    assert heatmaps.dtype == tags.dtype == np.float32


def mirror(maps: torch.Tensor) -> torch.Tensor:
    return maps[:, list(COCO.flip)].flip(-1)


def test_the_mirrored_pass_of_a_perfect_network_changes_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(2, 34, 4, 6, generator=generator)
    high = torch.rand(2, 17, 8, 12, generator=generator)
    flipped = [torch.cat([mirror(low[:, :17]), mirror(low[:, 17:])], dim=1), mirror(high)]
    plain, plain_tags = fuse_outputs([low, high], size=(16, 24))
    heatmaps, tags = fuse_outputs(
        [low, high], size=(16, 24), flipped_outputs=flipped, skeleton=COCO
    )
    np.testing.assert_allclose(heatmaps, plain, rtol=1e-6)
    assert tags.shape == (2, 17, 8, 12, 2)
    np.testing.assert_allclose(tags[..., 0], plain_tags[..., 0], rtol=1e-6)
    np.testing.assert_allclose(tags[..., 1], plain_tags[..., 0], rtol=1e-6)


def test_flipped_heatmaps_are_averaged_on_the_mirrored_joint() -> None:
    outputs = [torch.zeros(1, 34, 1, 4)]
    flipped = [torch.zeros(1, 34, 1, 4)]
    flipped[0][0, COCO.joints.index("left_wrist"), 0, 0] = 1.0
    flipped[0][0, 17 + COCO.joints.index("left_wrist"), 0, 0] = 7.0
    heatmaps, tags = fuse_outputs(outputs, size=(4, 16), flipped_outputs=flipped, skeleton=COCO)
    right = COCO.joints.index("right_wrist")
    assert np.argwhere(heatmaps).tolist() == [[0, right, 0, 3]]
    assert heatmaps[0, right, 0, 3] == 0.5
    assert tags[0, right, 0, 3].tolist() == [0.0, 7.0]


def level(low: float, tag: float, high: float, *, side: int) -> list[torch.Tensor]:
    """Outputs of one value each for an input of `side` pixels."""
    maps = torch.full((1, 34, side // 4, side // 4), low)
    maps[:, 17:] = tag
    return [maps, torch.full((1, 17, side // 2, side // 2), high)]


def test_scales_are_averaged_and_tags_are_the_first_ones() -> None:
    plain = (level(2, 5, 4, side=16), level(4, 6, 6, side=16))  # averages 3 and 5: 4
    small = (level(0, 9, 1, side=8), level(1, 9, 2, side=8))  # 0.5 and 1.5: 1
    large = (level(6, 9, 8, side=32), level(8, 9, 10, side=32))  # 7 and 9: 8
    # (4 + 1 + 8) / 3, every scale counting as much.
    heatmaps, tags = fuse_scales([plain, small, large], COCO, size=(16, 16))
    assert heatmaps.shape == (1, 17, 16, 16)
    np.testing.assert_allclose(heatmaps, 13 / 3, rtol=1e-6)
    assert tags[0, 0, 0, 0].tolist() == [5, 6]
    ((zoomed, stacks),) = zoomed_maps([plain, small, large], COCO, size=(16, 16))
    assert zoomed.whole() == pytest.approx(13 / 3)
    assert [float(maps.whole().mean()) for maps in stacks] == [5, 6]
    alone, _ = fuse_scales([plain], COCO, size=(16, 16))
    np.testing.assert_allclose(alone, 4.0, rtol=1e-6)


def test_what_does_not_fit_is_refused() -> None:
    low, high = torch.zeros(1, 4, 2, 2), torch.zeros(1, 2, 4, 4)
    with pytest.raises(UsageError, match="needs the skeleton"):
        fuse_outputs([low, high], size=(8, 8), flipped_outputs=[low, high])
    with pytest.raises(UsageError, match=r"have 2 joints, skeleton 'coco' has 17"):
        fuse_outputs([low, high], size=(8, 8), flipped_outputs=[low, high], skeleton=COCO)
    with pytest.raises(UsageError, match=r"\[2, 2\] channels, expected \[4, 2\]"):
        fuse_outputs([low[:, :2], high], size=(8, 8))


@pytest.mark.parametrize(
    "shapes",
    [
        [(1, 34, 2, 3), (1, 17, 4, 6)],
        [(1, 34, 2, 2), (1, 17, 4, 6)],
        [(2, 34, 2, 2), (2, 17, 4, 4)],
        [(1, 34, 2, 2)],
        [(34, 2, 2), (17, 4, 4)],
        [],
    ],
)
def test_flipped_outputs_of_other_shapes(shapes: list[tuple[int, ...]]) -> None:
    outputs = [torch.rand(1, 34, 2, 2), torch.rand(1, 17, 4, 4)]
    flipped = [torch.rand(shape) for shape in shapes]
    for call in (
        lambda: fuse_outputs(outputs, size=(8, 8), flipped_outputs=flipped, skeleton=COCO),
        lambda: zoomed_maps([(outputs, flipped)], COCO, size=(8, 8)),
        lambda: zoomed_maps([(outputs, flipped)], COCO, size=(16, 16)),
    ):
        with pytest.raises(UsageError) as caught:
            call()
        assert str(caught.value) == (
            f"flipped outputs have the shapes {shapes}, the outputs [(1, 34, 2, 2), (1, 17, 4, 4)]"
        )


@pytest.mark.parametrize("shapes", [[], [(4, 2, 2), (2, 4, 4)], [(2, 4, 2, 2), (1, 2, 4, 4)]])
def test_outputs_that_are_no_maps_of_the_same_pictures(shapes: list[tuple[int, ...]]) -> None:
    outputs = [torch.rand(shape) for shape in shapes]
    for call in (
        lambda: fuse_outputs(outputs, size=(8, 8)),
        lambda: zoomed_maps([(outputs, None)], COCO, size=(8, 8)),
    ):
        with pytest.raises(UsageError, match=r"maps \(N, channels, h, w\) of N pictures, not \["):
            call()
