"""Compressed run lengths are read as pycocotools writes them, and damaged ones are noticed."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from ofa_pose.data.outlines import outline_mask, run_lengths


def test_by_hand() -> None:
    # One digit each, but for 40 = 8 + 32: 48 + 8 + 32 and 48 + 1. The fourth, 5, is 7 below the
    # second, 12: -7 is 25 modulo 32, whose sign bit, 16, is set.
    text = "".join(chr(48 + digit) for digit in (3, 12, 8 + 32, 1, 25))
    assert cast("Any", run_lengths(text)).tolist() == [3, 12, 40, 5]


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.99])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (300, 400)])
def test_of_a_mask(size: tuple[int, int], share: float) -> None:
    rng = np.random.default_rng(size)
    mask = rng.uniform(size=size) < share
    mask[: size[0] // 2] = mask[0, 0]  # some runs are long
    encoded = cast("Any", coco_mask.encode(np.asfortranarray(mask, np.uint8)))
    column = mask.ravel("F").astype(np.int8)
    changes = np.flatnonzero(np.diff(column, prepend=0))
    expected = np.diff(np.concatenate([[0], changes, [column.size]]))
    assert cast("Any", run_lengths(encoded["counts"].decode())).tolist() == expected.tolist()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3P",  # P says that more follows
        "3 4",
        "3p",
        "3\0",
        "3é",
        "PPPPPPPPPPPP1",  # a number of 65 bits
    ],
)
def test_what_is_none(text: str) -> None:
    assert run_lengths(text) is None


def test_runs_whose_sum_overflows_are_none() -> None:
    # The sum of the numbers is 2**64 + 12, which 64 bits hold as 12.
    assert outline_mask({"size": [4, 3], "counts": [2**62] * 4 + [12]}, (4, 3)) is None
    assert outline_mask({"size": [4, 3], "counts": [12]}, (4, 3)) is not None
