"""Intervals of resampled scores, and what they say where there is too little to resample."""

import math

import numpy as np
import pytest

from ofa_pose import bootstrap


def test_resamples_draw_every_image_once_on_average():
    drawn = bootstrap.resamples(7, draws=5, seed=0)
    assert drawn.shape == (5, 7)
    assert drawn.sum(axis=1).tolist() == [7] * 5


def test_an_interval_leaves_equal_tails():
    # Of 0, 1, …, 100 the middle 80 % are 10 to 90.
    scores = np.arange(101.0)
    assert bootstrap.interval(scores, share=0.8) == pytest.approx((10, 90))
    scores = np.concatenate([scores, [np.nan] * 50])  # resamples of nobody say nothing
    assert bootstrap.interval(scores, share=0.8) == pytest.approx((10, 90))


def test_without_a_score_nothing_is_known():
    for scores in (np.array([]), np.full(9, np.nan)):
        assert all(map(math.isnan, bootstrap.interval(scores, share=0.95)))
