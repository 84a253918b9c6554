"""Steadier joints in a film: the One-Euro filter, one for every joint of every tracked person."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ofa_pose.errors import UsageError
from ofa_pose.pose import Person

_Cutoff = TypeVar("_Cutoff", float, np.ndarray)


@dataclass(frozen=True)
class OneEuroSettings:
    """Constants of the filter.

    Attributes:
        min_cutoff: Hz; lower is steadier at rest and lags more.
        beta: Hz for every body size a second; higher lags less in motion.
        speed_cutoff: Hz, of the filter that the speed itself passes.

    Raises:
        UsageError: a value that cannot work.
    """

    min_cutoff: float = 1.0
    beta: float = 5.0
    speed_cutoff: float = 1.0

    def __post_init__(self) -> None:
        if not (self.min_cutoff > 0 and self.speed_cutoff > 0 and self.beta >= 0):
            raise UsageError(f"One-Euro cut-offs must be positive and beta not negative: {self}")


@dataclass(frozen=True)
class _State:
    time_s: float
    found: np.ndarray
    places: np.ndarray
    speeds: np.ndarray


class PoseSmoother:
    """Smooths the joints of people with ids; scores stay as they are.

    A low-pass filter whose cut-off frequency rises with the joint's speed: still joints do not
    tremble, fast ones do not lag. Speed counts in body sizes (the diagonal of the box around the
    joints) a second, so that the constants fit every size. Source: Casiez, Roussel and Vogel,
    "1€ Filter" (CHI 2012).
    """

    def __init__(self, settings: OneEuroSettings | None = None) -> None:
        self._settings = settings or OneEuroSettings()
        self._states: dict[int, _State] = {}

    def update(self, people: Sequence[Person], ids: Sequence[int], time_s: float) -> list[Person]:
        """Return the people of the frame at `time_s` with smoothed joints.

        Args:
            people: as they were found.
            ids: theirs, one each.
            time_s: seconds; not before the last call's.
        """
        return [
            Person(keypoints=self._smooth(number, person.keypoints, time_s), score=person.score)
            for number, person in zip(ids, people, strict=True)
        ]

    def forget(self, known: Collection[int]) -> None:
        """Forget everybody whose id is not among `known`."""
        self._states = {key: state for key, state in self._states.items() if key in known}

    def _smooth(self, number: int, keypoints: np.ndarray, time_s: float) -> np.ndarray:
        found, places = keypoints[:, 2] > 0, keypoints[:, :2].copy()
        speeds = np.zeros_like(places)
        before = self._states.get(number)
        if before is not None:
            both = found & before.found
            passed = max(0.0, time_s - before.time_s)
            settings = self._settings
            if passed > 0:
                raw = (places[both] - before.places[both]) / passed
                share = _share(settings.speed_cutoff, passed)
                speeds[both] = share * raw + (1 - share) * before.speeds[both]
            else:
                speeds[both] = before.speeds[both]
            size = max(1.0, math.hypot(*np.ptp(places[found], axis=0))) if found.any() else 1.0
            speed = np.linalg.norm(speeds[both], axis=1, keepdims=True)
            cutoff = settings.min_cutoff + settings.beta * speed / size
            share = _share(cutoff, passed)
            places[both] = share * places[both] + (1 - share) * before.places[both]
        self._states[number] = _State(time_s, found, places, speeds)
        return np.concatenate([places, keypoints[:, 2:]], axis=1)


def _share(cutoff: _Cutoff, passed: float) -> _Cutoff:
    """Return how much of a new value a low-pass filter takes after `passed` seconds.

    Args:
        cutoff: Hz, one for all or one for each value.
        passed: seconds.
    """
    turns = 2 * math.pi * cutoff * passed
    return turns / (turns + 1)
