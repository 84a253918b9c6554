"""Pictures as the network's input."""

from __future__ import annotations

import numpy as np
import torch

from ofa_pose.data import normalize
from ofa_pose.data.inputs import to_tensor


def test_normalisation_by_hand():
    images = torch.tensor([[[[0]], [[127]], [[255]]]], dtype=torch.uint8)
    result = normalize(images, (127, 127, 127), (128, 64, 128))
    assert result.dtype == torch.float32
    assert result.flatten().tolist() == [-127 / 128, 0.0, 1.0]


def test_pictures_are_stacked_in_the_layout_that_training_uses():
    picture = np.arange(2 * 5 * 3, dtype=np.uint8).reshape(2, 5, 3)
    images = to_tensor([picture, picture + 100])
    assert images.shape == (2, 3, 2, 5)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert images[1, 2, 1, 4] == 2 + 3 * (4 + 5 * 1) + 100  # channel 2, row 1, column 4
    assert normalize(images, (0, 0, 0), (1, 1, 1)).is_contiguous(memory_format=torch.channels_last)
