"""Reading one picture from a file, and noticing that the file is damaged."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

_TAIL_BYTES = 4096
_JPEG_START, _JPEG_END, _JPEG_SCAN = b"\xff\xd8", b"\xff\xd9", 0xDA


class UnreadableImageError(Exception):
    """A picture cannot be used; the message says why, without the path."""


def quick_check(path: Path) -> str | None:
    """Return why a file cannot be a whole picture, or None; reads its two ends, decodes nothing.

    A JPEG must hold its end-of-image marker near its end: inside the compressed data that pair of
    bytes cannot occur, and decoders fill what a truncated file lacks without an error.

    Raises:
        FileNotFoundError: there is no such file.
    """
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - _TAIL_BYTES))
        tail = stream.read()
        stream.seek(0)
        head = stream.read(2)
    if size == 0:
        return "the file is empty"
    if head == _JPEG_START and _JPEG_END not in tail and not _ends_earlier(path.read_bytes()):
        return "the JPEG is truncated"
    return None


def read_image(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read a picture as (H, W, 3) uint8 RGB.

    Annotation tools of COCO's kind ignore a file's EXIF rotation, so the stored pixels are taken
    as they are, unless only the rotated picture has the size that the annotations state.

    Args:
        path: JPEG, PNG or whatever else OpenCV decodes.
        size: the height and width the annotations state, if they do.

    Raises:
        UnreadableImageError: the file is absent, damaged or of another size.
    """
    try:
        reason = quick_check(path)
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise UnreadableImageError(error.strerror or str(error)) from error
    if reason:
        raise UnreadableImageError(reason)
    image = _decode(content, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if size is not None and image.shape[:2] != size:
        stored = image.shape[:2]
        image = _decode(content, cv2.IMREAD_COLOR)
        if image.shape[:2] != size:
            raise UnreadableImageError(
                f"the picture is {stored[1]}x{stored[0]}, the annotations say {size[1]}x{size[0]}"
            )
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _ends_earlier(jpeg: bytes) -> bool:
    """Say whether a JPEG ends well before the file does, as those with a film appended do.

    Segments before the compressed data are stepped over: a preview in them has an end of its own.
    """
    place = 2
    while place + 4 <= len(jpeg) and jpeg[place] == 0xFF:
        marker, length = jpeg[place + 1], int.from_bytes(jpeg[place + 2 : place + 4], "big")
        place += 2 + length
        if marker == _JPEG_SCAN:
            return jpeg.find(_JPEG_END, place) >= 0
    return False


def _decode(content: np.ndarray, flags: int) -> np.ndarray:
    try:
        image = cv2.imdecode(content, flags)
    except cv2.error as error:
        raise UnreadableImageError(f"cannot be decoded ({error.err})") from error
    if image is None:
        raise UnreadableImageError("is not a picture that OpenCV can decode")
    return image
