"""What a user points at: a picture, a folder of pictures, a video, a camera."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ofa_pose.errors import DataError, UsageError

_PICTURES = (
    *(".jpg", ".jpeg", ".jpe", ".mpo", ".png", ".apng", ".gif", ".webp", ".bmp"),
    *(".tif", ".tiff", ".jp2", ".j2k", ".avif", ".pbm", ".pgm", ".ppm"),
)
_VIDEOS = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg"),
    *(".mts", ".m2ts", ".ts", ".wmv", ".flv", ".3gp", ".ogv"),
)


def film_source(name: str) -> Path | int | None:
    """Return a video's path or a camera's number; None where `name` is of pictures.

    A whole number is a camera, unless a file or a folder is called that.
    """
    path = Path(name)
    if name.isascii() and name.isdigit() and not _exists(path):
        if len(name) > 3:
            raise DataError(f"{name}: there is no such file, and cameras count from 0")
        return int(name)
    return path if path.suffix.lower() in _VIDEOS and not path.is_dir() else None


def find_pictures(names: Iterable[str | Path]) -> list[Path]:
    """Return pictures in the order given, those of a folder (and of folders in it) by name.

    A file that is named is taken whatever it is called; of a folder's files those with a
    picture's suffix are, hidden ones left out. None is opened.

    Raises:
        DataError: something does not exist, or a folder holds no picture.
        UsageError: a video is among them.
    """
    found: dict[Path, None] = {}
    for name in names:
        path = Path(name)
        if not _exists(path):
            raise DataError(f"{name}: there is no such file or folder")
        if not path.is_dir():
            if path.suffix.lower() in _VIDEOS:
                raise UsageError(f"{name} is a video; give a video or a camera alone")
            found[path] = None
            continue
        inside = [file for file in sorted(path.rglob("*")) if _is_picture(file, path)]
        if not inside:
            raise DataError(f"{path}: holds no picture (no file called {', '.join(_PICTURES)})")
        found |= dict.fromkeys(inside)
    return list(found)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _is_picture(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return file.suffix.lower() in _PICTURES and not hidden and not file.is_dir()
