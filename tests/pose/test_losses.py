"""Losses: values worked out by hand, and gradients that push the way they should."""

import math

import pytest
import torch

from ofa_pose.errors import UsageError
from ofa_pose.pose.losses import heatmap_loss, pose_loss, tag_loss


def tags_at(*people: list[int | None]) -> torch.Tensor:
    """`(1, P, K, 2)`: flat positions, None where a joint is not visible."""
    return torch.tensor([[[[j or 0, int(j is not None)] for j in person] for person in people]])


def test_heatmap_loss_by_hand() -> None:
    predicted = torch.zeros(2, 2, 2, 2)
    target = torch.zeros(2, 2, 2, 2)
    target[0, 0, 0, 0] = 1.0
    target[0, 1, 1, 1] = 0.5
    target[1, 0, 0, 1] = 2.0
    mask = torch.ones(2, 2, 2)
    # (1 + 0.25 + 4) over 16 cells.
    assert heatmap_loss(predicted, target, mask).item() == pytest.approx(5.25 / 16)
    mask[1, 0, 1] = 0
    assert heatmap_loss(predicted, target, mask).item() == pytest.approx(1.25 / 16)


def test_tag_loss_of_two_people_by_hand() -> None:
    tag_maps = torch.tensor([[[[1.0, 3.0]], [[2.0, 7.0]]]])  # (1, 2 joints, 1, 2)
    # Person 0: tags 1 and 2, mean 1.5, spread 0.25. Person 1: tag 3 alone, spread 0.
    pull, push = tag_loss(tag_maps, tags_at([0, 2], [1, None]))
    assert pull.item() == pytest.approx(0.25 / 2)
    # Both ordered pairs: 2 * exp(-(1.5 - 3)^2) / (1 * 2) * 0.5.
    assert push.item() == pytest.approx(0.5 * math.exp(-2.25))


def test_tag_loss_of_three_people_by_hand() -> None:
    tag_maps = torch.tensor([[[[0.0, 1.0, 3.0]]]])
    pull, push = tag_loss(tag_maps, tags_at([0], [1], [2], [None]))
    assert pull.item() == 0
    pairs = 2 * (math.exp(-1) + math.exp(-4) + math.exp(-9))
    assert push.item() == pytest.approx(pairs / (2 * 3) * 0.5)


def test_one_person_has_no_push_and_nobody_has_neither() -> None:
    tag_maps = torch.tensor([[[[1.0, 5.0]]], [[[1.0, 5.0]]]])
    one = torch.cat([tags_at([0]), tags_at([None])])
    pull, push = tag_loss(tag_maps, one)
    assert (pull.item(), push.item()) == (0, 0)
    spread = torch.tensor([[[[1.0, 5.0]], [[3.0, 0.0]]]])
    pull, push = tag_loss(spread, tags_at([0, 2], [None, None]))
    assert (pull.item(), push.item()) == (1.0, 0)


def test_tag_loss_averages_over_scenes_with_different_people() -> None:
    maps = torch.tensor([[[[0.0, 1.0]]], [[[4.0, 4.0]]]])
    tags = torch.cat([tags_at([0], [1]), tags_at([0], [None])])
    _, push = tag_loss(maps, tags)
    assert push.item() == pytest.approx(0.5 * math.exp(-1) / 2)


def test_pose_loss_adds_every_output_and_the_weighted_tag_loss() -> None:
    low = torch.zeros(1, 4, 1, 2)
    low[0, 2:] = torch.tensor([[[1.0, 3.0]], [[2.0, 7.0]]])
    high = torch.zeros(1, 2, 2, 4)
    targets = [torch.full((1, 2, 1, 2), 0.5), torch.full((1, 2, 2, 4), 1.0)]
    masks = [torch.ones(1, 1, 2), torch.ones(1, 2, 4)]
    tags = tags_at([0, 2], [1, None])
    loss = pose_loss([low, high], targets, masks, tags)
    assert loss.heatmap.item() == pytest.approx(0.25 + 1.0)
    assert loss.pull.item() == pytest.approx(1e-3 * 0.125)
    assert loss.push.item() == pytest.approx(1e-3 * 0.5 * math.exp(-2.25))
    assert loss.total.item() == pytest.approx((loss.heatmap + loss.pull + loss.push).item())
    without = pose_loss([low, high], targets, masks, tags, with_tags=False)
    assert (without.pull.item(), without.push.item()) == (0, 0)
    assert without.total.item() == pytest.approx(1.25)


