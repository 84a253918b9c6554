"""The clamp in place against torch's own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import hardtanh

from ofa_pose.models.clamp import clamp_

VALUES = st.lists(
    st.one_of(st.floats(-9, 9, width=32), st.sampled_from([-1.0, 0.0, 2.0, 6.0, float("nan")])),
    min_size=1,
    max_size=20,
)
LIMITS = st.sampled_from([(0.0, 6.0), (-1.0, 2.0)])


def output_and_gradient(clamp, values: list[float], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    leaf = torch.tensor(values, dtype=dtype, requires_grad=True)
    output = clamp(leaf * 1)
    output.backward(torch.arange(1, len(values) + 1).to(dtype))
    assert leaf.grad is not None
    return output.detach(), leaf.grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@settings(deadline=None)
@given(values=VALUES, limits=LIMITS)
def test_equals_torchs_to_the_bit(dtype: torch.dtype, values: list[float], limits) -> None:
    own = output_and_gradient(lambda x: hardtanh(x, *limits, inplace=True), values, dtype)
    ours = output_and_gradient(lambda x: clamp_(x, *limits), values, dtype)
    for mine, torchs in zip(ours, own, strict=True):
        assert torch.equal(mine.nan_to_num(99), torchs.nan_to_num(99))


def test_a_case_by_hand() -> None:
    output, gradient = output_and_gradient(
        lambda x: clamp_(x, 0, 6), [-1, 0, 3, 6, 7], torch.float32
    )
    assert output.tolist() == [0, 0, 3, 6, 6]
    assert gradient.tolist() == [0, 0, 3, 0, 0]


def test_it_overwrites_its_input() -> None:
    for wanted in (False, True):
        map_ = torch.tensor([-1.0, 7.0], requires_grad=wanted) * 1
        assert clamp_(map_, 0, 6) is map_
        assert map_.tolist() == [0, 6]


def test_a_map_that_another_gradient_needs_is_still_refused() -> None:
    map_ = torch.ones(2, requires_grad=True) * 1
    squared = map_.square()
    clamp_(map_, 0, 6)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        squared.sum().backward()


def test_a_leaf_is_refused_as_by_torch() -> None:
    with pytest.raises(RuntimeError, match="leaf"):
        clamp_(torch.ones(2, requires_grad=True), 0, 6)
