"""Whole pictures as the network's input."""

from __future__ import annotations

import pytest
import torch

from ofa_pose.data import image_batches, normalize


def test_normalisation_by_hand():
    images = torch.tensor([[[[0]], [[127]], [[255]]]], dtype=torch.uint8)
    result = normalize(images, (127, 127, 127), (128, 64, 128))
    assert result.dtype == torch.float32
    assert result.flatten().tolist() == [-127 / 128, 0.0, 1.0]


def test_pictures_are_spread_over_the_source_and_not_augmented(dots):
    # 60 x 80 at 60: the long side is 80, drawn in 128. Channel 0, 1 or 2 holds 40 + index.
    batches = list(
        image_batches(dots(12), 60, 4, batch_size=3, pixel_mean=(0, 0, 0), pixel_std=(1, 1, 1))
    )
    assert [tuple(batch.shape) for batch in batches] == [(3, 3, 128, 60), (1, 3, 128, 60)]
    corner = torch.cat(batches)[:, :, 30, 2]  # a place without dots; scenes 0, 3, 6, 9
    assert corner.tolist() == [[40.0 + i, 0, 0] for i in (0, 3, 6, 9)]


def test_asking_for_more_than_there_is_gives_each_once(dots):
    batches = image_batches(
        dots(5), 64, 100, batch_size=8, pixel_mean=(0, 0, 0), pixel_std=(1, 1, 1), fit="long"
    )
    assert [tuple(batch.shape) for batch in batches] == [(5, 3, 64, 64)]


@pytest.mark.parametrize("count", [1, 2])
def test_every_count_is_met(dots, count):
    batches = image_batches(
        dots(5), 64, count, batch_size=1, pixel_mean=(0, 0, 0), pixel_std=(1, 1, 1)
    )
    assert sum(len(batch) for batch in batches) == count
