"""Damaged picture files, and whole ones that look unusual."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ofa_pose.data.images import (
    PictureSizeError,
    UnreadableImageError,
    is_turned,
    quick_check,
    read_image,
)
from ofa_pose.errors import DataError


@pytest.fixture
def jpeg(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (120, 120, 3), dtype=np.uint8)
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), noise)
    assert path.stat().st_size > 10_000
    return path


def test_a_whole_picture_passes(jpeg):
    assert quick_check(jpeg) is None
    assert read_image(jpeg).shape == (120, 120, 3)


def test_a_whole_picture_of_another_size_is_told_from_damage(jpeg):
    with pytest.raises(PictureSizeError, match="is 120x120, the annotations say 90x120"):
        read_image(jpeg, (120, 90))
    with pytest.raises(UnreadableImageError) as caught:
        read_image(jpeg.with_name("the picture is away.jpg"), (120, 90))
    assert not isinstance(caught.value, PictureSizeError)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_a_truncated_one_does_not(jpeg, share):
    content = jpeg.read_bytes()
    jpeg.write_bytes(content[: int(len(content) * share)])
    assert quick_check(jpeg) == "the JPEG is truncated"
    with pytest.raises(UnreadableImageError, match="truncated"):
        read_image(jpeg)


def test_the_end_of_a_preview_is_not_the_end_of_the_picture(jpeg):
    content = jpeg.read_bytes()
    preview = b"Exif\0\0" + b"\xff\xd8 small picture \xff\xd9"
    segment = b"\xff\xe1" + struct.pack(">H", len(preview) + 2) + preview
    jpeg.write_bytes((content[:2] + segment + content[2:])[: len(content) // 2])
    assert quick_check(jpeg) == "the JPEG is truncated"


def test_a_film_behind_the_picture_does_not_matter(jpeg):
    jpeg.write_bytes(jpeg.read_bytes() + b"film" * 5000)
    assert quick_check(jpeg) is None
    assert read_image(jpeg).shape == (120, 120, 3)


@pytest.mark.parametrize("look", [read_image, quick_check])
def test_a_machine_out_of_open_files_is_no_damaged_picture(jpeg, monkeypatch, look):
    """Else others would take the place of good pictures, and the run would go on."""

    def refuse(path, mode):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match="cannot open .*: Too many open files"):
        look(jpeg)


def test_not_a_picture(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"")
    assert quick_check(path) == "the file is empty"
    path.write_text("<html>404</html>")
    with pytest.raises(UnreadableImageError, match="is not a picture"):
        read_image(path)
    with pytest.raises(UnreadableImageError, match="No such file"):
        read_image(tmp_path / "b.jpg")


@pytest.mark.parametrize(
    ("pixel", "expected"), [(np.int32, "32 bits or with a sign"), (np.float32, "floating-point")]
)
def test_pixels_of_an_unknown_range_are_refused(tmp_path, pixel, expected):
    Image.fromarray(np.full((4, 5), 200, pixel)).save(tmp_path / "deep.tif")
    with pytest.raises(UnreadableImageError, match=f"{expected}.*whose range is not known"):
        read_image(tmp_path / "deep.tif")


@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize(("orientation", "turned"), [(None, False), (1, False), (3, True)])
def test_whether_viewers_turn_a_picture(tmp_path, kind, orientation, turned):
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    path = tmp_path / f"a.{kind}"
    Image.new("RGB", (6, 4)).save(path, exif=exif)
    assert is_turned(path) == turned


def test_whether_viewers_turn_what_is_no_picture(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    for name in ("a.jpg", "b.jpg"):
        with pytest.raises(UnreadableImageError):
            is_turned(tmp_path / name)


def test_grey_and_16_bit_pictures_become_rgb(tmp_path):
    grey = tmp_path / "grey.png"
    cv2.imwrite(str(grey), np.full((4, 5), 0x6400, np.uint16))
    image = read_image(grey)
    assert image.dtype == np.uint8
    assert image.shape == (4, 5, 3)
    assert (image == 0x64).all()
