"""Pictures as the network's input."""

from __future__ import annotations

import torch

from ofa_pose.data import normalize


def test_normalisation_by_hand():
    images = torch.tensor([[[[0]], [[127]], [[255]]]], dtype=torch.uint8)
    result = normalize(images, (127, 127, 127), (128, 64, 128))
    assert result.dtype == torch.float32
    assert result.flatten().tolist() == [-127 / 128, 0.0, 1.0]
