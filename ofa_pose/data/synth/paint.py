"""Paints a posed figure and keeps account of which part of whom every pixel shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from ofa_pose.data.synth.body import SIDES, Figure, body_plan
from ofa_pose.data.synth.look import Look

_SHIFT = 4
_TURN = np.linspace(0, 2 * np.pi, 16, endpoint=False)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], 1)
_LIMBS = {  # part: the two points it joins
    "upper_arm": ("shoulder", "elbow"),
    "forearm": ("elbow", "wrist"),
    "hand": ("wrist", "hand"),
    "thigh": ("hip", "knee"),
    "shin": ("knee", "ankle"),
    "foot": ("heel", "toe"),
}
PARTS = ("torso", "neck", "head", *(f"{side}_{part}" for side in SIDES for part in _LIMBS))
PARTS_STEP = 32  # labels of one figure: number * PARTS_STEP + place in PARTS + 1
COVER = -1  # label of things in front of people
_BEHIND = 0.04  # a joint this far (body heights) behind its end of the spine is hidden by the torso


class Canvas:
    """A picture being painted, far things first.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) int16: what each pixel shows; 0 background, `COVER`, else a figure's part.
    """

    def __init__(self, image: np.ndarray) -> None:
        self.image = image
        self.labels = np.zeros(image.shape[:2], np.int16)

    def fill(self, outline: np.ndarray, colour: np.ndarray, label: int | None) -> None:
        """Fill a convex (n, 2) outline in continuous coordinates; no label: leave labels alone."""
        corners = np.rint((outline - 0.5) * 2**_SHIFT).astype(np.int32)
        cv2.fillConvexPoly(self.image, corners, colour.tolist(), cv2.LINE_AA, _SHIFT)
        if label is not None:
            cv2.fillConvexPoly(self.labels, corners, [label], cv2.LINE_8, _SHIFT)


def paint_figure(
    canvas: Canvas,
    figure: Figure,
    points: Mapping[str, np.ndarray],
    *,
    unit: float,
    number: int,
    look: Look,
    perspective: float = 0.0,
) -> list[np.ndarray]:
    """Paint a figure's parts, the farthest first.

    Args:
        canvas: painted on.
        figure: proportions and head.
        points: name to (3,): x, y in pixels, depth in body heights.
        unit: pixels a body height.
        number: the figure's number in the labels.
        look: colours and clothes.
        perspective: how much larger a part one body height nearer appears.

    Returns:
        (n, 2) float outlines, all convex, hidden or not.
    """
    painter = _Painter(canvas, figure, points, unit, number * PARTS_STEP + 1, look, perspective)
    torso = (points["neck"][2] + points["left_hip"][2] + points["right_hip"][2]) / 3
    jobs = [(torso, painter.torso), (points["chin"][2] + 0.01, painter.neck)]
    jobs.append((points["head"][2] - 0.03, painter.head))
    for side in SIDES:
        for part, (near, far) in _LIMBS.items():
            depth = (points[f"{side}_{near}"][2] + points[f"{side}_{far}"][2]) / 2
            if part in ("upper_arm", "thigh"):
                # The end at the torso says whether a limb starts before or behind it.
                depth += 0.5 * (points[f"{side}_{near}"][2] - depth) - 0.012
            jobs.append((depth, lambda part=part, side=side: painter.limb(side, part)))
    for _, job in sorted(jobs, key=lambda entry: -entry[0]):
        job()
    return painter.outlines


def bounds_of(outlines: Sequence[np.ndarray]) -> np.ndarray:
    """Return the bounds (4,) x, y, width, height of outlines; all 0 of none."""
    if not outlines:
        return np.zeros(4)
    corners = np.concatenate(outlines)
    low, high = corners.min(axis=0), corners.max(axis=0)
    return np.concatenate([low, high - low])


def clipped(outlines: Sequence[np.ndarray], width: int, height: int) -> list[np.ndarray]:
    """Return what of convex outlines lies in a picture, as convex outlines again."""
    frame = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    inside = []
    for outline in outlines:
        if (outline >= 0).all() and (outline <= frame[2]).all():
            inside.append(outline)
            continue
        area, shared = cv2.intersectConvexConvex(outline.astype(np.float32), frame)
        if area > 0:
            corners = shared.reshape(-1, 2).astype(np.float64)
            inside.append(np.clip(corners, 0, frame[2]))  # the crossings are rounded
    return inside


def hidden_by_own_body(name: str, part: str, points: Mapping[str, np.ndarray]) -> bool:
    """Say whether a joint under a pixel that shows `part` of its own figure lies hidden behind it.

    A joint counts as seen where the parts that meet in it are seen, unless that is the torso and
    the joint lies on its far side; eyes, ears and nose unless they lie on the head's far side.
    """
    if name in ("nose", "left_eye", "right_eye", "left_ear", "right_ear"):
        return part != "head" or points[name][2] > points["head"][2] + 0.01
    side, _, joint = name.partition("_")
    meeting = {
        "neck": ("neck", "torso"),
        "top_head": ("head",),
        "head": ("head",),
        "chin": ("head", "neck"),
        "pelvis": ("torso",),
    }.get(name) or tuple(
        f"{side}_{limb}" for limb, ends in _LIMBS.items() if joint in ends or limb == joint
    )
    if joint == "ankle":
        meeting += (f"{side}_foot",)
    if part == "torso" and joint in ("shoulder", "hip"):
        end = "neck" if joint == "shoulder" else "pelvis"
        return bool(points[name][2] > points[end][2] + _BEHIND)
    return part not in meeting


class _Painter:
    def __init__(
        self,
        canvas: Canvas,
        figure: Figure,
        points: Mapping[str, np.ndarray],
        unit: float,
        label: int,
        look: Look,
        perspective: float,
    ) -> None:
        self.canvas = canvas
        self.figure = figure
        self.flat = {name: point[:2] for name, point in points.items()}
        self.scale = {
            name: nearness(float(point[2]), perspective) for name, point in points.items()
        }
        self.unit = unit
        self.label = label
        self.look = look
        self.radii = body_plan()["radii"]
        self.thick = unit * figure.build
        self.outlines: list[np.ndarray] = []

    def limb(self, side: str, part: str) -> None:
        ends = [f"{side}_{end}" for end in _LIMBS[part]]
        near, far = (self.flat[end] for end in ends)
        first, last = (
            radius * self.thick * self.scale[end]
            for radius, end in zip(self.radii[part], ends, strict=True)
        )
        look = self.look
        colour = look.shoes if part == "foot" else look.skin
        self._hull([near, far], [first, last], colour, PARTS.index(f"{side}_{part}"))
        cloth, reach = {
            "upper_arm": (look.shirt, look.sleeves),
            "forearm": (look.shirt, look.sleeves - 1),
            "thigh": (look.trousers, look.legs),
            "shin": (look.trousers, look.legs - 1),
        }.get(part, (look.skin, 0.0))
        if reach > 0:
            share = min(reach, 1.0) * 0.97
            end = near + (far - near) * share
            width = first + (last - first) * share
            self._hull(
                [near, end], [first * 1.12, width * 1.15], cloth, PARTS.index(f"{side}_{part}")
            )

    def torso(self) -> None:
        chest = self.radii["chest"][0] * self.thick * self.scale["neck"]
        hips = self.radii["pelvis"][0] * self.thick * self.scale["pelvis"]
        flat, part = self.flat, PARTS.index("torso")
        waist = [0.6 * flat[f"{side}_hip"] + 0.4 * flat[f"{side}_shoulder"] for side in SIDES]
        self._hull(
            [flat["left_hip"], flat["right_hip"], *waist],
            [hips, hips, hips * 0.7, hips * 0.7],
            self.look.trousers,
            part,
        )
        collar = 0.75 * flat["neck"] + 0.25 * flat["pelvis"]
        inner = [0.86 * flat[f"{side}_shoulder"] + 0.14 * collar for side in SIDES]
        lower = [0.78 * flat[f"{side}_hip"] + 0.22 * inner[i] for i, side in enumerate(SIDES)]
        self._hull(
            [*inner, *lower, flat["neck"]],
            [chest, chest, hips * 0.95, hips * 0.95, chest * 0.45],
            self.look.shirt,
            part,
        )

    def neck(self) -> None:
        first, last = (radius * self.thick * self.scale["neck"] for radius in self.radii["neck"])
        up = 0.5 * self.flat["chin"] + 0.5 * self.flat["head"]
        self._hull([self.flat["neck"], up], [first, last], self.look.skin, PARTS.index("neck"))

    def head(self) -> None:
        """Paint hair and face as two ellipsoids; features where the face looks at the camera."""
        head, look, part = self.figure.head, self.look, PARTS.index("head")
        centre = self.flat["head"]
        half = float(np.linalg.norm(self.figure.points["top_head"] - self.figure.points["head"]))
        half *= self.unit * self.scale["head"]
        forward, up = -head[:, 2], -head[:, 1]
        if look.long_hair:
            back = centre - (forward[:2] * 0.35 + up[:2] * 0.55) * half
            self._blob(back, half * np.array([0.78, 0.95, 0.6]), look.hair, part)
        self._blob(centre, half * np.array([0.76, 1.0, 0.95]), look.hair, part)
        face = centre + (forward[:2] * 0.3 - up[:2] * 0.16) * half
        if forward[2] < 0.55:
            self._blob(face, half * np.array([0.66, 0.82, 0.72]), look.skin, part, lit=True)
        for name in ("left_ear", "right_ear"):
            if self.figure.points[name][2] < self.figure.points["head"][2] + 0.01:
                self._dot(self.flat[name], half * 0.17, look.skin * 0.85)
        if forward[2] > -0.15:
            return
        for name in ("left_eye", "right_eye"):
            self._dot(self.flat[name], half * 0.11, look.skin * 0.4 + 120)
            self._dot(self.flat[name], half * 0.075, np.array([30.0, 25.0, 20.0]))
            brow = self.flat[name] + up[:2] * half * 0.2
            self._dot(brow, half * 0.07, look.hair)
        self._dot(self.flat["nose"], half * 0.12, look.skin * 0.8)
        mouth = face + (forward[:2] * 0.62 - up[:2] * 0.42) * half
        self._dot(mouth, half * 0.13, look.skin * 0.5 + np.array([60.0, 10.0, 10.0]))

    def _blob(
        self, centre: np.ndarray, axes: np.ndarray, colour: np.ndarray, part: int, lit: bool = False
    ) -> None:
        """Fill the outline of an ellipsoid whose half axes lie along the head's axes."""
        # The shadow of an ellipsoid M·(unit sphere) is the ellipse of the matrix (M Mᵀ)'s xy part.
        spread = (self.figure.head[:2] * axes) @ (self.figure.head[:2] * axes).T
        values, vectors = np.linalg.eigh(spread)
        outline = centre + (_CIRCLE * np.sqrt(np.maximum(values, 1e-9))) @ vectors.T
        self.outlines.append(outline)
        self.canvas.fill(outline, colour * 0.9, self.label + part)
        if lit:
            bright = centre + (outline - centre) * 0.8 + self.look.light * axes.min() * 0.15
            self.canvas.fill(bright, colour * 1.04, None)

    def _dot(self, centre: np.ndarray, radius: float, colour: np.ndarray) -> None:
        if radius > 0.4:
            self.canvas.fill(centre + _CIRCLE * radius, colour, None)

    def _hull(
        self, centres: list[np.ndarray], radii: list[float], colour: np.ndarray, part: int
    ) -> None:
        discs = _CIRCLE * np.array(radii)[:, None, None]
        circles = (np.array(centres)[:, None] + discs).reshape(-1, 2)
        rim = cv2.convexHull(circles.astype(np.float32), returnPoints=False).ravel().astype(int)
        outline = circles[rim]
        self.outlines.append(outline)
        self.canvas.fill(outline, colour * 0.8, self.label + part)
        inward = self.look.light * (0.55 * min(radii)) - discs.reshape(-1, 2)[rim]
        for share, light in ((0.22, 0.92), (0.5, 1.02)):  # rounder toward the light
            self.canvas.fill(outline + inward * share, colour * light, None)


def nearness(depth: float, perspective: float) -> float:
    """Return how much larger than at depth 0 a point at `depth` body heights appears."""
    return 1 / max(0.25, 1 + perspective * depth)
