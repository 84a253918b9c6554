"""Disjoint parts of a source, so that what picks a winner is never what it is reported on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ofa_pose.data import (
    CocoScenes,
    MappedScenes,
    MixedScenes,
    MosaicScenes,
    PastedScenes,
    Scene,
    SceneSource,
)
from ofa_pose.data.fingerprint import fingerprint_of
from ofa_pose.data.scene import image_id_of, next_readable, read_one
from ofa_pose.data.shares import cut
from ofa_pose.errors import DataError, UsageError
from ofa_pose.skeleton import Skeleton


class SubsetScenes:
    """Some scenes of another source, in the order of `indices`.

    For a picture that turns out damaged the next of the subset stands in, never one beside it.

    Args:
        source: where the scenes come from. (If it lets others stand in and is no
            `ofa_pose.data.scene.PictureSource`, they may be any of its own.)
        indices: distinct positions in it.

    Raises:
        UsageError: an index is out of range or stands twice.
        DataError: there are no indices.
    """

    def __init__(self, source: SceneSource, indices: Sequence[int]) -> None:
        self.source = source
        given = np.asarray(indices if isinstance(indices, Sequence) else list(indices))
        if given.size and (given.ndim != 1 or given.dtype.kind not in "iu"):
            hint = "; np.flatnonzero gives those of a mask" if given.dtype == bool else ""
            raise UsageError(f"a subset's indices are whole numbers, not {given.dtype}{hint}")
        self.indices: tuple[int, ...] = tuple(given.astype(np.int64).tolist())
        self._image_ids: dict[int, int] = {}
        if not self.indices:
            raise DataError("a subset without scenes cannot be used")
        if len(set(self.indices)) < len(self.indices):
            raise UsageError("a subset names a scene twice")
        if min(self.indices) < 0 or max(self.indices) >= len(source):
            raise UsageError(f"a subset's indices must lie in 0..{len(source) - 1}")

    @property
    def skeleton(self) -> Skeleton:
        """The source's skeleton."""
        return self.source.skeleton

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Scene:
        """Return a scene; for one whose picture is damaged, the next of the subset.

        Raises:
            DataError: no picture of the subset can be decoded, or too many of the source cannot.
        """
        scene = next_readable(self, index)
        if scene is None:
            raise DataError(f"none of the {len(self)} pictures of a subset can be decoded")
        return scene

    def read_one(self, index: int) -> Scene | None:
        """Return this very scene; None where its picture cannot be decoded."""
        scene = read_one(self.source, self.indices[index])
        if scene is not None:
            self._image_ids[self.indices[index]] = scene.image_id
        return scene

    def image_id(self, index: int) -> int | None:
        """Return the id of a scene's own picture, which is not read; None: it is not known."""
        return image_id_of(self.source, self.indices[index])

    def ground_truth(self) -> dict[str, Any]:
        """Return the source's COCO JSON, cut down to the subset's pictures.

        Where the source cannot tell a picture's id, the scene is read for it, once.
        """
        for position, index in enumerate(self.indices):
            if index not in self._image_ids:
                image_id = self.image_id(position)
                self._image_ids[index] = self[position].image_id if image_id is None else image_id
        kept = set(self._image_ids.values())
        document = self.source.ground_truth()
        return {
            **document,
            "images": [image for image in document["images"] if image["id"] in kept],
            "annotations": [
                annotation
                for annotation in document["annotations"]
                if annotation["image_id"] in kept
            ],
        }

    def fingerprint(self) -> str:
        """Hash the source's fingerprint with the indices."""
        return fingerprint_of("subset", (self.source.fingerprint(), self.indices))


def shared_pictures(one: SceneSource, other: SceneSource) -> tuple[Path, ...]:
    """Return the files that two sources of photographs both show, sorted; none for other sources.

    Mosaics and mixes may show each picture of what they are made of.

    Args:
        one: `CocoScenes`, a part of some, or scenes made of them.
        other: likewise; two annotation files may list the same picture.
    """
    return tuple(sorted(_files(one) & _files(other)))


def _files(source: SceneSource, indices: Sequence[int] | None = None) -> set[Path]:
    """Return the files of a source's pictures, or of those at some places in it."""
    indices = range(len(source)) if indices is None else indices
    if isinstance(source, SubsetScenes):
        return _files(source.source, [source.indices[index] for index in indices])
    if isinstance(source, MappedScenes | PastedScenes):
        return _files(source.source, indices)
    if isinstance(source, MosaicScenes):
        return _files(source.source)
    if isinstance(source, MixedScenes):
        return set().union(*map(_files, source.sources))
    return {source.file(index) for index in indices} if isinstance(source, CocoScenes) else set()


def split_source(
    source: SceneSource, fractions: Sequence[float], *, seed: int
) -> tuple[SubsetScenes, ...]:
    """Cut a source into disjoint random parts; a pure function of its length and the seed.

    Split pictures before composing scenes of them: two mosaics share pictures, two pictures do
    not. Within a part the scenes keep the source's order, and for a picture that turns out damaged
    the part's next one stands in.

    Args:
        source: what to cut.
        fractions: of each part, each above 0, together at most 1; what is left over is not used.
        seed: of the permutation the parts are cut from.

    Returns:
        One source a fraction, of that share of the scenes to within one.

    Raises:
        UsageError: impossible fractions.
        DataError: the source is too small to give each part a scene.
    """
    parts = cut(len(source), fractions)
    if any(start == end for start, end in parts):
        raise DataError(
            f"{len(source)} scenes are too few for parts of {', '.join(map(str, fractions))}"
        )
    order = np.random.default_rng(seed).permutation(len(source))
    return tuple(SubsetScenes(source, np.sort(order[start:end]).tolist()) for start, end in parts)
