"""Writes scenes to disk as a COCO-keypoint dataset."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO

import cv2

from ofa_pose.data.scene import SceneSource, ground_truth_of
from ofa_pose.errors import DataError, OfaPoseError, RunFolderError, UsageError
from ofa_pose.files import atomic_write
from ofa_pose.runs import lock_file

_JPEG_QUALITY = 95
_BEGUN = ".begun"  # among the pictures until all are there; locked by who writes them


def write_coco(
    source: SceneSource,
    folder: str | Path,
    *,
    split: str = "train",
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write `images/SPLIT/*.jpg` and then `annotations/SPLIT.json`, which `open_scenes` reads.

    Ignored regions become crowd annotations with exact masks. Image ids are the scenes' indices.

    Args:
        source: what to write.
        folder: made if absent.
        split: name of this part of the dataset.
        force: overwrite a split that exists.
        progress: called with scenes written and their number.

    Returns:
        The path of the annotation file.

    Raises:
        UsageError: the split's name is none.
        RunFolderError: the split or other pictures exist and `force` is not set; the pictures'
            folder is a link; or another process writes into it.
        OfaPoseError: the folder cannot be written.
    """
    if not re.fullmatch(r"\w[\w.-]*", split):
        raise UsageError(f"{split!r} is no name for a split; use letters, digits, '_', '-' and '.'")
    target = Path(folder) / "annotations" / f"{split}.json"
    if target.exists() and not force:
        raise RunFolderError(f"{target} exists; use --force to overwrite it")
    pictures = Path(folder) / "images" / split
    if pictures.is_symlink():
        raise RunFolderError(f"{pictures} is a link to pictures elsewhere; choose another folder")
    begun = pictures / _BEGUN
    if not force and not begun.exists() and pictures.is_dir() and any(pictures.iterdir()):
        raise RunFolderError(
            f"{pictures} holds pictures of something else; use --force to write over those of the "
            "same names, or choose another folder"
        )
    with _lock(begun):
        # An interruption must leave no annotations of other pictures than those that are there.
        target.unlink(missing_ok=True)
        images, annotations = [], []
        categories: list[dict] = []
        for index in range(len(source)):
            scene = source[index]
            part = ground_truth_of([scene], source.skeleton)
            name = f"{index:06d}.jpg"
            content = cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR)
            done, encoded = cv2.imencode(".jpg", content, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
            if not done:
                raise DataError(f"scene {index} cannot be written as a JPEG")
            atomic_write(pictures / name, encoded.tobytes())
            images.append({**part["images"][0], "id": index, "file_name": name})
            for annotation in part["annotations"]:
                annotations.append({**annotation, "id": len(annotations) + 1, "image_id": index})
            categories = part["categories"]
            if progress is not None:
                progress(index + 1, len(source))
        document = {"images": images, "annotations": annotations, "categories": categories}
        atomic_write(target, json.dumps(document))
    begun.unlink()
    return target


def _lock(begun: Path) -> IO[bytes]:
    """Mark a folder's pictures as not all there yet, and keep other processes out of it."""
    busy = f"another process is writing into {begun.parent}; wait for it or choose another folder"
    try:
        begun.parent.mkdir(parents=True, exist_ok=True)
        return lock_file(begun, busy)
    except OSError as error:
        raise OfaPoseError(f"cannot write {begun}: {error.strerror or error}") from error
