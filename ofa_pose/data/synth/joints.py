"""Where a skeleton's joints lie on the figure: at a point of the same name, or between some."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ofa_pose.data.synth.body import SIDES, body_plan
from ofa_pose.data.synth.paint import PARTS, PARTS_STEP, hidden_by_own_body
from ofa_pose.errors import UsageError
from ofa_pose.skeleton import Skeleton, plain_name

Mixture = tuple[tuple[str, float], ...]
"""Points of the figure with weights that add up to 1."""

_LIMB_POINTS = (
    *("shoulder", "elbow", "wrist", "hand", "hip", "knee", "ankle"),
    *("toe", "heel"),
)

_ON_OUTLINE = ("top_head", "nose", "left_ear", "right_ear")
"""Points that lie on the head's outline, or may."""


def figure_points() -> list[str]:
    """Return the names of the figure's points."""
    limbs = [f"{side}_{point}" for side in SIDES for point in _LIMB_POINTS]
    return ["top_head", "head", "chin", "neck", "pelvis", *limbs, *body_plan()["face"]]


def mixtures_of(skeleton: Skeleton) -> tuple[Mixture, ...]:
    """Return where each joint lies: what `synthetic` says, else the point of its name or alias.

    Raises:
        UsageError: the figure has no such point; every joint without one is named.
    """
    known = {plain_name(point): point for point in figure_points()}
    mixtures, faults = [], []
    for joint, name in enumerate(skeleton.joints):
        declared = skeleton.synthetic[joint] if skeleton.synthetic else ()
        if declared:
            faults += [f"{point} (of {name})" for point, _ in declared if point not in known]
            mixtures.append(declared)
            continue
        names = (name, *(skeleton.aliases[joint] if skeleton.aliases else ()))
        found = [known[plain_name(each)] for each in names if plain_name(each) in known]
        faults += [name] * (not found)
        mixtures.append(((found[0], 1.0),) if found else ())
    if faults:
        raise UsageError(
            f"skeleton {skeleton.name!r}: synthetic figures have no {', '.join(faults)}; "
            f"they have {', '.join(figure_points())}; say in its YAML where else a joint lies, "
            "such as synthetic: {chest: {neck: 0.7, pelvis: 0.3}}"
        )
    return tuple(mixtures)


def label_joints(
    mixtures: tuple[Mixture, ...],
    points: Mapping[str, np.ndarray],
    labels: np.ndarray,
    number: int,
) -> np.ndarray:
    """Return one figure's (K, 3) float32 x, y, v; v is 0 outside of the picture, 1 hidden, 2 seen.

    Args:
        mixtures: of the K joints.
        points: the figure's, name to (3,): x, y in pixels, depth.
        labels: (H, W), see `Canvas`.
        number: the figure's number in them.
    """
    height, width = labels.shape
    result = np.zeros((len(mixtures), 3), np.float32)
    for row, mixture in enumerate(mixtures):
        x, y, _ = np.sum([weight * points[point] for point, weight in mixture], axis=0)
        if not (0 <= x < width and 0 <= y < height):
            continue
        label = int(labels[int(y), int(x)])
        shown, part = divmod(label - 1, PARTS_STEP)
        # On the head's outline half of the pixels are not the head's any more.
        on_edge = len(mixture) == 1 and mixture[0][0] in _ON_OUTLINE and label == 0
        if on_edge:
            shown, part = number, PARTS.index("head")
        seen = shown == number and not all(
            hidden_by_own_body(point, PARTS[part], points) for point, _ in mixture
        )
        result[row] = x, y, 2 if seen else 1
    return result
