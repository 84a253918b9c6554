"""Looks a whole data set over: every fault is counted, and where it was found is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ofa_pose.data.annotations import (
    has_joints,
    is_thing,
    load_document,
    naming_categories,
    person_categories,
    stated_size,
    thing_ids,
)
from ofa_pose.data.faults import (
    FARTHEST_PX,
    Finding,
    id_faults,
    image_faults,
    is_id,
    number_list,
    order_faults,
    outside_faults,
    person_faults,
    person_notes,
)
from ofa_pose.data.images import (
    PictureSizeError,
    UnreadableImageError,
    is_turned,
    quick_check,
    read_image,
)
from ofa_pose.data.outlines import outline_mask, valid_mask
from ofa_pose.data.scene import Scene, joint_boxes
from ofa_pose.errors import SkeletonError, UsageError
from ofa_pose.skeleton import Skeleton, load_skeleton, plain_name, skeleton_names
from ofa_pose.skeleton.names import guess_flip

NAMED_BY_FILE = "named by the file"
"""Name of a skeleton that is made of an annotation file's own words."""
_UNUSABLE_OUTLINE = "outlines of ignored people that cannot be used; their box is ignored instead"
_ANY_SIGMA = 0.1
_STORED = "pictures are taken as stored, though viewers turn them (EXIF): do the joints fit?"
_ALIKE = 0.75  # share of the joints' names that tell a shipped skeleton; files differ in a few


@dataclass
class SetReport:
    """What a look at a data set found.

    Attributes:
        counts: how many pictures, people, … there are, by what they are.
        labelled: joint to the number of people it is labelled in.
        faults: kind to where it was found, each once.
        notes: likewise, of what is odd and does no harm.
    """

    counts: dict[str, int] = field(default_factory=dict)
    labelled: dict[str, int] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)

    @property
    def num_faults(self) -> int:
        """How many faults there are, of all kinds."""
        return sum(map(len, self.faults.values()))

    def add(self, *findings: Finding) -> None:
        """Add faults."""
        for kind, where in findings:
            self.faults.setdefault(kind, []).append(where)

    def note(self, *findings: Finding) -> None:
        """Add oddities."""
        for kind, where in findings:
            self.notes.setdefault(kind, []).append(where)


def recognise_skeleton(document: Mapping[str, Any]) -> Skeleton:
    """Return the shipped skeleton that an annotation file names the joints of, or one of its own.

    The categories called person say so, where there are any; else the first that names joints. A
    skeleton of the file's own is called `NAMED_BY_FILE`; it does for looking at a set, as its
    sigmas are made up.

    Raises:
        UsageError: the file names no joints, or one of them twice.
    """
    names: list[str] = []
    limbs: object = None
    for entry in naming_categories(document):
        if isinstance(entry.get("keypoints"), list):
            names = [str(name) for name in entry["keypoints"]]
            limbs = entry.get("skeleton")
            break
    for shipped in map(load_skeleton, skeleton_names()):
        alike = [
            plain_name(one) == plain_name(other)
            for one, other in zip(shipped.joints, names, strict=False)
        ]
        if len(names) == shipped.num_joints and sum(alike) >= _ALIKE * len(alike):
            return shipped
    if not names:
        raise UsageError(
            "which skeleton is this? its categories name no joints; give --skeleton NAME|FILE"
        )
    try:
        return Skeleton(
            name=NAMED_BY_FILE,
            joints=tuple(names),
            flip=guess_flip(names)[0],
            limbs=_limbs(limbs, joints=len(names)),
            sigmas=(_ANY_SIGMA,) * len(names),
            matching_order=tuple(range(len(names))),
        )
    except SkeletonError as error:
        raise UsageError(f"{error}; give --skeleton NAME|FILE") from error


def _limbs(listed: object, *, joints: int) -> tuple[tuple[int, int], ...]:
    """Return a category's `skeleton`, pairs of joints from 1; what is no pair is left out."""
    pairs = listed if isinstance(listed, list) else []
    return tuple(
        (pair[0] - 1, pair[1] - 1)
        for pair in pairs
        if isinstance(pair, list)
        and len(pair) == 2
        and all(type(joint) is int and 1 <= joint <= joints for joint in pair)
        and pair[0] != pair[1]
    )


