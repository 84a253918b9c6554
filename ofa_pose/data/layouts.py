"""Finds annotations and pictures in the folder layouts that datasets come in."""

from __future__ import annotations

from pathlib import Path

from ofa_pose.data.coco import CocoScenes
from ofa_pose.errors import DataError, UsageError, listing
from ofa_pose.skeleton import Skeleton

# Where a split's annotations and pictures lie below a dataset's folder; the first that exists wins.
_ANNOTATIONS = (
    "annotations/{split}.json",
    "annotations/person_keypoints_{split}2017.json",
    "annotations/person_keypoints_{split}.json",
    "json/crowdpose_{split}.json",
    "annotations/crowdpose_{split}.json",
    "annotations/image_info_{split}2017.json",
)
_TOLD = 6  # splits that a message names
_BEGINNING_BYTES = 4096
_BEFORE_JSON = b"\xef\xbb\xbf\xff\xfe" + b" \t\r\n"
_IMAGES = ("images/{split}2017", "{split}2017", "images/{split}", "images", "{split}")


def open_scenes(
    folder: str | Path | None = None,
    *,
    split: str = "val",
    annotations: str | Path | None = None,
    images: str | Path | None = None,
    skeleton: str | Skeleton,
    only_people: bool = False,
    unlabelled: bool = False,
) -> CocoScenes:
    """Open a dataset from its folder, or from an annotation file and a folder of pictures.

    Args:
        folder: a dataset's folder in one of the known layouts: `annotations/SPLIT.json` with
            `images/`; COCO's `annotations/person_keypoints_SPLIT2017.json`, or of test images
            `image_info_SPLIT2017.json`, with `SPLIT2017/` or `images/SPLIT2017/`; CrowdPose's
            `json/crowdpose_SPLIT.json` with `images/`. A JSON file is taken as `annotations`.
        split: `train`, `val`, `trainval`, `test` or whatever the files are called.
        annotations: a COCO-keypoint JSON; overrides what the folder holds.
        images: the pictures' folder; overrides what the folder holds.
        skeleton: name, path or Skeleton.
        only_people: as in `CocoScenes`.
        unlabelled: as in `CocoScenes`.

    Raises:
        DataError: nothing was found; the message names every path tried.
        UsageError: neither a folder nor an annotation file was given.
    """
    annotations, images = find_set(folder, split=split, annotations=annotations, images=images)
    return CocoScenes(
        annotations,
        images,
        skeleton=skeleton,
        only_people=only_people,
        unlabelled=unlabelled,
    )


def find_set(
    folder: str | Path | None = None,
    *,
    split: str = "val",
    annotations: str | Path | None = None,
    images: str | Path | None = None,
) -> tuple[Path, Path]:
    """Return a data set's annotation file and its folder of pictures; as `open_scenes`.

    Raises:
        DataError: nothing was found; the message names every path tried.
        UsageError: neither a folder nor an annotation file was given.
    """
    annotations = find_annotations(folder, split=split, annotations=annotations)
    if images is None:
        given = None if folder is None or Path(folder).is_file() else Path(folder)
        root = given or dataset_of(annotations)
        images = _find("images", root, _IMAGES, split, named=_split_of(annotations))
    if not Path(images).is_dir():
        raise DataError(f"there is no folder of images {images}")
    return annotations, Path(images)


def find_annotations(
    folder: str | Path | None = None,
    *,
    split: str = "val",
    annotations: str | Path | None = None,
) -> Path:
    """Return a data set's annotation file; as `open_scenes`.

    Raises:
        DataError: nothing was found; the message names the splits that are there, or every path
            tried; or what was given is a file of something else.
        UsageError: neither a folder nor an annotation file was given, or two such files.
    """
    if annotations is not None:
        if folder is not None and Path(folder).is_file():
            raise UsageError(f"{folder} and {annotations} are two annotation files; give one")
        return _require_json(Path(annotations))
    if folder is None:
        raise UsageError("a dataset's folder or an annotation JSON is needed")
    if Path(folder).is_file():
        return _require_json(Path(folder))
    return _find("annotations", Path(folder), _ANNOTATIONS, split)


