"""Frames of a video file or a camera, and a video of frames."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import cv2
import numpy as np

from ofa_pose.errors import DataError, OfaPoseError
from ofa_pose.files import atomic_path, is_encodable

_LOG = logging.getLogger(__name__)
_USUAL_FPS = 30.0
_FASTEST_FPS = 1000.0
_SURELY_SHORT = 0.95  # of the frames that a file announces, which is often a guess


class Capture(Protocol):
    """What `cv2.VideoCapture` offers, as far as it is used."""

    def isOpened(self) -> bool: ...  # noqa: N802, D102

    def read(self) -> tuple[bool, Any]: ...  # noqa: D102

    def get(self, propId: int, /) -> float: ...  # noqa: N803, D102

    def release(self) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        number: from 0.
        time_s: seconds since the first frame.
        image: (H, W, 3) uint8 RGB.
    """

    number: int
    time_s: float
    image: np.ndarray


class WriteFrame(Protocol):
    """Writes one frame, (H, W, 3) uint8 RGB, at a time in seconds or after the one before."""

    def __call__(self, image: np.ndarray, time_s: float | None = None) -> None: ...  # noqa: D102


class Film:
    """The frames of a video file, or of a camera as they come; a context that releases it.

    Args:
        source: a video's path, or a camera's number.
        open_capture: opens it; `cv2.VideoCapture` by default.
        clock: seconds, for a camera's frames.

    Attributes:
        fps: frames a second as the source states them, 30 where it does not.
        total: how many frames a file announces, None for a camera or where it does not say.

    Raises:
        DataError: there is no such camera, the file is no video, or its path is not UTF-8.
    """

    def __init__(
        self,
        source: Path | int,
        *,
        open_capture: Callable[[str | int], Capture] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.source = source
        self._clock = clock
        if isinstance(source, Path) and not source.is_file():
            raise DataError(f"{source}: there is no such file")
        _check_name(source)
        with _quiet():
            self._capture = (open_capture or cv2.VideoCapture)(
                source if isinstance(source, int) else _for_ffmpeg(source)
            )
            opened = self._capture.isOpened()
        if not opened:
            raise DataError(
                f"{source}: is not a video that OpenCV can read"
                if isinstance(source, Path)
                else f"camera {source} cannot be opened; is it there, and is nobody else using it?"
            )
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps <= _FASTEST_FPS else _USUAL_FPS
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        known = isinstance(source, Path) and math.isfinite(count) and count >= 1
        self.total = int(count) if known else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file or the camera; more than once does no harm."""
        self._capture.release()

    @property
    def is_live(self) -> bool:
        """Whether this is a camera."""
        return isinstance(self.source, int)

    def frames(self, most: int | None = None) -> Iterator[Frame]:
        """Yield the frames, at most so many, and release the source; can be done once.

        Raises:
            DataError: not one frame can be read.
        """
        number, started = 0, None
        try:
            while most is None or number < most:
                with _quiet():
                    done, image = self._capture.read()
                if not done or image is None:
                    break
                started = self._clock() if started is None else started
                passed = self._clock() - started if self.is_live else number / self.fps
                yield Frame(number, passed, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
                number += 1
            else:
                return
        finally:
            self.close()
        if not number:
            raise DataError(f"{self._name()}: not one frame can be read")
        if self.is_live:
            _LOG.warning("%s gives no more frames after %d", self._name(), number)
        elif self.total and number < _SURELY_SHORT * self.total:
            _LOG.warning(
                "%s: ends after %d of %d frames: it is damaged", self.source, number, self.total
            )

    def _name(self) -> str:
        return f"camera {self.source}" if self.is_live else str(self.source)


@contextlib.contextmanager
def film_writer(path: Path, *, fps: float) -> Iterator[WriteFrame]:
    """Yield what writes a frame, (H, W, 3) uint8 RGB, to an MP4; whole or not there in the end.

    The first frame decides the size; others are resized to it. A frame that comes with its time
    is shown at that time, the one before it until then; without, frames follow one another.

    Raises:
        OfaPoseError: the video cannot be written, or its path is not UTF-8.
    """
    _check_name(path)
    with atomic_path(path) as temporary:
        writer: cv2.VideoWriter | None = None
        size = (0, 0)
        last: np.ndarray | None = None
        count = 0

        def write(image: np.ndarray, time_s: float | None = None) -> None:
            nonlocal writer, size, last, count
            if writer is None:
                # Most players want even sides.
                height, width = (max(2, side - side % 2) for side in image.shape[:2])
                size = width, height
                writer = _open_writer(temporary, path, fps=fps, size=size)
            frame = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
            frame = frame if frame.shape[1::-1] == size else cv2.resize(frame, size)
            while last is not None and time_s is not None and count < round(time_s * fps):
                writer.write(last)
                count += 1
            writer.write(frame)
            last, count = frame, count + 1

        try:
            yield write
        finally:
            if writer is not None:
                writer.release()
        if writer is not None and _frames_in(temporary) != count:
            raise OfaPoseError(
                f"cannot write {path}: not all of its {count} frames are in it; is the disk full?"
            )


def _for_ffmpeg(path: Path) -> str:
    """Return an absolute path: of `12:30.mp4` FFmpeg takes what is before `:` for a protocol."""
    return str(path.absolute())


def _check_name(source: Path | int) -> None:
    """Refuse a path that OpenCV, which knows UTF-8 alone, cannot be given."""
    if not is_encodable(str(source)):
        raise DataError(f"{source}: the path is not UTF-8, which OpenCV needs; rename it")


def _frames_in(video: Path) -> int | None:
    """Return how many frames a video holds by its own account; OpenCV tells of no failed write."""
    try:
        with Film(video) as film:
            return film.total
    except DataError:
        return None


def _open_writer(
    temporary: Path, path: Path, *, fps: float, size: tuple[int, int]
) -> cv2.VideoWriter:
    with _quiet():
        code = cv2.VideoWriter.fourcc(*"mp4v")
        writer = cv2.VideoWriter(_for_ffmpeg(temporary), code, fps, size)
    if not writer.isOpened():
        raise OfaPoseError(
            f"cannot write {path}: OpenCV has no encoder for {size[0]}x{size[1]} at {fps:g} "
            "frames a second"
        )
    return writer


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep OpenCV and FFmpeg from writing to standard error about what is told as an error."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read once, at FFmpeg's first use
    before = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)
