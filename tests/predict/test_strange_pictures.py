"""Some 190 damaged or strange files: each is read right or named, and none brings the rest down."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ofa_pose.cli.main import run
from ofa_pose.data.geometry import BORDER_RGB
from ofa_pose.errors import DataError
from ofa_pose.predict import read_picture

SEED = 5
ROWS, COLUMNS = np.mgrid[:48, :64]
# A slope in each channel; red shades of multiples of 4, so that 16 bits and palettes are exact.
RGB = np.stack([COLUMNS * 4, ROWS * 5, np.full_like(ROWS, 120)], axis=2).astype(np.uint8)
GREY = np.repeat(RGB[..., :1], 3, axis=2)
BEHIND = np.array(BORDER_RGB, np.uint8)


@dataclass(frozen=True)
class Strange:
    """A file and what is to come of it.

    Attributes:
        name: of the file; a kind that its content need not be of.
        content: the bytes.
        pixels: (H, W, 3) what is to be read; None if it is to be refused, or may be.
        exact: how far the mean of the read pixels may be off.
        refused: whether reading it must fail; with neither, damage may or may not be noticed.
    """

    name: str
    content: bytes
    pixels: np.ndarray | None = None
    exact: float = 0.0
    refused: bool = False


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def by_opencv(suffix: str, image: np.ndarray) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def unusual() -> Iterator[Strange]:
    """Yield whole pictures that must be read right."""
    base = Image.fromarray(RGB)
    grey = Image.fromarray(RGB[..., 0])
    deep = RGB.astype(np.uint16) * 256 + 77
    alpha = np.where(COLUMNS < 32, 0, 255).astype(np.uint8)
    seen = np.where(alpha[..., None] > 0, RGB, BEHIND)
    yield Strange("plain.png", encoded(base, "PNG"), RGB)
    yield Strange("jpeg.jpg", encoded(base, "JPEG", quality=95), RGB, 2)
    yield Strange("progressive.jpg", encoded(base, "JPEG", quality=95, progressive=True), RGB, 2)
    yield Strange("cmyk.jpg", encoded(base.convert("CMYK"), "JPEG", quality=95), RGB, 2)
    yield Strange("cmyk.tif", encoded(base.convert("CMYK"), "TIFF"), RGB)
    yield Strange("grey.jpg", encoded(grey, "JPEG", quality=95), GREY, 2)
    yield Strange("grey.png", encoded(grey, "PNG"), GREY)
    yield Strange("16-bit.png", by_opencv(".png", deep[..., ::-1]), RGB)
    yield Strange("16-bit-grey.png", by_opencv(".png", deep[..., 0]), GREY)
    yield Strange("16-bit-grey.tif", by_opencv(".tif", deep[..., 0]), GREY)
    yield Strange("16-bit.pgm", by_opencv(".pgm", deep[..., 0]), GREY)
    yield Strange("rgba.png", encoded(Image.fromarray(np.dstack([RGB, alpha])), "PNG"), seen)
    pale = Image.fromarray(np.dstack([RGB[..., 0], alpha]))
    grey_seen = np.where(alpha[..., None] > 0, GREY, BEHIND)
    yield Strange("grey-alpha.png", encoded(pale, "PNG"), grey_seen)
    yield Strange("palette.png", encoded(grey.convert("P"), "PNG"), GREY)
    holes = np.where(RGB[..., :1] == 40, BEHIND, GREY)
    yield Strange("palette-hole.png", encoded(grey.convert("P"), "PNG", transparency=40), holes)
    ink = np.where(COLUMNS[..., None] < 32, 0, 255).astype(np.uint8).repeat(3, axis=2)
    yield Strange("1-bit.png", encoded(Image.fromarray(ink).convert("1"), "PNG"), ink)
    yield Strange("bitmap.bmp", encoded(base, "BMP"), RGB)
    yield Strange("lossless.webp", encoded(base, "WEBP", lossless=True), RGB)
    yield Strange("lossless.jp2", encoded(base, "JPEG2000"), RGB)
    others = [Image.fromarray(RGB[::-1].copy()), Image.fromarray(RGB[:, ::-1].copy())]
    film = {"save_all": True, "append_images": others}
    yield Strange("animated.png", encoded(base, "PNG", **film), RGB)
    yield Strange("animated.webp", encoded(base, "WEBP", lossless=True, **film), RGB)
    plain = [Image.new("RGB", (64, 48), colour) for colour in ("#206090", "#902060")]
    gif = encoded(plain[0], "GIF", save_all=True, append_images=plain[1:])
    yield Strange("animated.gif", gif, np.full_like(RGB, (0x20, 0x60, 0x90)))
    yield Strange("png-called.jpg", encoded(base, "PNG"), RGB)
    yield Strange("jpeg-called.png", encoded(base, "JPEG", quality=95), RGB, 2)
    yield Strange("umläut ☃.png", encoded(base, "PNG"), RGB)
    yield Strange("film-behind.jpg", encoded(base, "JPEG", quality=95) + b"film" * 3000, RGB, 2)
    # How the upright picture lies in the file, for the orientations 1 to 8 of the EXIF standard.
    lying = (
        *(RGB, RGB[:, ::-1], RGB[::-1, ::-1], RGB[::-1], RGB.swapaxes(0, 1), np.rot90(RGB)),
        *(RGB[::-1, ::-1].swapaxes(0, 1), np.rot90(RGB, -1)),
    )
    for orientation, stored in enumerate(lying, start=1):
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture = Image.fromarray(np.ascontiguousarray(stored))
        yield Strange(f"exif-{orientation}.png", encoded(picture, "PNG", exif=exif), RGB)
        jpeg = encoded(picture, "JPEG", quality=95, exif=exif)
        yield Strange(f"exif-{orientation}.jpg", jpeg, RGB, 2)
    broken = b"Exif\0\0" + b"II*\0\xff\xff\xff\xff" + b"\x12\x01" * 9
    yield Strange("broken-exif.jpg", encoded(base, "JPEG", quality=95, exif=broken), RGB, 2)
    for height, width in ((1, 1), (3, 20_000), (20_000, 3), (1, 700), (2, 2)):
        flat = np.full((height, width, 3), (10, 200, 30), np.uint8)
        png = encoded(Image.fromarray(flat), "PNG")
        yield Strange(f"{width}x{height}.png", png, flat)


def hopeless() -> Iterator[Strange]:
    """Yield what is no whole picture and must be refused."""
    rng = np.random.default_rng(SEED)
    png = encoded(Image.fromarray(RGB), "PNG")
    yield Strange("empty.jpg", b"", refused=True)
    yield Strange("zeros.jpg", bytes(5000), refused=True)
    yield Strange("zeros.png", bytes(1), refused=True)
    yield Strange("noise.jpg", rng.bytes(5000), refused=True)
    yield Strange("page.jpg", b"<!doctype html><title>404</title>", refused=True)
    yield Strange("drawing.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", refused=True)
    yield Strange("script.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", refused=True)
    yield Strange("a.jpg", b"\xff\xd8\xff\xd9", refused=True)
    yield Strange("header.png", png[:33], refused=True)
    yield Strange("array.jpg", np.zeros(9).tobytes() + b"\x93NUMPY", refused=True)
    huge = bytearray(encoded(Image.fromarray(RGB), "BMP"))
    huge[18:26] = (60_000).to_bytes(4, "little") * 2
    yield Strange("60000x60000.bmp", bytes(huge), refused=True)
    levels = Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8))
    yield Strange("floats.tif", encoded(levels, "TIFF"), refused=True)
    deep = Image.fromarray(np.full((8, 8), 2**20, np.int32))
    yield Strange("32-bit.tif", encoded(deep, "TIFF"), refused=True)


def truncated() -> Iterator[Strange]:
    rng = np.random.default_rng(SEED)
    base = Image.fromarray(rng.integers(0, 256, RGB.shape, np.uint8))
    for kind, suffix in (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("BMP", "bmp")):
        whole = encoded(base, kind)
        for number, end in enumerate(rng.integers(0, len(whole) - 20, 10)):
            yield Strange(f"cut-{number}.{suffix}", whole[:end], refused=True)


def flipped() -> Iterator[Strange]:
    rng = np.random.default_rng(SEED + 1)
    base = Image.fromarray(RGB)
    kinds = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "JPEG2000")
    for kind in kinds:
        whole = encoded(base, kind)
        for number in range(12):
            content = bytearray(whole)
            # Half of them are hit in the header.
            end = len(whole) if number % 2 else min(len(whole), 120)
            for place in rng.integers(0, end, rng.integers(1, 9)):
                content[place] = rng.integers(0, 256)
            yield Strange(f"flip-{number}-{kind.lower()}.{kind[:3].lower()}.png", bytes(content))


@pytest.fixture(scope="module")
def corpus() -> list[Strange]:
    return [*unusual(), *hopeless(), *truncated(), *flipped()]


def test_there_are_enough(corpus):
    assert len(corpus) >= 185
    assert len({strange.name for strange in corpus}) == len(corpus)


@pytest.fixture
def folder(tmp_path, corpus) -> Path:
    folder = tmp_path / "strange"
    folder.mkdir()
    for strange in corpus:
        (folder / strange.name).write_bytes(strange.content)
    return folder


@pytest.mark.usefixtures("within")
def test_each_is_read_right_or_refused_in_one_line(folder, corpus, capfd):
    for strange in corpus:
        path = folder / strange.name
        picture, refusal = read(path)
        if picture is None:
            assert strange.pixels is None, refusal
            assert refusal.startswith(f"{path}: ")
            assert len(refusal) > len(str(path)) + 6
            assert "\n" not in refusal
            continue
        assert not strange.refused, strange.name
        assert picture.dtype == np.uint8
        assert picture.flags.writeable
        if strange.pixels is not None:
            assert picture.shape == strange.pixels.shape, strange.name
            off = np.abs(picture.astype(int) - strange.pixels).mean()
            assert off <= strange.exact, strange.name
    assert capfd.readouterr().err == ""


def read(path: Path) -> tuple[np.ndarray | None, str]:
    """Return the picture, or None and why it is refused."""
    try:
        return read_picture(path), ""
    except DataError as error:
        return None, str(error)


@pytest.mark.usefixtures("within")
def test_a_folder_of_them_is_gone_through(folder, corpus, tiny_tier, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (folder / "a folder.jpg").mkdir()
    code = run(["predict", str(tiny_tier), "strange", "--out", "found", "--json"])
    printed = capfd.readouterr()
    assert code == 0, printed.err
    skipped = {Path(file).name for file in json.loads(printed.out)["skipped"]}
    people = json.loads((tmp_path / "found" / "people.json").read_text())
    read = {Path(entry["file"]).name for entry in people}
    assert read | skipped == {strange.name for strange in corpus}
    assert not read & skipped
    assert len(list((tmp_path / "found" / "overlays").iterdir())) == len(read)
    warned = [line for line in printed.err.splitlines() if ": warning: skipped " in line]
    assert len(warned) == len(skipped)
    assert all(line.startswith("ofa-pose: ") for line in printed.err.splitlines())
    assert "Traceback" not in printed.err


@pytest.mark.usefixtures("within")
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(DataError, match="is not a file"):
        read_picture(tmp_path / "pipe.jpg")
