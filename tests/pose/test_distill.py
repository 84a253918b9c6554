"""Distillation: values worked out by hand, what it must not see, where gradients go."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa_pose.errors import UsageError
from ofa_pose.pose import distillation_loss
from ofa_pose.pose.distill import tag_distance_loss


def tags_at(*people: list[int | None]) -> torch.Tensor:
    """`(1, P, K, 2)`: flat positions, None where a joint is not visible."""
    return torch.tensor([[[[j or 0, int(j is not None)] for j in person] for person in people]])


NOBODY = tags_at([None])


def heatmap_term(output: torch.Tensor, teacher: torch.Tensor, **options) -> float:
    """The heatmap loss of one `(h, w)` map of one joint, at any size of the teacher's."""
    own, goal = (torch.stack([maps, torch.zeros_like(maps)])[None] for maps in (output, teacher))
    mask = options.pop("mask", torch.ones_like(output))
    return distillation_loss([own], [goal], [mask[None]], NOBODY, **options).heatmap.item()


def test_heatmaps_by_hand() -> None:
    low, low_goal = torch.zeros(1, 4, 1, 2), torch.zeros(1, 4, 1, 2)
    high, high_goal = torch.zeros(1, 2, 2, 4), torch.full((1, 2, 2, 4), 0.5)
    low_goal[0, 0, 0, 0], low_goal[0, 1, 0, 1] = 1.0, 2.0
    masks = [torch.ones(1, 1, 2), torch.ones(1, 2, 4)]
    tags = tags_at([None, None])
    loss = distillation_loss([low, high], [low_goal, high_goal], masks, tags)
    # (1 + 4) over 2 joints of 2 cells, and 0.25 everywhere.
    assert loss.heatmap.item() == pytest.approx(5 / 4 + 0.25)
    assert loss.total.item() == loss.heatmap.item()
    masks[0][0, 0, 1] = 0
    loss = distillation_loss([low, high], [low_goal, high_goal], masks, tags, heatmap_weight=3)
    assert loss.heatmap.item() == pytest.approx(3 * (1 / 4 + 0.25))


def test_smaller_and_larger_teacher_maps_are_read_between_their_cells() -> None:
    # Four cells read a row of two at -0.25, 0.25, 0.75 and 1.25 cells: 0, 1, 3 and 4.
    own = torch.tensor([[0.0, 1.0, 3.0, 6.0]])
    assert heatmap_term(own, torch.tensor([[0.0, 4.0]])) == pytest.approx(2**2 / 4)
    # One cell reads the middle of four: their mean, 2.
    grown = torch.tensor([[0.0, 1.0], [2.0, 5.0]])
    assert heatmap_term(torch.tensor([[5.0]]), grown) == pytest.approx(3**2)


@pytest.mark.parametrize(
    ("cells", "resized", "height"),
    # Halved: the mean of the peak and its neighbours. Doubled: 3/4 of the peak, 1/4 of the next.
    [
        (16, 8, ((1 + math.exp(-1 / 8)) / 2) ** 2),
        (16, 32, ((3 + math.exp(-1 / 8)) / 4) ** 2),
    ],
)
def test_what_remains_of_a_peak(cells: int, resized: int, height: float) -> None:
    x = torch.arange(float(cells)) - cells // 2
    profile = torch.exp(-x.square() / 8)
    own = torch.zeros(resized, resized)
    only = torch.zeros(resized, resized)
    place = resized // 2
    only[place, place] = 1
    loss = heatmap_term(own, torch.outer(profile, profile), mask=only)
    assert loss * resized**2 == pytest.approx(height**2)
    assert height > 0.88


