"""Scenes that are expensive to make, made once and kept in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ofa_pose.data.scene import Scene, SceneSource, ground_truth_of


class HeldScenes:
    """The scenes of another source, each made once, here and now; the same to whoever reads them.

    They are pickled with their pictures, so that other processes need not make them again.

    Args:
        source: what is kept; about height x width x 4 bytes a scene.
        progress: called with how many scenes are made, and of how many.
    """

    def __init__(
        self, source: SceneSource, *, progress: Callable[[int, int], None] | None = None
    ) -> None:
        self.skeleton = source.skeleton
        self._fingerprint = source.fingerprint()
        self._scenes: list[Scene] = []
        for index in range(len(source)):
            self._scenes.append(source[index])
            if progress is not None:
                progress(index + 1, len(source))

    def __len__(self) -> int:
        return len(self._scenes)

    def __getitem__(self, index: int) -> Scene:
        return self._scenes[index]

    def ground_truth(self) -> dict[str, Any]:
        """Return the COCO JSON of the scenes' people."""
        return ground_truth_of(self._scenes, self.skeleton)

    def fingerprint(self) -> str:
        """Return the source's: the scenes are the same."""
        return self._fingerprint
