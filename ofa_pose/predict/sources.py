"""What a user points at: a picture, a folder of pictures, a video, a camera."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path

from ofa_pose.errors import DataError, UsageError
from ofa_pose.runs import CONFIG, is_of_a_run

_LOG = logging.getLogger(__name__)
_PICTURES = (
    *(".jpg", ".jpeg", ".jpe", ".mpo", ".png", ".apng", ".gif", ".webp", ".bmp"),
    *(".tif", ".tiff", ".jp2", ".j2k", ".avif", ".pbm", ".pgm", ".ppm"),
)
_UNREAD = (".heic", ".heif")  # of phones; Pillow does not read them
_VIDEOS = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg"),
    *(".mts", ".m2ts", ".ts", ".wmv", ".flv", ".3gp", ".ogv"),
)


def film_source(name: str | Path) -> Path | int | None:
    """Return a video's path or a camera's number; None where `name` is of pictures.

    A whole number is a camera, unless a file or a folder is called that, and so is /dev/video0, as
    Linux calls it.
    """
    path, name = Path(name), str(name)
    if device := re.fullmatch(r"/dev/video(\d{1,3})", name, re.ASCII):
        return int(device[1])
    if name.isascii() and name.isdigit() and not _exists(path):
        if len(name) > 3:
            raise DataError(f"{name}: there is no such file, and cameras count from 0")
        return int(name)
    return path if path.suffix.lower() in _VIDEOS and not path.is_dir() else None


def find_pictures(names: Iterable[str | Path]) -> list[Path]:
    """Return pictures in the order given, those of a folder (and of folders in it) by name.

    A file that is named is taken whatever it is called; of a folder's files those with a
    picture's suffix are, hidden ones left out. None is opened. Videos and HEIC pictures in it, and
    folders that are links, hold a run of this package (such as the overlays of an earlier
    prediction) or cannot be read, are left out and told.

    Raises:
        DataError: something does not exist, or a folder holds no picture.
        UsageError: a video is among them, a name is empty, or one name is given without a list.
    """
    if isinstance(names, str | Path):  # a text is a list of letters, and / is the whole disk
        raise UsageError(f"pictures are named in a list, such as [{str(names)!r}]")
    found: dict[Path, None] = {}
    for name in names:
        if not str(name):
            raise UsageError("the name of a source is empty; the folder you are in is called .")
        path = Path(name)
        if not _exists(path):
            raise DataError(f"{name}: there is no such file or folder")
        if not path.is_dir():
            if path.suffix.lower() in _VIDEOS:
                raise UsageError(f"{name} is a video; give a video or a camera alone")
            found[path] = None
            continue
        inside = _pictures_in(path)
        if not inside:
            raise DataError(f"{path}: holds no picture (no file called {', '.join(_PICTURES)})")
        found |= dict.fromkeys(inside)
    return list(found)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _pictures_in(folder: Path) -> list[Path]:
    def tell(error: OSError) -> None:
        _LOG.warning("left out %s: %s", error.filename, error.strerror)

    found: list[Path] = []
    videos: list[Path] = []
    unread: list[Path] = []
    runs: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=tell):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = [name for name in folders if is_of_a_run(Path(place, name, CONFIG))]
        runs += [Path(place, name) for name in inside]
        folders[:] = [name for name in folders if name not in inside]
        for path in (Path(place, name) for name in folders):
            if path.is_symlink():
                _LOG.warning("left out %s: it is a link to a folder; give it by its name", path)
        shown = [Path(place, name) for name in files if not name.startswith(".")]
        found += [path for path in shown if path.suffix.lower() in _PICTURES]
        videos += [path for path in shown if path.suffix.lower() in _VIDEOS]
        unread += [path for path in shown if path.suffix.lower() in _UNREAD]
    for left_out, advice in (
        (videos, "give a video alone, by its name"),
        (unread, "HEIC is not read; save such pictures as JPEG"),
        (runs, "what a run has made is looked at where its folder is given by name"),
    ):
        if left_out:
            more = f" and {len(left_out) - 1} more" * (len(left_out) > 1)
            _LOG.warning("left out %s%s: %s", min(left_out), more, advice)
    return sorted(found)
