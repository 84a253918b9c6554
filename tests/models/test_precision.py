"""In which precision a network computes, and where that is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from ofa_pose.errors import UsageError
from ofa_pose.models import autocast, check_precision


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_convolution_computes_in_the_precision_that_is_asked_for(precision: Any) -> None:
    layer = nn.Conv2d(3, 4, 3)
    with autocast(torch.device("cpu"), precision):
        maps = layer(torch.randn(1, 3, 8, 8))
    assert maps.dtype == getattr(torch, precision)
    assert layer.weight.dtype == torch.float32


def test_full_precision_holds_inside_of_another_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16), autocast(torch.device("cpu"), "float32"):
        assert nn.Conv2d(3, 4, 3)(torch.randn(1, 3, 8, 8)).dtype == torch.float32


def test_what_a_device_is_not_made_for_is_refused() -> None:
    check_precision("float16", "cuda:1")
    check_precision("bfloat16", torch.device("cpu"))
    with pytest.raises(UsageError, match="on a CPU take bfloat16"):
        check_precision("float16", "cpu")
    with pytest.raises(UsageError, match="known: bfloat16, float16"):
        check_precision("fp16", "cuda")