class SetCheck:
    """One look at a data set.

    Args:
        annotations: COCO-keypoint JSON.
        images: folder of the pictures; None leaves them alone.
        skeleton: of the annotations; None: the one that the file names.
        decode: read whole pictures; else only the ends of their files.

    Raises:
        DataError: the JSON cannot be read at all.
        UsageError: the skeleton is not known.
    """

    def __init__(
        self,
        annotations: Path,
        images: Path | None,
        *,
        skeleton: Skeleton | None = None,
        decode: bool = True,
    ) -> None:
        self.images = images
        self.decode = decode
        document = load_document(annotations)
        self.skeleton = skeleton or recognise_skeleton(document)
        self.report = SetReport()
        self._naming = naming_categories(document)
        self._things = thing_ids(document)
        self._category_ids = [category.get("id") for category in person_categories(document)]
        self._entries: list[Any] = document["images"]
        self._annotations: list[Any] = document["annotations"]
        self._sound: dict[int, dict[str, Any]] = {}
        self._people: dict[int, list[dict[str, Any]]] = {}
        self._readable: list[int] = []

    def run(self, progress: Callable[[int, int], None] | None = None) -> SetReport:
        """Check everything and return the report.

        Args:
            progress: called with pictures looked at and their number.
        """
        self._check_entries()
        self._check_people()
        for done, image in enumerate(self._sound.values(), start=1):
            if self.images is None or self._check_picture(image, self.images):
                self._readable.append(image["id"])
            if progress is not None:
                progress(done, len(self._sound))
        self._count()
        return self.report

    def scenes(self, most: int) -> list[Scene]:
        """Return scenes for the eye, spread over the pictures with people that can be read."""
        if self.images is None:
            return []
        shown = [image for image in self._readable if self._people.get(image)]
        shown = [shown[i * len(shown) // most] for i in range(most)] if len(shown) > most else shown
        scenes = []
        for image in shown:
            try:
                record = self._sound[image]
                # As a training reads it: turned where only that has the stated size.
                picture = read_image(self.images / record["file_name"], stated_size(record))
            except UnreadableImageError:
                continue  # only its file's ends were looked at
            scenes.append(self._scene(image, picture))
        return scenes

    def _check_entries(self) -> None:
        if not self._entries:
            self.report.add(("no images are listed", "`images` is empty"))
        files: Counter[str] = Counter()
        with_index = 0
        for image in self._entries:
            findings = list(image_faults(image))
            self.report.add(*findings)
            if findings:
                continue
            name = f"image {image['id']} ({image['file_name']!a:.60})"
            if image["id"] in self._sound:
                self.report.add(("image ids used twice", name))
                continue
            files[image["file_name"]] += 1
            with_index += "crowdIndex" in image
            self._sound[image["id"]] = image
        for file, uses in files.items():
            if uses > 1:
                self.report.add(
                    ("pictures listed under several ids", f"{file!a:.60}: {uses} times")
                )
        if 0 < with_index < len(self._sound):
            few = f"{with_index} of {len(self._sound)}"
            self.report.note(("`crowdIndex` is not given for every image, so it is not used", few))

    def _check_people(self) -> None:
        for category in self._naming:
            self.report.add(*order_faults(category, self.skeleton))
        ids: set[int] = set()
        poses: dict[tuple[Any, ...], Any] = {}
        for annotation in self._annotations:
            if not isinstance(annotation, dict):
                self.report.add(
                    ("entries of `annotations` that are no objects", f"{annotation!a:.40}")
                )
                continue
            number: Any = annotation.get("id")
            image: Any = annotation.get("image_id")
            name = f"annotation {number!a:.30}"
            wrong = list(id_faults(number, name, what="annotation"))
            self.report.add(*wrong)
            if not wrong and number in ids:
                self.report.add(("annotation ids used twice", name))
            elif not wrong:
                ids.add(number)
            if self._is_left_out(annotation, name):
                continue
            if not is_id(image) or image not in self._sound:
                where = f"{name}: image {image!a:.30}"
                self.report.add(("annotations of images that are not listed", where))
                continue
            size = stated_size(self._sound[image])
            findings = list(person_faults(annotation, self.skeleton, size))
            self.report.add(*findings)
            self.report.note(*person_notes(annotation, self.skeleton))
            person = self._person(annotation)
            if person is None:
                continue
            if size is not None and not has_joints(person):
                self._check_outline(annotation, name, size)
            self._people.setdefault(image, []).append(person)
            pose = (image, *person["keypoints"])
            if has_joints(person) and pose in poses:
                self.report.add(("people annotated twice", f"{name} is {poses[pose]!a:.30}"))
            poses.setdefault(pose, number)

    def _check_outline(
        self, annotation: Mapping[str, Any], name: str, size: tuple[int, int]
    ) -> None:
        """Note an outline that should be masked out and cannot be."""
        segmentation = annotation.get("segmentation")
        if segmentation and outline_mask(segmentation, size) is None:
            self.report.note((_UNUSABLE_OUTLINE, name))

    def _is_left_out(self, annotation: Mapping[str, Any], name: str) -> bool:
        """Whether an annotation is of another category than person; one with joints is told."""
        category = annotation.get("category_id")
        ids = self._category_ids
        if is_thing(annotation, self._things):
            return True
        if not ids or "category_id" not in annotation or category in ids:
            return False
        where = f"{name}: {category!a:.30}"
        if not is_id(category):
            self.report.add(("values of `category_id` that are no whole numbers", where))
        elif annotation.get("keypoints"):
            self.report.note(("joints of other categories than person's are left out", where))
        return True

    def _person(self, annotation: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what of an annotation can be drawn and counted; None if its joints cannot."""
        given = annotation.get("keypoints") or [0] * (3 * self.skeleton.num_joints)
        points = number_list(given, 3 * self.skeleton.num_joints)
        if points is None or np.abs(points).max() > FARTHEST_PX:
            return None
        labelled = int((points[2::3] > 0).sum())
        box = number_list(annotation.get("bbox"), 4)
        return {
            "id": annotation.get("id"),
            "keypoints": points.tolist(),
            "num_keypoints": labelled,
            "iscrowd": int(annotation.get("iscrowd") == 1),
            "segmentation": annotation.get("segmentation"),
            "bbox": [0.0] * 4 if box is None or np.abs(box).max() > FARTHEST_PX else box.tolist(),
        }

    def _check_picture(self, image: Mapping[str, Any], folder: Path) -> bool:
        path = folder / image["file_name"]
        name = f"{image['file_name']!a:.60}"
        try:
            reason = quick_check(path)
        except OSError as error:
            self.report.add(("pictures that are not there", f"{name}: {error.strerror or error}"))
            return False
        size = stated_size(image)
        if reason is None and self.decode:
            try:
                # Sizes are compared here, so that they are told apart from damage.
                picture = read_image(path)
                if size is None:
                    self._check_joints(image["id"], picture.shape[:2])
                elif picture.shape[:2] != size:
                    read_image(path, size)  # turned as its EXIF says it may fit
                if size in (None, picture.shape[:2]) and is_turned(path):
                    self.report.note((_STORED, name))
            except PictureSizeError as error:
                self.report.add(("sizes that are not the picture's", f"{name}: {error}"))
                return False
            except UnreadableImageError as error:
                reason = str(error)
        if reason is not None:
            self.report.add(("pictures that are damaged", f"{name}: {reason}"))
        return reason is None

    def _check_joints(self, image: int, size: tuple[int, int]) -> None:
        """Compare people with the height and width that their picture turned out to have."""
        for person in self._people.get(image, ()):
            points = np.array(person["keypoints"]).reshape(-1, 3)
            self.report.add(*outside_faults(person["id"], points, self.skeleton, size))

    def _count(self) -> None:
        everyone = [person for people in self._people.values() for person in people]
        with_joints = [person for person in everyone if has_joints(person)]
        if not with_joints:
            self.report.add(("nobody has labelled joints", f"of {len(everyone)} annotated"))
        points = np.array([person["keypoints"] for person in with_joints], np.float64)
        points = points.reshape(-1, self.skeleton.num_joints, 3)
        joints = (points[:, :, 2] > 0).sum(axis=0).tolist()
        self.report.labelled.update(zip(self.skeleton.joints, joints, strict=True))
        self.report.counts.update(
            {
                "pictures": len(self._entries),
                "with people": sum(
                    any(map(has_joints, people)) for people in self._people.values()
                ),
                "annotations": len(self._annotations),
                "people with keypoints": len(with_joints),
                "people without keypoints": sum(
                    not person["iscrowd"] and not person["num_keypoints"] for person in everyone
                ),
                "crowds": sum(person["iscrowd"] for person in everyone),
                "labelled joints": int(sum(joints)),
            }
        )

    def _scene(self, image: int, picture: np.ndarray) -> Scene:
        people = [person["keypoints"] for person in self._people[image] if has_joints(person)]
        keypoints = np.array(people, np.float32).reshape(-1, self.skeleton.num_joints, 3)
        return Scene(
            image=picture,
            keypoints=keypoints,
            valid=valid_mask(self._people[image], picture.shape[:2]),
            image_id=image,
            boxes=joint_boxes(keypoints),
            areas=np.zeros(len(keypoints), np.float32),
        )


def first_of(found: Sequence[str], most: int) -> str:
    """Return the first few of what was found, in one line."""
    more = f"; and {len(found) - most} more" if len(found) > most else ""
    return "; ".join(found[:most]) + more
