"""People drawn over their picture: a colour a person, left and right told apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from ofa_pose.data.colours import BLACK, COLOURS, WHITE, Colour, shade
from ofa_pose.errors import UsageError
from ofa_pose.pose import Person
from ofa_pose.sides import Side, joint_sides, limb_sides
from ofa_pose.skeleton import Skeleton

_DOTS = {Side.LEFT: WHITE, Side.RIGHT: BLACK}
_PERSONS_PER_WIDTH = 50  # how much longer a person is than a limb is wide
_WIDTHS = (2, 12)
_SUBPIXEL_BITS = 4
_FARTHEST = 2**24  # where drawing with fractions of a pixel would leave 32 bits


def draw_people(
    image: np.ndarray,
    people: Sequence[Person],
    skeleton: Skeleton,
    *,
    ids: Sequence[int] | None = None,
    min_joint: float = 0.2,
) -> np.ndarray:
    """Return a copy of a picture with the people drawn in.

    Every person has a colour; the left side is a light tint of it with white joints, the right
    side a dark shade with black joints, what lies in the middle the colour itself.

    Args:
        image: (H, W, 3) uint8 RGB.
        people: in the picture's pixels; the first is drawn last, on top.
        skeleton: K joints.
        ids: of the people, one each: the colour follows the id, which is written beside them.
        min_joint: joints with a lower score are left out.

    Raises:
        UsageError: the picture is none, or the number of ids or of joints does not fit.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UsageError(
            f"people are drawn into (H, W, 3) uint8 RGB, not {image.shape} {image.dtype}"
        )
    if ids is not None and len(ids) != len(people):
        raise UsageError(f"{len(ids)} ids were given for {len(people)} people")
    canvas = np.ascontiguousarray(image).copy()
    numbers = range(len(people)) if ids is None else ids
    for number, person in reversed(list(zip(numbers, people, strict=True))):
        if len(person.keypoints) != skeleton.num_joints:
            raise UsageError(
                f"a person has {len(person.keypoints)} joints, skeleton {skeleton.name!r} has "
                f"{skeleton.num_joints}"
            )
        colour = COLOURS[number % len(COLOURS)]
        shown = (person.keypoints[:, 2] > 0) & (person.keypoints[:, 2] >= min_joint)
        if not shown.any():
            continue
        width = _limb_width(person.keypoints[shown, :2])
        _draw_person(canvas, person.keypoints, shown, skeleton, colour=colour, width=width)
        if ids is not None:
            _write_id(canvas, str(number), person.keypoints[shown, :2], colour, width=width)
    return canvas


def _draw_person(
    canvas: np.ndarray,
    keypoints: np.ndarray,
    shown: np.ndarray,
    skeleton: Skeleton,
    *,
    colour: Colour,
    width: int,
) -> None:
    # Drawing functions put pixel centres at whole numbers.
    fixed = np.round((keypoints[:, :2] - 0.5) * 2**_SUBPIXEL_BITS)
    places = np.clip(fixed, -_FARTHEST, _FARTHEST).astype(int).tolist()
    limbs = [
        (places[first], places[second], shade(colour, side))
        for (first, second), side in zip(skeleton.limbs, limb_sides(skeleton), strict=True)
        if shown[first] and shown[second]
    ]
    for start, end, _ in limbs:
        _line(canvas, start, end, BLACK, width + 2)
    for start, end, tint in limbs:
        _line(canvas, start, end, tint, width)
    for place, side, seen in zip(places, joint_sides(skeleton), shown, strict=True):
        if seen:
            _dot(canvas, place, BLACK, 0.85 * width + 1)
            _dot(canvas, place, colour, 0.85 * width)
            if side in _DOTS:
                _dot(canvas, place, _DOTS[side], 0.5 * width)


def _line(canvas: np.ndarray, start: list[int], end: list[int], colour: Colour, width: int) -> None:
    cv2.line(canvas, start, end, colour, width, cv2.LINE_AA, shift=_SUBPIXEL_BITS)


def _dot(canvas: np.ndarray, place: list[int], colour: Colour, radius: float) -> None:
    fixed = max(1, round(radius * 2**_SUBPIXEL_BITS))
    cv2.circle(canvas, place, fixed, colour, cv2.FILLED, cv2.LINE_AA, shift=_SUBPIXEL_BITS)


def _write_id(
    canvas: np.ndarray, text: str, points: np.ndarray, colour: Colour, *, width: int
) -> None:
    """Write an id above a person's topmost joint, inside the picture."""
    scale = 0.2 + 0.1 * width
    (length, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    x, y = points[points[:, 1].argmin()]
    left = int(np.clip(x - length / 2, 0, max(0, canvas.shape[1] - length)))
    bottom = int(np.clip(y - 2 * width, height + 1, max(height + 1, canvas.shape[0] - 2)))
    for ink, thickness in ((BLACK, 1 + width), (colour, 1 + width // 4)):
        cv2.putText(
            canvas, text, (left, bottom), cv2.FONT_HERSHEY_SIMPLEX, scale, ink, thickness,
            cv2.LINE_AA,
        )  # fmt: skip


def _limb_width(points: np.ndarray) -> int:
    """Return the width of a person's limbs in pixels, by how large the person is."""
    extent = math.hypot(*np.ptp(points, axis=0))
    return int(np.clip(round(extent / _PERSONS_PER_WIDTH), *_WIDTHS))
