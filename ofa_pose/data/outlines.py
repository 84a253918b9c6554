"""The outlines of COCO's annotations as masks; of damaged ones nothing reaches pycocotools."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from pycocotools import mask as coco_mask

from ofa_pose.data.annotations import has_joints
from ofa_pose.data.scene import clear_boxes

_FIRST = 48  # the character of 0; each holds five bits and says whether more follow
_MORE, _SIGN, _BITS = 32, 16, 5
_MOST_DIGITS = 7  # of a number of 32 bits


def valid_mask(people: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> np.ndarray:
    """Return the (H, W) bool mask without crowds and people that have no joints.

    Their segmentation is masked (HigherHRNet's rule); where there is none, their box is.

    Args:
        people: annotations of one picture, with `num_keypoints`, `iscrowd` and, of those that are
            masked, `bbox`.
        size: H, W.
    """
    valid = np.ones(size, bool)
    for annotation in people:
        if has_joints(annotation):
            continue
        region = outline_mask(annotation.get("segmentation"), size)
        if region is not None:
            valid &= ~region
            continue
        clear_boxes(valid, np.array([annotation["bbox"]]))
    return valid


def outline_mask(segmentation: Any, size: tuple[int, int]) -> np.ndarray | None:
    """Return polygons or an RLE, compressed or not, as an (H, W) bool mask; None if unusable.

    pycocotools does not check what it is given: a NaN in a polygon takes all memory there is, and
    run lengths of another sum leave pixels unset.
    """
    encoded: Any = segmentation  # pycocotools' stubs know only some of the forms COCO files use
    try:
        if isinstance(segmentation, list):
            polygons: Any = [part for part in segmentation if len(part) >= 6]
            if not polygons or not all(_is_near(part, size) for part in polygons):
                return None
            encoded = coco_mask.merge(coco_mask.frPyObjects(polygons, *size))
        elif not isinstance(segmentation, dict) or segmentation["size"] != list(size):
            return None
        else:
            counts = segmentation["counts"]
            compressed = isinstance(counts, str)
            runs = run_lengths(counts) if compressed else np.array(counts, np.int64)
            if runs is None or not _fill(runs, size[0] * size[1]):
                return None
            if not compressed:
                encoded = coco_mask.frPyObjects(encoded, *size)
        with warnings.catch_warnings():
            # pycocotools' arrays do not know numpy 2's `copy` keyword.
            warnings.simplefilter("ignore", DeprecationWarning)
            region = coco_mask.decode(cast("Any", encoded)).astype(bool)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return region if region.shape == size else None


def _fill(runs: np.ndarray, pixels: int) -> bool:
    """Say whether runs, each of which may be 0, add up to the pixels of a mask."""
    return bool(((runs >= 0) & (runs <= pixels)).all()) and int(runs.sum()) == pixels


def _is_near(polygon: Any, size: tuple[int, int]) -> bool:
    """Say whether every corner lies in the picture or less than the picture's size beside it."""
    corners = np.array(polygon, np.float64)
    longest = max(size)
    return corners.ndim == 1 and bool(((corners > -longest) & (corners < 2 * longest)).all())


def run_lengths(text: str) -> np.ndarray | None:
    """Return the run lengths that `counts` of a compressed RLE tells, int64; None if it is none.

    They alternate: 0s first, then 1s, down the columns of a mask. From the fourth on a number is
    how much longer a run is than the last but one. pycocotools checks nothing: at a text that ends
    amid a number it reads on, and writes past the end of its memory.

    Args:
        text: one character is five bits, the lowest first.
    """
    try:
        digits = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - _FIRST
    except UnicodeEncodeError:
        return None
    if not len(digits) or digits.min() < 0 or digits.max() >= 2 * _MORE or digits[-1] & _MORE:
        return None
    ends = np.flatnonzero(digits < _MORE)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _MOST_DIGITS:
        return None
    places = np.arange(len(digits)) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((digits & (_MORE - 1)) << (_BITS * places), starts)
    numbers -= np.where(digits[ends] & _SIGN, 1 << (_BITS * lengths), 0)
    for first in (1, 2):
        numbers[first::2] = np.cumsum(numbers[first::2])
    return numbers