def test_gradients_pull_together_push_apart_and_spare_the_rest() -> None:
    maps = torch.tensor([[[[1.0, 2.5, 9.0]], [[2.0, 2.5, 9.0]]]], requires_grad=True)
    pull, push = tag_loss(maps, tags_at([0, 3], [1, 4]))
    (pull_gradient,) = torch.autograd.grad(pull, maps, retain_graph=True)
    (push_gradient,) = torch.autograd.grad(push, maps)
    assert pull_gradient[0, 0, 0, 0] < 0 < pull_gradient[0, 1, 0, 0]  # 1 rises, 2 falls
    assert (push_gradient[0, :, 0, 0] > 0).all()  # the lower person falls
    assert (push_gradient[0, :, 0, 1] < 0).all()  # the higher person rises
    assert not pull_gradient[..., 2].any()
    assert not push_gradient[..., 2].any()


def test_the_gradient_equals_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 3, 2, 2, generator=generator)
    tags = torch.cat([tags_at([0, 5, 9], [1, None, 8]), tags_at([3, 4, None], [None, None, None])])

    def total(values: torch.Tensor) -> torch.Tensor:
        pull, push = tag_loss(values, tags)
        return pull + push

    leaf = maps.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(total(leaf), leaf)
    step = 1e-2
    for index in range(maps.numel()):
        nudge = torch.zeros(maps.numel())
        nudge[index] = step
        nudge = nudge.view_as(maps)
        numeric = (total(maps + nudge) - total(maps - nudge)) / (2 * step)
        assert gradient.flatten()[index].item() == pytest.approx(numeric.item(), abs=2e-4)


def test_masked_cells_get_no_gradient() -> None:
    predicted = torch.ones(1, 1, 2, 2, requires_grad=True)
    mask = torch.tensor([[[1.0, 0.0], [1.0, 1.0]]])
    heatmap_loss(predicted, torch.zeros(1, 1, 2, 2), mask).backward()
    assert predicted.grad is not None
    assert predicted.grad[0, 0].tolist() == [[0.5, 0], [0.5, 0.5]]


def test_half_precision_outputs_are_taken_in_float32() -> None:
    low = torch.full((1, 2, 2, 2), 300.0, dtype=torch.float16)  # its square overflows float16
    zeros = torch.zeros(1, 1, 2, 2)
    loss = pose_loss([low], [zeros], [torch.ones(1, 2, 2)], tags_at([0], [1]))
    assert loss.total.dtype == torch.float32
    assert loss.heatmap.item() == 90000.0


def test_far_apart_tags_stay_finite() -> None:
    maps = torch.tensor([[[[1e6, -1e6]]]], requires_grad=True)
    pull, push = tag_loss(maps, tags_at([0], [1]))
    (pull + push).backward()
    assert push.item() == 0
    assert maps.grad is not None
    assert torch.isfinite(maps.grad).all()


@pytest.mark.parametrize(
    ("outputs", "masks", "message"),
    [
        ([(1, 4, 2, 2)], [(1, 2, 2)], "1 outputs, 2 heatmap targets and 1 masks"),
        ([(1, 4, 3, 3), (1, 2, 4, 4)], [(1, 2, 2), (1, 4, 4)], "made at another resolution"),
        ([(1, 2, 2, 2), (1, 2, 4, 4)], [(1, 2, 2), (1, 4, 4)], r"targets need \(1, 4, 2, 2\)"),
        ([(1, 4, 2, 2), (1, 2, 4, 4)], [(1, 4, 4), (1, 4, 4)], "mask 0 is"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(outputs, masks, message) -> None:
    targets = [torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 4, 4)]
    with pytest.raises(UsageError, match=message):
        pose_loss(
            [torch.zeros(shape) for shape in outputs],
            targets,
            [torch.ones(shape) for shape in masks],
            tags_at([0, 0]),
        )