def test_tags_of_two_people_by_hand() -> None:
    own = torch.tensor([[[[1.0, 3.0]], [[2.0, 7.0]]]])  # (1, 2 joints, 1, 2)
    goal = torch.tensor([[[[0.0, -4.0]], [[0.5, 9.0]]]])
    # Person 0: tags 1 and 2, mean 1.5, the teacher's 0 and 0.5, mean 0.25: both joints lie 0.5
    # and 0.25 from it. Person 1, one joint: 0 from its mean. So 0.5 * 0.25^2, over two people.
    inner = 0.5 * 0.25**2 / 2
    # The two are 1.5 apart, 4.25 in the teacher: 2.75 too little, beyond 1 less a half.
    outer = 2.75 - 0.5
    loss = tag_distance_loss(own, goal, tags_at([0, 2], [1, None]))
    assert loss.item() == pytest.approx(inner + outer)
    zeros = torch.zeros(1, 2, 1, 2)
    whole = distillation_loss(
        [torch.cat([zeros, own], 1)],
        [torch.cat([zeros, goal], 1)],
        [torch.ones(1, 1, 2)],
        tags_at([0, 2], [1, None]),
    )
    assert whole.tags.item() == pytest.approx(1e-3 * (inner + outer))
    assert whole.total.item() == pytest.approx(whole.tags.item())


def test_tags_of_three_people_by_hand() -> None:
    own = torch.tensor([[[[0.0, 1.0, 3.0]]]])
    goal = torch.tensor([[[[0.0, 1.5, 2.75]]]])
    # Distances 1, 3, 2 against 1.5, 2.75, 1.25: three pairs, each counted both ways.
    loss = tag_distance_loss(own, goal, tags_at([0], [1], [2], [None]))
    assert loss.item() == pytest.approx(0.5 * (0.5**2 + 0.25**2 + 0.75**2) / 3)


def test_scenes_are_averaged() -> None:
    own = torch.tensor([[[[0.0, 0.0]]], [[[5.0, 5.0]]]])
    goal = torch.tensor([[[[0.0, 1.0]]], [[[3.0, 9.0]]]])
    tags = torch.cat([tags_at([0], [1]), tags_at([0], [None])])
    assert tag_distance_loss(own, goal, tags).item() == pytest.approx(0.5 / 2)


def test_a_teacher_of_another_size_is_read_at_one_cell() -> None:
    # The centres of four cells lie at 0.875, 2.625, 4.375 and 6.125 of seven: cells 0, 2, 4, 6.
    # Of two rows the student's only row is the second: its centre lies on the border.
    goal = torch.full((1, 2, 2, 7), 1e6)
    goal[0, 0, 1, 0], goal[0, 0, 1, 4] = 1.0, 2.0
    goal[0, 1, 1, 2], goal[0, 1, 1, 6] = 3.0, 5.0
    own = torch.zeros(1, 2, 1, 4)
    tags = tags_at([0, 4 + 1], [2, 4 + 3])
    # The teacher's means are 2 and 3.5, its joints 1, 1 and 1.5, 1.5 from them.
    expected = (1.5 - 0.5) + ((0.5 * 1**2) + (1.5 - 0.5)) / 2
    assert tag_distance_loss(own, goal, tags).item() == pytest.approx(expected)
    # And of two cells, the student's four read 0, 0, 1, 1.
    goal = torch.tensor([[[[0.0, 1.0]]]])
    tags = tags_at([0], [1])
    assert tag_distance_loss(own[:, :1], goal, tags).item() == 0
    tags = tags_at([1], [2])
    assert tag_distance_loss(own[:, :1], goal, tags).item() == pytest.approx(0.5)


values = st.lists(st.integers(-40, 40), min_size=12, max_size=12)
flags = st.lists(st.booleans(), min_size=12, max_size=12)


@settings(deadline=None)
@given(own=values, goal=values, shift=st.integers(-50, 50), seen=flags)
def test_blind_to_shifts_and_signs(own, goal, shift, seen) -> None:
    student = torch.tensor(own).view(1, 3, 2, 2) / 8
    teacher = torch.tensor(goal).view(1, 3, 2, 2) / 8
    places = torch.arange(12).view(3, 4).T.reshape(1, 4, 3)  # four people, a cell each
    tags = torch.stack([places, torch.tensor(seen).view(1, 4, 3)], dim=-1).long()
    loss = tag_distance_loss(student, teacher, tags).item()
    assert loss >= 0
    for other in (teacher + shift, -teacher, shift - teacher):
        assert tag_distance_loss(student, other, tags).item() == pytest.approx(loss, abs=1e-4)
        assert tag_distance_loss(other, teacher, tags).item() == pytest.approx(0, abs=1e-4)


