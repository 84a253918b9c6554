"""Frames of a video file or a camera, and a video of frames."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import cv2
import numpy as np

from ofa_pose.errors import DataError, OfaPoseError, UsageError
from ofa_pose.files import atomic_path, is_encodable

_LOG = logging.getLogger(__name__)
_USUAL_FPS = 30.0
_FASTEST_FPS = 1000.0
_LIVE_FPS = 10.0  # at most: every frame that is encoded holds up the next
_SLOWEST_FPS = 0.1
_PACED_BY = 5  # frames of a camera, whose pace is the film's
_MOST_REPEATS = 3  # of one frame
_RIBBON = " A ribbon camera cannot be opened by OpenCV; see docs/raspberry_pi.md"
_FASTEST_CLOCK = 65_535  # ticks a second, of MPEG-4
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
    """Writes one frame, (H, W, 3) uint8 RGB; of a live film with its time in seconds."""

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
        source: str | Path | int,
        *,
        open_capture: Callable[[str | int], Capture] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        source = Path(source) if isinstance(source, str) else source
        self.source: Path | int = source
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
                + _RIBBON * (sys.platform == "linux" and platform.machine() == "aarch64")
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
def film_writer(path: str | Path, *, fps: float, live: bool = False) -> Iterator[WriteFrame]:
    """Yield what writes a frame, (H, W, 3) uint8 RGB, to an MP4; whole or not there in the end.

    The first frame decides the size; others are resized to it.

    Args:
        path: of the MP4.
        fps: frames a second.
        live: the frames come with their times, as a camera's do, and are shown near them. The film
            has the rate that the first of them come at, ten frames a second and `fps` at most. A
            frame that comes too soon is left out, one that is late has the one before it repeated
            three times at most, as encoding holds up the next: what is missing comes after it.

    Raises:
        OfaPoseError: the video cannot be written, or its path is not UTF-8.
        UsageError: a frame is no picture.
    """
    path = Path(path)
    _check_name(path)
    with atomic_path(path) as temporary:
        reel = _Reel(temporary, path, fps=min(fps, _LIVE_FPS) if live else _countable(fps))
        pace = _Pace(reel)

        def write(image: np.ndarray, time_s: float | None = None) -> None:
            if live and time_s is not None:
                pace.show(image, time_s)
            else:
                reel.add(reel.fitted(image))

        try:
            yield write
            pace.settle()
        finally:
            reel.close()
        if reel.count and _frames_in(temporary) != reel.count:
            raise OfaPoseError(
                f"cannot write {path}: not all of its {reel.count} frames are in it; "
                "is the disk full?"
            )


class _Reel:
    """An MP4 that frames are added to.

    Attributes:
        fps: frames a second.
        count: of the frames that were added.
    """

    def __init__(self, temporary: Path, path: Path, *, fps: float) -> None:
        self.fps = fps
        self.count = 0
        self._temporary, self._path = temporary, path
        self._size = (0, 0)
        self._writer: cv2.VideoWriter | None = None

    def fitted(self, image: np.ndarray) -> np.ndarray:
        """Return an RGB picture as BGR in the film's size.

        Raises:
            UsageError: it is no picture.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise UsageError(f"a frame is (H, W, 3) uint8 RGB, not {image.shape} {image.dtype}")
        if self._size == (0, 0):
            # Most players want even sides.
            height, width = (max(2, side - side % 2) for side in image.shape[:2])
            self._size = width, height
        frame = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        return frame if frame.shape[1::-1] == self._size else cv2.resize(frame, self._size)

    def add(self, frame: np.ndarray) -> None:
        """Encode what `fitted` gave."""
        if self._writer is None:
            self._writer = _open_writer(self._temporary, self._path, fps=self.fps, size=self._size)
        with _quiet():
            self._writer.write(frame)
        self.count += 1

    def begin_again(self, fps: float) -> None:
        """Throw away what was added."""
        self.close()
        self.fps, self.count = fps, 0

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            with _quiet():
                self._writer.release()
        self._writer = None


class _Pace:
    """Shows a camera's frames at their times, at the rate that the first of them come at."""

    def __init__(self, reel: _Reel) -> None:
        self._reel = reel
        self._held: list[tuple[np.ndarray, float]] = []
        self._settled = False
        self._last: np.ndarray | None = None

    def show(self, image: np.ndarray, time_s: float) -> None:
        """Show a picture from a time on."""
        frame = self._reel.fitted(image)
        if self._settled:
            self._place(frame, time_s)
            return
        self._reel.add(frame)  # to be thrown away: how long it takes is a part of the pace
        self._held.append((frame, time_s))
        if len(self._held) == _PACED_BY:
            self.settle()

    def settle(self) -> None:
        """Choose the film's rate by the frames so far, and show them."""
        held, self._held, self._settled = self._held, [], True
        if held:
            self._reel.begin_again(_rate([time_s for _, time_s in held], most=self._reel.fps))
        for frame, time_s in held:
            self._place(frame, time_s)

    def _place(self, frame: np.ndarray, time_s: float) -> None:
        due = round(time_s * self._reel.fps)
        before = frame if self._last is None else self._last
        for _ in range(min(due - self._reel.count, _MOST_REPEATS)):
            self._reel.add(before)
        if due >= self._reel.count:
            self._reel.add(frame)
        self._last = frame


def _countable(fps: float) -> float:
    """Return a rate with as many decimals as MPEG-4's clock can tell."""
    return round(fps, math.floor(math.log10(_FASTEST_CLOCK / fps)))


def _rate(times_s: Sequence[float], *, most: float) -> float:
    """Return frames a second, in tenths; the median is not misled by a slow first frame."""
    if len(times_s) < 2:
        return most
    interval = max(float(np.median(np.diff(times_s))), 1 / most)
    return max(math.floor(10 / interval + 1e-6) / 10, _SLOWEST_FPS)


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
