"""Scenes from a COCO-keypoint JSON and a folder of pictures."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ofa_pose.data.annotations import has_joints, read_annotations, scored_area, stated_size
from ofa_pose.data.fingerprint import fingerprint_of
from ofa_pose.data.images import UnreadableImageError, quick_check, read_image
from ofa_pose.data.outlines import valid_mask
from ofa_pose.data.packed import PackedList
from ofa_pose.data.scene import Scene, category, ignored_area, next_readable
from ofa_pose.errors import DataError
from ofa_pose.memory import give_back_freed_memory
from ofa_pose.skeleton import Skeleton, load_skeleton

_LOG = logging.getLogger(__name__)
# Bad pictures that are tolerated whatever the size of the set: 1 % of a small set is less than one.
_ALWAYS_TOLERATED = 1
# What of an entry of the JSON decides a scene or how it is scored.
_OF_IMAGE = ("id", "file_name", "height", "width", "crowdIndex")
_OF_PERSON = ("keypoints", "bbox", "area", "iscrowd", "segmentation", "scored")


class CocoScenes:
    """The pictures of one annotation file; people without joints and crowds are masked out.

    Damaged pictures are skipped: those that a look at the file's ends betrays are left out from
    the start; one that turns out undecodable when it is read is replaced by the next readable
    picture of the set, in a part of the set by one of that part. Either way it is named in the log
    and stands in `bad`, once in each process that reads it: those that prepare batches find what
    cannot be decoded for themselves.

    Args:
        annotations: COCO-keypoint JSON.
        images: folder that the JSON's `file_name`s are relative to.
        skeleton: name, path or Skeleton of the joints the JSON annotates.
        max_bad: share of the pictures that may be damaged, which each process counts in its `bad`.
        only_people: leave out pictures on which the JSON lists nobody; who has no labelled joints,
            or is a crowd, counts. Source: HigherHRNet's code, which trains on these.
        unlabelled: take a set in which nobody has any, too, such as COCO's test images.

    Raises:
        DataError: the JSON or the pictures cannot be used; the message says why.
    """

    def __init__(
        self,
        annotations: str | Path,
        images: str | Path,
        *,
        skeleton: str | Skeleton,
        max_bad: float = 0.01,
        only_people: bool = False,
        unlabelled: bool = False,
    ) -> None:
        self.skeleton = load_skeleton(skeleton)
        self.path = Path(annotations)
        self.folder = Path(images)
        self._root = self.folder.resolve()
        self.max_bad = max_bad
        self.bad: dict[Path, str] = {}
        document = read_annotations(self.path, self.skeleton, unlabelled=unlabelled)
        records: list[dict[str, Any]] = document["images"]
        people: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in records}
        for annotation in document["annotations"]:
            people[annotation["image_id"]].append(annotation)
        total = len(records)
        if only_people:  # first: pictures of nobody need not even be there
            records = [image for image in records if people[image["id"]]]
        shown = len(records)
        nobody = DataError(f"{self.path}: nobody in its {total} images has labelled joints")
        if not (shown or unlabelled):
            raise nobody
        records = self._readable(records)
        if only_people:
            _LOG.info("%s: %d of %d pictures show people", self.path, shown, total)
        labelled = any(has_joints(one) for image in records for one in people[image["id"]])
        if not (labelled or unlabelled):
            raise nobody
        self._images = PackedList(records)
        self._people = PackedList(people[image["id"]] for image in records)
        self._fingerprint = ""
        del document, people, records
        give_back_freed_memory()  # of COCO's train set, a quarter of a gigabyte in each process

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Scene:
        """Read one scene; a picture that cannot be decoded gives the next readable one.

        Raises:
            DataError: more than `max_bad` of the pictures turned out damaged.
        """
        scene = next_readable(self, index)
        if scene is None:
            raise DataError(f"{self.folder}: no picture can be decoded")
        return scene

    def read_one(self, index: int) -> Scene | None:
        """Read this very scene; None where its picture cannot be decoded.

        Raises:
            DataError: more than `max_bad` of the pictures turned out damaged.
        """
        record, people = self._images[index], self._people[index]
        path = self.folder / record["file_name"]
        if path in self.bad:
            return None
        try:
            image = read_image(path, stated_size(record))
        except UnreadableImageError as error:
            self.bad[path] = str(error)
            self._refuse_too_many_bad()
            self._tell_skipped(path, str(error), len(self.bad))
            return None
        labelled = [annotation for annotation in people if has_joints(annotation)]
        keypoints = np.array([annotation["keypoints"] for annotation in labelled], np.float32)
        keypoints = keypoints.reshape(len(labelled), self.skeleton.num_joints, 3)
        boxes = np.array([annotation["bbox"] for annotation in labelled], np.float32)
        areas = [scored_area(annotation, self.skeleton) for annotation in labelled]
        return Scene(
            image=image,
            keypoints=keypoints,
            valid=valid_mask(people, image.shape[:2]),
            image_id=record["id"],
            boxes=boxes.reshape(len(labelled), 4),
            areas=np.array(areas, np.float32),
        )

    def image_id(self, index: int) -> int:
        """Return the id of a scene's own picture, which is not read."""
        return self._images[index]["id"]

    def file(self, index: int) -> Path:
        """Return the absolute path of a scene's picture."""
        return self._root / self._images[index]["file_name"]

    def ground_truth(self) -> dict[str, Any]:
        """Return the COCO JSON of the readable pictures, people without joints included.

        A person whose `num_keypoints` is 0 in the file, or who has no area where none is stated,
        is ignored by evaluators, though labelled.
        """
        images = [
            image for image in self._images if self.folder / image["file_name"] not in self.bad
        ]
        kept = {image["id"] for image in images}
        annotations = [
            self._truth(annotation)
            for people in self._people
            for annotation in people
            if annotation["image_id"] in kept
        ]
        return {
            "images": images,
            "annotations": annotations,
            "categories": [category(self.skeleton)],
        }

    def fingerprint(self) -> str:
        """Hash skeleton, file names and labels; where the folder lies does not count."""
        if not self._fingerprint:
            scenes = (
                [_pick(image, _OF_IMAGE), [_pick(person, _OF_PERSON) for person in people]]
                for image, people in zip(self._images, self._people, strict=True)
            )
            self._fingerprint = fingerprint_of("coco", (self.skeleton.to_dict(), *scenes))
        return self._fingerprint

    def _truth(self, annotation: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is scored: with an area; with no joint counted where nobody is to score."""
        truth = {**annotation, "area": scored_area(annotation, self.skeleton)}
        if not truth.pop("scored"):
            if has_joints(annotation) and truth["area"] == 0:
                truth["bbox"], truth["area"] = ignored_area(annotation["bbox"])
            truth["num_keypoints"] = 0
        return truth

    def _readable(self, images: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the images whose files can be read, as far as their heads tell."""
        absent: list[str] = []
        total = len(images)
        kept: list[dict[str, Any]] = []
        for record in images:
            path = self.folder / record["file_name"]
            try:
                reason = quick_check(path)
            except FileNotFoundError:
                absent.append(record["file_name"])
                continue
            except OSError as error:
                reason = error.strerror or str(error)
            if reason:
                self.bad[path] = reason
            else:
                kept.append(record)
        if absent:
            raise DataError(
                f"{self.path}: {len(absent)} of {total} images are not in {self.folder}: "
                f"{', '.join(absent[:3])}{', …' if len(absent) > 3 else ''}"
            )
        self._total = total
        self._refuse_too_many_bad()
        if not kept:
            raise DataError(f"{self.folder}: no image is readable: {self._bad_names()}")
        for number, (path, reason) in enumerate(self.bad.items(), start=1):
            self._tell_skipped(path, reason, number)
        return kept

    def _tell_skipped(self, path: Path, reason: str, number: int) -> None:
        _LOG.warning("skipped %s: %s (%d of %d damaged)", path, reason, number, self._total)

    def _refuse_too_many_bad(self) -> None:
        if len(self.bad) > max(_ALWAYS_TOLERATED, math.floor(self.max_bad * self._total)):
            raise DataError(
                f"{self.folder}: {len(self.bad)} of {self._total} images are damaged, more than "
                f"the {100 * self.max_bad:g} % that are tolerated: {self._bad_names()}"
            )

    def _bad_names(self) -> str:
        names = [f"{path.name} ({reason})" for path, reason in list(self.bad.items())[:3]]
        return ", ".join(names) + (", …" if len(self.bad) > 3 else "")


def _pick(entry: Mapping[str, Any], keys: Sequence[str]) -> list[Any]:
    return [entry.get(key) for key in keys]