def splits_of(folder: str | Path) -> list[str]:
    """Return the splits whose annotations a dataset's folder holds, by name."""
    return sorted({_split_of(file) for file in _annotations_in(Path(folder))})


def _annotations_in(folder: Path) -> list[Path]:
    places = dict.fromkeys(Path(layout).parent for layout in _ANNOTATIONS)
    return sorted(file for place in places for file in (folder / place).glob("*.json"))


def has_split(folder: str | Path, split: str) -> bool:
    """Whether a dataset's folder holds annotations of a split, by the layouts of `open_scenes`."""
    return any((Path(folder) / layout.format(split=split)).is_file() for layout in _ANNOTATIONS)


def depends_on_split(
    folder: str | Path | None,
    *,
    split: str,
    annotations: str | Path | None = None,
    images: str | Path | None = None,
) -> bool:
    """Whether `split` has a part in what `find_set` finds, or says what is so.

    An annotation file is of a split of its own; another can only lead to its pictures.

    Raises:
        UsageError: as `find_annotations`.
    """
    if annotations is None and not (folder is not None and Path(folder).is_file()):
        return True
    own = _split_of(find_annotations(folder, annotations=annotations))
    if split == own:
        return True
    try:
        found = find_set(folder, split=own, annotations=annotations, images=images)
    except DataError:
        return True
    return found != find_set(folder, split=split, annotations=annotations, images=images)


def _require_json(path: Path) -> Path:
    """Return the path; refuse a file that cannot be JSON, such as a picture, by its beginning."""
    try:
        with path.open("rb") as stream:
            beginning = stream.read(_BEGINNING_BYTES)
    except OSError:  # told by what reads it whole
        return path
    # Byte order marks and what UTF-16 puts between letters are passed over.
    if not beginning.replace(b"\0", b"").lstrip(_BEFORE_JSON).startswith((b"{", b"[")):
        raise DataError(f"{path} is no annotation file (JSON), nor a data set's folder")
    return path


def dataset_of(annotations: Path) -> Path:
    """Return the dataset's folder of an annotation file that lies in one, else its own folder."""
    parent = annotations.resolve().parent
    return parent.parent if parent.name in ("annotations", "json") else parent


def _split_of(annotations: Path) -> str:
    """Return the split that an annotation file is of, by its name."""
    for layout in map(Path, _ANNOTATIONS[1:]):
        before, after = layout.name.split("{split}")
        if annotations.name.startswith(before) and annotations.name.endswith(after):
            return annotations.name.removeprefix(before).removesuffix(after)
    return annotations.stem


def _find(
    what: str,
    folder: Path | None,
    layouts: tuple[str, ...],
    split: str,
    *,
    named: str | None = None,
) -> Path:
    """Return the first path of the layouts that exists; of each, the split `named` goes first."""
    if folder is None or not folder.is_dir():
        raise DataError(f"there is no dataset folder {folder}")
    splits = dict.fromkeys([named or split, split])
    tried = [folder / layout.format(split=each) for layout in layouts for each in splits]
    tried = list(dict.fromkeys(tried))
    for path in tried:
        if path.is_file() if what == "annotations" else path.is_dir():
            return path
    there = splits_of(folder) if what == "annotations" else []
    if there:
        raise DataError(
            f"no {what} of split {split!r} in {folder}; there {'is' if len(there) == 1 else 'are'} "
            f"{listing(there, _TOLD)}: a file can be given, such as {_annotations_in(folder)[0]}"
        )
    raise DataError(
        f"no {what} of split {split!r} in {folder}; tried "
        f"{', '.join(str(path.relative_to(folder)) for path in tried)}"
    )
