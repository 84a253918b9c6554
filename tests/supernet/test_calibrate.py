"""Batch-norm re-calibration against statistics computed by hand."""

from typing import Any

import pytest
import torch
from torch import nn

import ofa_pose as op
from ofa_pose.errors import DataError


def test_statistics_of_equal_batches_are_their_plain_average() -> None:
    norm = nn.BatchNorm2d(3, momentum=0.1)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.fill_(100.0)  # what was there before must leave no trace
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(4, 3, 5, 5, generator=generator) * s + s for s in (1.0, 2.0, 5.0)]
    op.recalibrate(norm, batches)
    means = torch.stack([b.mean(dim=(0, 2, 3)) for b in batches]).mean(dim=0)
    variances = torch.stack([b.var(dim=(0, 2, 3)) for b in batches]).mean(dim=0)
    torch.testing.assert_close(norm.running_mean, means)
    torch.testing.assert_close(norm.running_var, variances)
    assert norm.momentum == 0.1
    assert not norm.training


def test_a_batch_counts_as_much_as_it_has_pictures() -> None:
    norm = nn.BatchNorm2d(1)
    # Three pictures of two pixels, 0 and 2: mean 1, variance 6 / 5. Then one picture, 5 and 9:
    # mean 7, variance 8. Weighted 3 to 1: mean (3 * 1 + 7) / 4, variance (3 * 1.2 + 8) / 4.
    batches = [torch.tensor([[0.0, 2.0]] * 3), torch.tensor([[5.0, 9.0]])]
    op.recalibrate(norm, [batch.view(-1, 1, 1, 2) for batch in batches])
    torch.testing.assert_close(norm.running_mean, torch.tensor([2.5]))
    torch.testing.assert_close(norm.running_var, torch.tensor([2.9]))


def test_only_statistics_change() -> None:
    space = op.load_space("toy")
    network = op.build(space, space.largest)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    op.recalibrate(network, [torch.rand(2, 3, 32, 32)])
    for name, tensor in network.state_dict().items():
        if "running" not in name and "num_batches" not in name:
            assert torch.equal(tensor, before[name])


def test_no_batches_is_an_error() -> None:
    space = op.load_space("toy")
    with pytest.raises(DataError, match="at least one batch"):
        op.recalibrate(op.build(space, space.largest), [])


@pytest.mark.parametrize(
    ("batches", "told"),
    [
        ([(torch.rand(2, 3, 4, 4), torch.zeros(2))], "one is a tuple; .* .images for images, _ in"),
        ([[torch.rand(2, 3, 4, 4), torch.zeros(2)]], "one is a list"),
        (torch.rand(2, 3, 4, 4), r"such as \[images\], not one tensor"),
    ],
)
def test_what_is_no_batch_of_images_is_told(batches: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        op.recalibrate(nn.Sequential(nn.BatchNorm2d(3)), batches)


def test_a_batch_without_pictures_says_nothing() -> None:
    norm = nn.BatchNorm2d(1)
    pictures = torch.tensor([1.0, 3.0]).view(1, 1, 1, 2)
    op.recalibrate(norm, [pictures[:0], pictures, pictures[:0]])
    torch.testing.assert_close(norm.running_mean, torch.tensor([2.0]))
    with pytest.raises(DataError, match="at least one batch"):
        op.recalibrate(norm, [pictures[:0]])
