"""Videos that OpenCV wrote, cameras that are none."""

import math
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ofa_pose.errors import DataError, OfaPoseError, UsageError
from ofa_pose.predict import Film, film, film_writer


class FakeCamera:
    """Gives so many frames of one colour, blue, green, red."""

    def __init__(self, frames, *, fps=25.0, opened=True):
        self.left, self.fps, self.opened, self.released = frames, fps, opened, False

    def isOpened(self):  # noqa: N802
        return self.opened

    def read(self):
        self.left -= 1
        return (
            (True, np.full((4, 6, 3), (200, 100, 0), np.uint8)) if self.left >= 0 else (False, None)
        )

    def get(self, propId, /):  # noqa: N803
        return self.fps if propId == cv2.CAP_PROP_FPS else -1.0

    def release(self):
        self.released = True


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "video.mp4"
    with film_writer(path, fps=12.5) as write:
        for level in range(0, 200, 20):
            write(np.full((64, 96, 3), (level, 30, 255 - level), np.uint8))
    return path


def test_what_is_written_is_read(video):
    found = Film(video)
    assert (found.fps, found.total, found.is_live) == (12.5, 10, False)
    frames = list(found.frames())
    assert [frame.number for frame in frames] == list(range(10))
    assert [frame.time_s for frame in frames] == pytest.approx([n / 12.5 for n in range(10)])
    for level, frame in zip(range(0, 200, 20), frames, strict=True):
        assert frame.image.shape == (64, 96, 3)
        assert frame.image.mean(axis=(0, 1)) == pytest.approx([level, 30, 255 - level], abs=8)


