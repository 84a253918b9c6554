"""What tests of costs share: thop's own count of a network."""

import contextlib
import io
import warnings
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import nn


@pytest.fixture
def thop_profile() -> Callable[[nn.Module, Sequence[int]], tuple[int, int]]:
    """MACs and parameters of a network for a picture of (C, H, W), by thop."""

    def profile(network: nn.Module, shape: Sequence[int]) -> tuple[int, int]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import thop

            with contextlib.redirect_stdout(io.StringIO()):
                image = torch.zeros(1, *shape)
                counted = thop.profile(network, inputs=(image,), verbose=False)
        return round(counted[0]), round(counted[1])

    return profile