def test_gradients_reach_the_student_only() -> None:
    own = [torch.rand(1, 4, 2, 2, requires_grad=True), torch.rand(1, 2, 4, 4, requires_grad=True)]
    goal = [torch.rand(1, 4, 3, 3, requires_grad=True), torch.rand(1, 2, 6, 6, requires_grad=True)]
    masks = [torch.ones(1, 2, 2), torch.ones(1, 4, 4)]
    distillation_loss(own, goal, masks, tags_at([0, 7], [2, 5])).total.backward()
    assert all(output.grad is not None and output.grad.any() for output in own)
    assert all(output.grad is None for output in goal)


def test_people_too_close_are_pushed_apart() -> None:
    own = torch.tensor([[[[1.0, 1.5]]]], requires_grad=True)
    tag_distance_loss(own, torch.tensor([[[[7.0, 3.0]]]]), tags_at([0], [1])).backward()
    assert own.grad is not None
    # Beyond 1 the error's slope is 1, shared by the pair's two orders: each person moves by 1.
    assert own.grad.flatten().tolist() == [1.0, -1.0]


def test_nobody_costs_nothing() -> None:
    maps = torch.rand(2, 1, 2, 2, requires_grad=True)
    for tags in (torch.cat([NOBODY, NOBODY]), torch.zeros(2, 0, 1, 2, dtype=torch.int64)):
        loss = tag_distance_loss(maps, torch.rand(2, 1, 3, 3), tags)
        assert loss.item() == 0
        (gradient,) = torch.autograd.grad(loss, maps)
        assert not gradient.any()


def test_equal_and_far_apart_tags_have_finite_gradients() -> None:
    maps = torch.tensor([[[[2.0, 2.0, 1e6]]]], requires_grad=True)
    loss = tag_distance_loss(maps, torch.tensor([[[[0.0, 3.0, -1e6]]]]), tags_at([0], [1], [2]))
    loss.backward()
    assert maps.grad is not None
    assert torch.isfinite(maps.grad).all()


def test_tags_can_be_left_out() -> None:
    own, goal = torch.zeros(1, 2, 1, 2), torch.rand(1, 2, 1, 2)
    options = {"masks": [torch.ones(1, 1, 2)], "tags": tags_at([0], [1])}
    assert distillation_loss([own], [goal], **options).tags.item() > 0
    loss = distillation_loss([own], [goal], **options, with_tags=False)
    assert loss.tags.item() == 0
    assert loss.total.item() == loss.heatmap.item() > 0


def test_half_precision_outputs_are_taken_in_float32() -> None:
    own = torch.zeros(1, 2, 2, 2, dtype=torch.float16)
    goal = torch.full((1, 2, 2, 2), 300.0, dtype=torch.float16)  # its square overflows float16
    loss = distillation_loss([own], [goal], [torch.ones(1, 2, 2)], NOBODY)
    assert loss.total.dtype == torch.float32
    assert loss.heatmap.item() == 90000.0


@pytest.mark.parametrize(
    ("outputs", "teacher", "masks", "message"),
    [
        ([(1, 4, 2, 2)], [(1, 4, 2, 2)] * 2, [(1, 2, 2)], "1 outputs, 2 of the teacher and 1 mask"),
        ([(1, 6, 2, 2)], [(1, 6, 2, 2)], [(1, 2, 2)], "output 0 has 6 channels, expected 4"),
        ([(1, 4, 2, 2)], [(1, 6, 2, 2)], [(1, 2, 2)], "another batch or skeleton"),
        ([(1, 4, 2, 2)], [(2, 4, 2, 2)], [(1, 2, 2)], "another batch or skeleton"),
        ([(1, 4, 2, 2)], [(1, 4, 4, 4)], [(1, 4, 4)], r"mask 0 is .* expected \(1, 2, 2\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(outputs, teacher, masks, message) -> None:
    with pytest.raises(UsageError, match=message):
        distillation_loss(
            [torch.zeros(shape) for shape in outputs],
            [torch.zeros(shape) for shape in teacher],
            [torch.ones(shape) for shape in masks],
            tags_at([0, 0]),
        )