@pytest.mark.skipif(sys.platform == "win32", reason="no name has a colon there")
@pytest.mark.parametrize("name", ["12:30.mp4", "2024-05-01T12:30:00.mp4", "concat:x.mp4"])
def test_names_with_a_colon_are_no_protocols(tmp_path, video, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    video.rename(name)
    assert len(list(Film(Path(name)).frames())) == 10
    with film_writer(Path("a:b", name), fps=10) as write:
        for _ in range(3):
            write(np.zeros((48, 64, 3), np.uint8))
    assert Film(Path("a:b", name)).total == 3


def test_a_part_of_it(video):
    assert len(list(Film(video).frames(3))) == 3


def test_odd_sides_lose_a_pixel_and_other_sizes_fit_in(tmp_path):
    path = tmp_path / "a.mp4"
    with film_writer(path, fps=10) as write:
        write(np.zeros((33, 47, 3), np.uint8))
        write(np.zeros((100, 20, 3), np.uint8))
    assert [frame.image.shape for frame in Film(path).frames()] == [(32, 46, 3)] * 2


@pytest.mark.parametrize("fps", [119.513, 238.6543, 90.0066, 29.97002997, 0.5])
def test_a_film_has_the_rate_of_the_film_that_it_is_of(tmp_path, fps):
    """Slow motion of a phone has an average rate, of which MPEG-4 does not count thousandths."""
    with film_writer(tmp_path / "a.mp4", fps=fps) as write:
        for _ in range(3):
            write(np.zeros((32, 32, 3), np.uint8))
    film = Film(tmp_path / "a.mp4")
    assert film.fps == pytest.approx(fps, rel=1e-4)
    assert film.total == 3


def levels_of(path):
    return [int(frame.image.mean()) for frame in Film(path).frames()]


def test_a_camera_s_frames_are_shown_at_their_times(tmp_path):
    path = tmp_path / "a.mp4"
    with film_writer(path, fps=10, live=True) as write:
        for number in range(5):  # the first five come in tenths of a second, as the film's do then
            write(np.zeros((32, 32, 3), np.uint8), number / 10)
        for time_s, level in ((0.7, 100), (0.72, 150), (0.9, 250)):
            write(np.full((32, 32, 3), level, np.uint8), time_s)
    assert Film(path).fps == 10
    # Black until 0.7 s, then 100; 150 comes too soon after it, and is shown until 0.9 s.
    np.testing.assert_allclose(levels_of(path), [0] * 7 + [100, 150, 250], atol=4)


def test_a_pause_is_caught_up_with_a_few_frames_at_a_time(tmp_path):
    path = tmp_path / "a.mp4"
    with film_writer(path, fps=10, live=True) as write:
        for number in range(5):
            write(np.zeros((32, 32, 3), np.uint8), number / 10)
        for time_s, level in ((1.3, 100), (1.4, 150), (1.5, 200), (1.6, 250)):
            write(np.full((32, 32, 3), level, np.uint8), time_s)
    # At 1.3 s black is repeated three times, not eight; what is missing comes with the next frames.
    expected = [0] * 8 + [100] * 4 + [150] * 3 + [200, 250]
    np.testing.assert_allclose(levels_of(path), expected, atol=4)


@pytest.fixture
def slow_encoder(monkeypatch):
    """Let every frame that is encoded take 60 ms of a clock that can be set on."""
    now, encoded = [0.0], [0]

    class Slow:
        def __init__(self, *arguments):
            self._writer = real(*arguments)

        def __getattr__(self, name):
            return getattr(self._writer, name)

        def write(self, image):
            now[0] += 0.06
            encoded[0] += 1
            self._writer.write(image)

        fourcc = staticmethod(cv2.VideoWriter.fourcc)

    real = cv2.VideoWriter
    monkeypatch.setattr(cv2, "VideoWriter", Slow)
    return now, encoded


@pytest.mark.parametrize(
    ("find_s", "fps"),
    # 1 / (0.2 + 0.06), rounded down; a fast camera's film has ten frames a second; half a minute
    # for a frame; and twenty frames in which three times as many people are found as at first.
    [([0.2] * 60, 3.8), ([0.01] * 300, 10), ([30.0] * 7, 0.1), ([0.2] * 20 + [0.6] * 40, 3.8)],
)
def test_a_slow_encoder_does_not_slow_a_camera_down(tmp_path, slow_encoder, find_s, fps):
    now, encoded = slow_encoder
    path = tmp_path / "a.mp4"
    times, most = [], 0
    with film_writer(path, fps=30, live=True) as write:
        for seconds in find_s:
            times.append(now[0])
            now[0] += seconds
            before = encoded[0]
            write(np.zeros((32, 32, 3), np.uint8), times[-1])
            most = max(most, encoded[0] - before if len(times) != 5 else 0)  # the pace is chosen
    assert most <= 4
    film = Film(path)
    assert film.total is not None
    assert film.fps == pytest.approx(fps)
    assert film.total / film.fps == pytest.approx(times[-1] + 1 / film.fps, rel=0.05)


def test_a_camera_s_film_of_one_frame(tmp_path):
    with film_writer(tmp_path / "a.mp4", fps=30, live=True) as write:
        write(np.zeros((32, 32, 3), np.uint8), 0.0)
    assert Film(tmp_path / "a.mp4").total == 1


def test_a_writer_that_is_given_up_leaves_nothing(tmp_path):
    with pytest.raises(UsageError), film_writer(tmp_path / "a.mp4", fps=10) as write:
        write(np.zeros((8, 8, 9), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_what_no_encoder_takes(tmp_path, capfd):
    refused = pytest.raises(OfaPoseError, match="no encoder for 70000x2")
    with refused, film_writer(tmp_path / "a.mp4", fps=10) as write:
        write(np.zeros((2, 70000, 3), np.uint8))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("count", "height", "width"), [(20, 64, 96), (40, 240, 320)])
@pytest.mark.parametrize("live", [False, True])
def test_a_full_disk_is_noticed(tmp_path, full_disk, capfd, count, height, width, live):
    """Of small films only the end fails, of larger ones every frame, of which FFmpeg tells."""
    noise = np.random.default_rng(0).integers(0, 256, (4, height, width, 3), np.uint8)

    def film():
        with film_writer(tmp_path / "a.mp4", fps=10, live=live) as write:
            for number in range(count):
                write(noise[number % 4], number / 10)

    refused = pytest.raises(OfaPoseError, match=f"a.mp4: not all of its {count} frames")
    with full_disk(), refused:
        film()
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(sys.platform != "linux", reason="names are UTF-8 there")
def test_paths_that_are_not_utf_8(tmp_path, video):
    odd = tmp_path / os.fsdecode(b"\xff.mp4")
    video.rename(odd)
    with pytest.raises(DataError, match="the path is not UTF-8"):
        Film(odd)
    with pytest.raises(DataError, match="the path is not UTF-8"), film_writer(odd, fps=10):
        pass


def test_a_camera_counts_time_by_the_clock():
    camera, ticks = FakeCamera(5), iter([10.0, 10.0, 10.5, 11.25, 12.0, 13.0])
    film = Film(0, open_capture=lambda source: camera, clock=lambda: next(ticks))
    assert (film.total, film.is_live) == (None, True)
    frames = list(film.frames(3))
    assert [frame.time_s for frame in frames] == [0.0, 0.5, 1.25]
    assert frames[0].image[0, 0].tolist() == [0, 100, 200]  # RGB
    assert camera.released


def test_a_film_that_is_left_early_is_released():
    camera = FakeCamera(5)
    with Film(0, open_capture=lambda source: camera) as film:
        frames = film.frames()
        next(frames)
        assert not camera.released
    assert camera.released


def test_what_a_writer_reads_back_is_released(tmp_path, monkeypatch):
    camera = FakeCamera(0)
    monkeypatch.setattr(cv2, "VideoCapture", lambda source: camera)
    # The stand-in announces no frames, so that what was written seems not to be there.
    refused = pytest.raises(OfaPoseError, match="not all of its 1 frames")
    with refused, film_writer(tmp_path / "a.mp4", fps=10) as write:
        write(np.zeros((8, 8, 3), np.uint8))
    assert camera.released


def test_a_camera_that_stops_is_told(caplog):
    film = Film(2, open_capture=lambda source: FakeCamera(2))
    assert len(list(film.frames())) == 2
    assert "camera 2 gives no more frames after 2" in caplog.text


@pytest.mark.parametrize("fps", [0.0, -1.0, math.nan, math.inf, 1e9])
def test_a_speed_that_is_none(fps):
    assert Film(0, open_capture=lambda source: FakeCamera(1, fps=fps)).fps == 30.0


@pytest.mark.parametrize(("machine", "told"), [("aarch64", True), ("x86_64", False)])
def test_a_ribbon_camera_is_thought_of_on_boards(monkeypatch, machine, told):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(film.platform, "machine", lambda: machine)
    with pytest.raises(DataError, match="camera 7 cannot be opened") as caught:
        Film(7, open_capture=lambda source: FakeCamera(0, opened=False))
    assert ("A ribbon camera cannot" in str(caught.value)) == told


def test_a_camera_that_is_not_there():
    with pytest.raises(DataError, match="camera 7 cannot be opened"):
        Film(7, open_capture=lambda source: FakeCamera(0, opened=False))
    camera = FakeCamera(0)
    with pytest.raises(DataError, match="camera 0: not one frame"):
        next(Film(0, open_capture=lambda source: camera).frames())
    assert camera.released


def test_files_that_are_no_videos(tmp_path, capfd):
    with pytest.raises(DataError, match="there is no such file"):
        Film(tmp_path / "absent.mp4")
    for content in (b"", b"\0" * 5000, b"<html>404</html>" * 99):
        (tmp_path / "a.mp4").write_bytes(content)
        with pytest.raises(DataError, match="is not a video that OpenCV can read"):
            Film(tmp_path / "a.mp4")
    assert capfd.readouterr().err == ""


def test_paths_may_be_texts(tmp_path):
    path = str(tmp_path / "film.mp4")
    with film_writer(path, fps=10) as write:
        write(np.zeros((16, 16, 3), np.uint8))
    with Film(path) as film:
        assert (film.total, film.is_live) == (1, False)
    with pytest.raises(DataError, match="there is no such file"):
        Film(str(tmp_path / "other.mp4"))


@pytest.mark.parametrize(
    "frame", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((8, 8, 4), np.uint8)]
)
def test_what_is_no_frame(tmp_path, frame):
    with (
        pytest.raises(UsageError, match=r"a frame is \(H, W, 3\) uint8 RGB"),
        film_writer(tmp_path / "film.mp4", fps=10) as write,
    ):
        write(frame)
    assert not list(tmp_path.iterdir())
