"""A jointed figure in three dimensions: random proportions, a random pose, its points in space.

Axes: x to the right of the picture, y down, z away from the camera. The figure at rest stands
upright and faces the camera, so its left side lies at positive x. The unit is its body height.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ofa_pose.data.synth.camera import Camera

SIDES = ("left", "right")
_DOWN = np.array([0.0, 1.0, 0.0])
_UP = -_DOWN
_FORWARD = np.array([0.0, 0.0, -1.0])
_ANYHOW_TURNED = 0.12  # share of figures at any roll: lying, upside down, in mid-air


@functools.cache
def body_plan() -> dict[str, Any]:
    """Return lengths, radii, face and poses of `body.yaml`."""
    text = Path(__file__).with_name("body.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


@dataclass(frozen=True)
class Figure:
    """One posed figure in space.

    Attributes:
        points: name to (3,) position; joints, hands, toes and the head's centre.
        head: (3, 3) rotation of the head: its columns are the head's left, down and back.
        build: factor of all thicknesses (slim below 1).
        head_size: factor of the head's size (children above 1).
    """

    points: Mapping[str, np.ndarray]
    head: np.ndarray
    build: float
    head_size: float


def random_figure(rng: np.random.Generator, camera: Camera | None = None) -> Figure:
    """Draw proportions, a pose within joint limits and where the figure turns to the camera."""
    plan = body_plan()
    lengths = {name: length * rng.uniform(0.92, 1.08) for name, length in plan["lengths"].items()}
    child = rng.random() < 0.15
    head_size = rng.uniform(1.25, 1.55) if child else rng.uniform(0.95, 1.15)
    angles = _random_angles(plan["poses"], rng)
    root = _random_view(camera or Camera(), rng)
    points, head = _place(lengths, angles, root, head_size)
    for name, (left, up, forward) in plan["face"].items():
        half = lengths["head"] * head_size / 2
        points[name] = points["head"] + head @ (np.array([left, -up, -forward]) * half)
    return Figure(points=points, head=head, build=rng.uniform(0.85, 1.3), head_size=head_size)


def _place(
    lengths: Mapping[str, float], angles: Mapping[str, Any], root: np.ndarray, head_size: float
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Walk down the bones; returns the points and the head's rotation."""
    pelvis = root @ _rotation("x", 0.25 * angles["lean"]) @ _rotation("z", 0.3 * angles["side"])
    torso = pelvis @ _rotation("x", 0.75 * angles["lean"]) @ _rotation("z", 0.7 * angles["side"])
    neck = torso @ (_UP * lengths["torso"])
    points = {"pelvis": np.zeros(3), "neck": neck}
    for side, sign in zip(SIDES, (1.0, -1.0), strict=True):
        turn = angles[side]
        outward = np.array([sign, 0.0, 0.0])
        shoulder = neck + torso @ (outward * lengths["shoulder"] + _DOWN * 0.025)
        arm = torso @ _rotation("z", -sign * turn["arm_abduct"])
        arm = arm @ _rotation("x", -turn["arm_flex"]) @ _rotation("y", sign * turn["twist"])
        elbow = shoulder + arm @ (_DOWN * lengths["upper_arm"])
        fore = arm @ _rotation("x", -turn["elbow"])
        wrist = elbow + fore @ (_DOWN * lengths["forearm"])
        hand = wrist + fore @ _rotation("x", turn["wrist"]) @ (_DOWN * lengths["hand"])
        hip = pelvis @ (outward * lengths["hip"])
        thigh = pelvis @ _rotation("z", -sign * turn["leg_abduct"])
        thigh = thigh @ _rotation("x", -turn["leg_flex"])
        knee = hip + thigh @ (_DOWN * lengths["thigh"])
        shin = thigh @ _rotation("x", turn["knee"])
        ankle = knee + shin @ (_DOWN * lengths["shin"])
        foot = shin @ _rotation("x", turn["ankle"])
        toe = ankle + foot @ (_FORWARD * lengths["foot"] * 0.8 + _DOWN * 0.022)
        heel = ankle + foot @ (-_FORWARD * 0.012 + _DOWN * 0.022)
        places = (shoulder, elbow, wrist, hand, hip, knee, ankle, toe, heel)
        names = ("shoulder", "elbow", "wrist", "hand", "hip", "knee", "ankle", "toe", "heel")
        points.update((f"{side}_{name}", at) for name, at in zip(names, places, strict=True))
    nod, tilt, look = angles["head"]
    head = torso @ _rotation("x", nod) @ _rotation("z", tilt) @ _rotation("y", look)
    tall = lengths["head"] * head_size
    base = neck + torso @ (_UP * lengths["neck"] * 0.6) + head @ (_UP * lengths["neck"] * 0.4)
    points["head"] = base + head @ (_UP * tall / 2 + _FORWARD * 0.012)
    points["chin"] = base
    points["top_head"] = points["head"] + head @ (_UP * tall / 2)
    return points, head


def _random_angles(poses: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    weights = np.array([pose["weight"] for pose in poses.values()])
    pose = list(poses.values())[rng.choice(len(poses), p=weights / weights.sum())]
    angles: dict[str, Any] = {
        "lean": rng.uniform(*pose["lean"]),
        "side": rng.uniform(*pose["side"]),
        # A head stays nearer to upright than the torso under it.
        "head": (rng.normal(0, 12), rng.normal(0, 8), float(np.clip(rng.normal(0, 28), -75, 75))),
    }
    angles["head"] = (angles["head"][0] - 0.35 * angles["lean"], *angles["head"][1:])
    names = ("arm_flex", "arm_abduct", "twist", "elbow", "leg_flex", "leg_abduct", "knee")
    for side in SIDES:
        angles[side] = {name: rng.uniform(*pose[name]) for name in names}
        angles[side]["wrist"] = rng.uniform(-40, 40)
        angles[side]["ankle"] = rng.uniform(-15, 35)
    return angles


def _random_view(camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Draw how the whole figure is turned to the camera: mostly upright, facing anywhere."""
    roll = rng.uniform(-180, 180) if rng.random() < _ANYHOW_TURNED else rng.normal(camera.roll, 6)
    yaw = rng.normal(0, 45) if rng.random() < 0.6 else rng.uniform(-180, 180)
    return (
        _rotation("z", roll) @ _rotation("x", camera.pitch + rng.normal(0, 5)) @ _rotation("y", yaw)
    )


def _rotation(axis: str, degrees: float) -> np.ndarray:
    """Return the (3, 3) rotation about a coordinate axis."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    if axis == "x":
        return np.array([[1.0, 0, 0], [0, cos, -sin], [0, sin, cos]])
    if axis == "y":
        return np.array([[cos, 0, sin], [0, 1.0, 0], [-sin, 0, cos]])
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
