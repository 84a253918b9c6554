"""Reading one picture from a file, whatever its kind, and noticing that the file is damaged."""

from __future__ import annotations

import errno
import functools
import io
import logging
import stat
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from ofa_pose.data.geometry import BORDER_RGB
from ofa_pose.errors import DataError

_TAIL_BYTES = 4096
_JPEG_START, _JPEG_END, _JPEG_SCAN = b"\xff\xd8", b"\xff\xd9", 0xDA
# Kinds that begin with a mark of their own, so that no other file passes for one. JPEG is MPO too.
_KINDS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "JPEG2000", "AVIF", "PPM")
_DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF's orientation to what turns the stored pixels upright; 1 and unknown ones turn nothing."""

_OF_THE_MACHINE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Errors of opening a file that say nothing about it: no more files, no more memory."""

# Without a handler Python would print Pillow's own remarks on damaged files.
logging.getLogger("PIL").addHandler(logging.NullHandler())


class UnreadableImageError(Exception):
    """A picture cannot be used; the message says why, without the path."""


class PictureSizeError(UnreadableImageError):
    """A whole picture is of another size than the annotations say."""


def quick_check(path: Path) -> str | None:
    """Return why a file cannot be a whole picture, or None; reads its two ends, decodes nothing.

    A JPEG must hold its end-of-image marker near its end: inside the compressed data that pair of
    bytes cannot occur.

    Raises:
        FileNotFoundError: there is no such file.
    """
    try:
        with _open(path) as stream:
            return _fault(stream)
    except UnreadableImageError as error:
        return str(error)


def read_image(
    path: Path, size: tuple[int, int] | None = None, *, upright: bool = False
) -> np.ndarray:
    """Read a picture as (H, W, 3) uint8 RGB; of an animated one, the first frame.

    Grey becomes three equal channels, 16 bits the upper eight, CMYK the RGB it prints as, and
    what is transparent the grey that lies beside a picture on a network's input.

    Args:
        path: JPEG, PNG, GIF, WebP, BMP, TIFF, JPEG 2000, AVIF or PNM; the name does not matter.
        size: the height and width the annotations state, if they do. Annotation tools of COCO's
            kind ignore a file's EXIF rotation, so the stored pixels are taken as they are, unless
            only the rotated picture has this size.
        upright: turn the picture as its EXIF says, as every viewer shows it.

    Raises:
        UnreadableImageError: the file is absent, damaged or of another kind, or its pixels, of 32
            bits or with a sign, are of no known range.
        DataError: the machine cannot open files now.
        PictureSizeError: it is not of `size`, stored or turned.
    """
    try:
        with _open(path) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata; what matters is an error
            reason = _fault(stream)
            if reason:
                raise UnreadableImageError(reason)
            image, turn = _decode(stream, size, upright=upright)
    except (OSError, ValueError) as error:  # ValueError: the name cannot be one of a file
        raise UnreadableImageError(getattr(error, "strerror", None) or str(error)) from error
    stored = image.size[::-1]
    if turn is not None:
        image = image.transpose(turn)
    if size is not None and image.size[::-1] != size:
        raise PictureSizeError(
            f"the picture is {stored[1]}x{stored[0]}, the annotations say {size[1]}x{size[0]}"
        )
    return np.array(image)


def is_turned(path: Path) -> bool:
    """Whether a picture's EXIF asks for a turn, without which viewers do not show it.

    Raises:
        UnreadableImageError: the file is no picture that can be read.
    """
    try:
        with _open(path) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(stream, formats=_kinds()) as image:
                return _turn(image) is not None
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableImageError(str(error)) from error


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


@functools.cache
def _kinds() -> tuple[str, ...]:
    """Return the kinds that this build of Pillow decodes."""
    Image.init()
    return tuple(kind for kind in _KINDS if kind in Image.OPEN)


def _open(path: Path) -> BinaryIO:
    """Open a file; a folder is refused, and a pipe, which would be waited for.

    Raises:
        DataError: the machine cannot open any file now, so that this one is not damaged.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise UnreadableImageError("is not a file")
    try:
        return path.open("rb")
    except OSError as error:
        if error.errno in _OF_THE_MACHINE:
            raise DataError(f"cannot open {path}: {error.strerror}") from error
        raise


def _fault(stream: BinaryIO) -> str | None:
    """Return why the two ends of a file show that it is no whole picture, or None; rewinds it."""
    stream.seek(max(0, stream.seek(0, io.SEEK_END) - _TAIL_BYTES))
    tail = stream.read()
    stream.seek(0)
    head = stream.read(2)
    if not head:
        return "the file is empty"
    if head == _JPEG_START and _JPEG_END not in tail:
        stream.seek(0)
        if not _ends_earlier(stream.read()):
            return "the JPEG is truncated"
    stream.seek(0)
    return None


def _decode(
    stream: BinaryIO, size: tuple[int, int] | None, *, upright: bool
) -> tuple[Image.Image, Image.Transpose | None]:
    """Return a picture in mode RGB as it is stored, and what must turn it, if anything must.

    Raises:
        UnreadableImageError: it cannot be decoded to its end.
    """
    try:
        with Image.open(stream, formats=_kinds()) as image:
            image.load()
            turns = upright or size not in (None, image.size[::-1])
            return _rgb(image), _turn(image) if turns else None
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImageError("is not a picture of a kind that can be read") from error
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(f"has too many pixels ({error})") from error
    except Exception as error:  # noqa: BLE001 - damaged bytes meet whatever check comes first
        raise UnreadableImageError(f"cannot be decoded ({error})") from error


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Return what turns a picture upright; None where its EXIF does not say so, or is damaged."""
    try:
        return _UPRIGHT.get(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - damaged bytes meet whatever check comes first
        return None


def _rgb(image: Image.Image) -> Image.Image:
    """Return a decoded picture in mode RGB."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode == "I" and image.format == "TIFF":
        raise UnreadableImageError("has pixels of 32 bits or with a sign, whose range is not known")
    if image.mode == "F":
        raise UnreadableImageError("has floating-point pixels, whose range is not known")
    if image.mode in _DEEP:
        levels = np.asarray(image) >> 8
        return Image.fromarray(levels.astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    behind = Image.new("RGB", image.size, BORDER_RGB)
    behind.paste(rgba, mask=rgba.getchannel("A"))
    return behind
