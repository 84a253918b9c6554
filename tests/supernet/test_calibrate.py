"""Batch-norm re-calibration against statistics computed by hand."""

import pytest
import torch
from torch import nn

import ofa_pose as op
from ofa_pose.errors import DataError


def test_statistics_are_the_plain_average_over_batches() -> None:
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
