"""`ofa-pose predict` as a user types it."""

import contextlib
import errno
import inspect
import io
import json
import os
import signal
import sys

import cv2
import numpy as np
import pytest

from ofa_pose.catalog import load_space
from ofa_pose.cli import predict as verb
from ofa_pose.cli.main import run
from ofa_pose.data import SyntheticScenes
from ofa_pose.errors import UsageError
from ofa_pose.export import export_onnx, load_tier, make_tier, save_tier
from ofa_pose.models import build
from ofa_pose.predict import Film, PosePredictor, film_writer, read_picture, write_picture


@pytest.fixture(scope="module")
def tier(tmp_path_factory):
    space = load_space("toy")
    made = make_tier("tiny", space, space.smallest)
    network = build(space, space.smallest, skeleton=made.skeleton, seed=0)
    return save_tier(tmp_path_factory.mktemp("tier"), made, network).path


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with three pictures, two of one name, a damaged one and a video."""
    monkeypatch.chdir(tmp_path)
    scenes = SyntheticScenes(0, 3, size=96, skeleton="crowdpose")
    write_picture("album/a.png", scenes[0].image)
    write_picture("album/b.jpg", scenes[1].image)
    write_picture("album/more/a.jpg", scenes[2].image)
    (tmp_path / "album" / "c.jpg").write_bytes(b"<html>404</html>")
    with film_writer(tmp_path / "clip.mp4", fps=10) as write:
        for _ in range(6):
            write(scenes[0].image)
    return tmp_path


def read_json(path):
    return json.loads(path.read_text())


def test_a_folder(command, tier, here):
    outcome = command("predict", tier, "album", "--min-score", 0)
    assert outcome.code == 0, outcome.err
    assert "3 pictures, 1 skipped" in outcome.out
    assert "pictures a second" in outcome.out
    assert "warning: skipped album/c.jpg: is not a picture" in outcome.err
    out = here / "runs" / "predict-tiny-album"
    assert sorted(file.name for file in (out / "overlays").iterdir()) == [
        *("a-2.jpg", "a.jpg", "b.jpg")
    ]
    assert read_picture(out / "overlays" / "a.jpg").shape == (96, 96, 3)
    people = read_json(out / "people.json")
    assert [entry["file"] for entry in people] == [
        *("album/a.png", "album/b.jpg", "album/more/a.jpg")
    ]
    assert [entry["overlay"] for entry in people] == [
        *("overlays/a.jpg", "overlays/b.jpg", "overlays/a-2.jpg")
    ]
    results = read_json(out / "results.json")
    assert len(results) == sum(len(entry["people"]) for entry in people)
    assert {result["image_id"] for result in results} <= {entry["image_id"] for entry in people}
    config = (out / "config.yaml").read_text()
    assert "verb: predict" in config


def test_one_picture_and_json(command, tier, here):
    line = ["predict", tier, "album/a.png", "--no-overlays", "--json", "--out", "found"]
    outcome = command(*line, "--scales", "0.5,1,2")
    assert outcome.code == 0, outcome.err
    summary = json.loads(outcome.out)
    assert (summary["pictures"], summary["skipped"], summary["tracked"]) == (1, {}, None)
    assert "scales:\n- 1.0\n- 0.5\n- 2.0\n" in (here / "found" / "config.yaml").read_text()
    assert set(summary["ms_each"]) == {"read", "find", "draw", "write"}
    assert sorted(file.name for file in (here / "found").glob("[a-z]*")) == [
        *("config.yaml", "log.txt", "people.json", "results.json")
    ]


def test_threads(command, tier, here, monkeypatch):
    given = []
    find = PosePredictor.__call__

    def noted(self, image):
        given.append(self.threads)
        return find(self, image)

    monkeypatch.setattr(PosePredictor, "__call__", noted)
    for number, options in enumerate(([], ["--threads", 1])):
        outcome = command("predict", tier, "album/a.png", "--out", number, *options)
        assert outcome.code == 0, outcome.err
    assert given == [None, 1]


def test_threads_of_an_onnx_file(command, tier, here):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    export_onnx(load_tier(tier), "mine.onnx")
    outcome = command("predict", "mine.onnx", "album/a.png", "--threads", 1)
    assert outcome.code == 0, outcome.err


def test_a_taken_folder_is_replaced_only_by_force(command, tier, here):
    line = ("predict", tier, "album/a.png", "--out", "found")
    assert command(*line).code == 0
    assert "--force" in command(*line).err
    (here / "found" / "mine.doc").write_text("kept")
    assert command("predict", tier, "album/b.jpg", "--out", "found", "--force").code == 0
    assert [file.name for file in (here / "found" / "overlays").iterdir()] == ["b.jpg"]
    assert (here / "found" / "mine.doc").exists()


def test_a_second_time_does_not_look_at_the_overlays_of_the_first(command, tier, here):
    for options in ([], ["--force"], ["--out", "again"]):
        outcome = command("predict", tier, ".", "--json", *options)
        assert outcome.code == 0, outcome.err
        assert json.loads(outcome.out)["pictures_in_all"] == 4
        assert ("left out runs/" in outcome.err) == bool(options)


def test_a_video(command, tier, here):
    outcome = command(
        "predict", tier, "clip.mp4", "--track", "--smooth", "--min-score", 0, "--json"
    )
    assert outcome.code == 0, outcome.err
    summary = json.loads(outcome.out)
    out = here / "runs" / "predict-tiny-clip"
    assert summary["frames"] == 6
    assert summary["frames_per_second"] > 0
    frames = read_json(out / "people.json")
    assert [frame["time_s"] for frame in frames] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    tracks = {person["track_id"] for frame in frames for person in frame["people"]}
    assert summary["tracked"] == len(tracks)
    # The same picture six times: whoever is found in it is found again.
    assert {result["track_id"] for result in read_json(out / "results.json")} == tracks
    film = Film(out / "overlay.mp4")
    assert (film.total, film.fps) == (6, 10)


def test_a_part_of_a_video_without_overlays(command, tier, here):
    outcome = command("predict", tier, "clip.mp4", "--frames", 2, "--no-overlays", "--out", "part")
    assert outcome.code == 0, outcome.err
    assert "2 frames" in outcome.out
    assert len(read_json(here / "part" / "people.json")) == 2
    assert not (here / "part" / "overlay.mp4").exists()


class Camera:
    """Gives frames without an end; the fourth comes with a signal if it is to be interrupted."""

    interrupted: signal.Signals | None = None
    opened = released = 0

    def __init__(self):
        Camera.opened += 1
        self.given = 0

    def isOpened(self):  # noqa: N802
        return True

    def read(self):
        self.given += 1
        if self.interrupted is not None and self.given == 4:
            os.kill(os.getpid(), self.interrupted)
        return True, np.full((48, 64, 3), 90, np.uint8)

    def get(self, propId, /):  # noqa: N803
        return 0.0

    def release(self):
        Camera.released += 1


@pytest.fixture
def camera(monkeypatch):
    """Let camera 0 be a `Camera`; files are opened as ever."""
    opened = cv2.VideoCapture
    for count in ("opened", "released"):
        monkeypatch.setattr(Camera, count, 0)
    monkeypatch.setattr(cv2, "VideoCapture", lambda source: opened(source) if source else Camera())


def test_an_interrupted_album_tells_what_is_missing(command, tier, here, monkeypatch):
    def find(self, image):
        os.kill(os.getpid(), signal.SIGINT)
        return []

    monkeypatch.setattr(PosePredictor, "__call__", find)
    outcome = command("predict", tier, "album", "--no-overlays")
    assert outcome.code == 130
    told = outcome.out.splitlines()
    assert told[0].startswith("1 of 4 pictures, 0 people: ")
    assert told[-1].endswith("the same command with --force begins again")
    assert outcome.err.splitlines()[-1] == "ofa-pose: error: interrupted"


def test_ctrl_c_among_pictures_that_cannot_be_read(command, tier, here, monkeypatch):
    seen = []

    def read(path):
        seen.append(path.name)
        if path.name == "1.jpg":
            os.kill(os.getpid(), signal.SIGINT)
        return read_picture(path)

    monkeypatch.setattr("ofa_pose.cli._predicting.read_picture", read)
    (here / "bad").mkdir()
    for number in range(4):
        (here / "bad" / f"{number}.jpg").write_text("no picture")
    outcome = command("predict", tier, "bad", "album/a.png")
    assert (outcome.code, seen) == (130, ["0.jpg", "1.jpg"])
    told = outcome.out.splitlines()
    assert told[0].startswith("0 of 5 pictures, 2 skipped, 0 people: ")
    assert not any("nobody reached" in line for line in told)
    assert told[-1].endswith("the same command with --force begins again")
    assert outcome.err.splitlines()[-1] == "ofa-pose: error: interrupted"


def test_names_as_long_as_can_be(command, tier, here):
    folder = here / "long"
    stem = "x" * 250
    for name in (f"{stem}.jpg", f"{stem}.png", f"{stem}yz.m", f"{stem}yabcd"):
        write_picture(folder / "a.png", np.zeros((32, 32, 3), np.uint8))
        (folder / "a.png").rename(folder / name)
    first = folder / f"{stem}.jpg"
    outcome = command("predict", tier, first, *sorted(set(folder.iterdir()) - {first}))
    assert outcome.code == 0, outcome.err
    (out,) = (here / "runs").iterdir()
    assert out.name == f"predict-tiny-{'x' * 242}"
    assert len(read_json(out / "people.json")) == 4
    cut = stem[:-1]
    assert {file.name for file in (out / "overlays").iterdir()} == {
        *(f"{stem}.jpg", f"{cut}-2.jpg", f"{stem}y.jpg", f"{cut}-3.jpg")
    }


def test_one_is_one(command, tier, here):
    outcome = command("predict", tier, "album/a.png", "--min-score", 1)
    assert outcome.out.startswith("1 picture, 0 people: ")
    assert outcome.out.splitlines()[-1] == (
        "nobody reached a score of 1; --min-score 0 tells of everybody"
    )


def test_what_cannot_be_read_leaves_no_folder(command, tier, here):
    assert command("predict", tier, "album/c.jpg", "--out", "found").code == 1
    assert not (here / "found").exists()


def test_weights_are_told_the_tier_beside_them(command, tier, here):
    outcome = command("predict", tier.with_suffix(".safetensors"), "album")
    assert (outcome.code, f"beside it is {tier}" in outcome.err) == (2, True)


def test_a_camera(command, tier, here, camera):
    outcome = command("predict", tier, "0", "--frames", 3)
    assert outcome.code == 0, outcome.err
    assert "3 frames" in outcome.out
    assert len(read_json(here / "runs" / "predict-tiny-0" / "people.json")) == 3


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_camera_ends_with_a_signal_and_what_was_seen_is_kept(
    command, tier, here, camera, monkeypatch, request, name
):
    if not hasattr(signal, name):
        pytest.skip(f"the system has no {name}")
    if name != "SIGINT":  # nohup and schedulers let it be ignored
        before = signal.signal(getattr(signal, name), signal.SIG_DFL)
        request.addfinalizer(lambda: signal.signal(getattr(signal, name), before))
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(getattr(signal, name))
    monkeypatch.setattr(Camera, "interrupted", getattr(signal, name))
    outcome = command("predict", tier, "0", "--frames", 99)
    assert outcome.code == 130
    assert outcome.err.splitlines()[-1] == "ofa-pose: error: interrupted"
    out = here / "runs" / "predict-tiny-0"
    assert len(read_json(out / "people.json")) == 4
    assert Film(out / "overlay.mp4").total  # by the clock: one where the four came at once
    assert Camera.opened == 1
    assert Camera.released >= 1
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(getattr(signal, name))) == handlers


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_while_the_files_are_finished_loses_nothing(
    command, tier, here, monkeypatch, name
):
    def write(path, **options):
        with film_writer(path, **options) as frame:
            yield frame
        os.kill(os.getpid(), getattr(signal, name))

    monkeypatch.setattr("ofa_pose.cli._predicting.film_writer", contextlib.contextmanager(write))
    outcome = command("predict", tier, "clip.mp4")
    assert outcome.code == 0, outcome.err
    assert len(read_json(here / "runs" / "predict-tiny-clip" / "people.json")) == 6


@pytest.mark.parametrize("taken", [True, False])
def test_a_camera_is_not_held_by_a_call_that_fails(command, tier, here, camera, monkeypatch, taken):
    if taken:
        assert command("predict", tier, "0", "--frames", 1).code == 0
    else:

        def refuse(*_, **__):
            raise UsageError("no weights")

        monkeypatch.setattr("ofa_pose.cli._predicting.PosePredictor", refuse)
    for count in ("opened", "released"):
        monkeypatch.setattr(Camera, count, 0)
    assert command("predict", tier, "0", "--frames", 1).code == 2
    assert Camera.released >= Camera.opened == (1 if taken else 0)


WRONG_USE = [
    ([], "ofa-pose search --budget"),
    (["photo.jpg"], "photo.jpg is not the YAML of a tier"),
    (["absent.yaml"], "nothing to look at"),
    (["absent.yaml", "album"], "no tier file at absent.yaml"),
    (["TIER", "album", "--track"], "--track is for a video"),
    (["TIER", "album/a.png", "album/b.jpg", "--frames", "3"], "--frames is for a video"),
    (["TIER", "album", "clip.mp4"], "clip.mp4 is a video"),
    (["TIER", "0", "album"], "a camera is given alone"),
    (["TIER", "album", "--out", "album"], "lies in the folder of the results"),
    (["TIER", "album", "--device", "gpu"], "device gpu cannot be used here"),
    (["TIER", "album", "--threads", "0"], "--threads"),
    (["TIER", "album", "--min-score", "2"], "--min-score"),
    (["TIER", "album", "--scales", "0.5,2"], "1 must be among the scales"),
    (["TIER", "album", "--scales", "1;2"], "cannot read --scales '1;2'"),
]
FAILED = [
    (["TIER", "nowhere"], "nowhere: there is no such file or folder"),
    (["TIER", "nowhere.mp4"], "nowhere.mp4: there is no such file"),
    (["TIER", "album/c.jpg"], "album/c.jpg: is not a picture"),
    (["TIER", "album/c.jpg", "clip.txt"], "none of 2 pictures can be read"),
    (["TIER", "empty"], "empty: holds no picture"),
    (["TIER", "broken.mp4"], "broken.mp4: is not a video"),
    (["TIER", "17"], "camera 17 cannot be opened"),
]


@pytest.mark.parametrize(
    ("code", "arguments", "expected"),
    [*((2, *case) for case in WRONG_USE), *((1, *case) for case in FAILED)],
)
def test_mistakes_are_one_line(tier, here, capfd, code, arguments, expected):
    (here / "empty").mkdir()
    (here / "clip.txt").write_text("x")
    (here / "broken.mp4").write_bytes(b"\0" * 999)
    capfd.readouterr()
    line = ["predict", *(str(tier) if argument == "TIER" else argument for argument in arguments)]
    assert run(line) == code
    printed = capfd.readouterr()  # what libraries write to the process's own stderr, too
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert lines[-1].startswith("ofa-pose: error: ")
    assert expected in lines[-1]
    assert all(line.startswith("ofa-pose: ") for line in lines)
    assert not any((here / "runs").glob("*/results.json"))


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size")
def test_a_full_disk_keeps_the_people_found(command, tier, here, full_disk):
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    with film_writer(here / "noise.mp4", fps=10) as write:
        for _ in range(6):
            write(noise)
    with full_disk():
        outcome = command("predict", tier, "noise.mp4", "--min-score", 1)
    assert outcome.code == 1
    assert outcome.err.splitlines()[-1].startswith("ofa-pose: error: cannot write ")
    out = here / "runs" / "predict-tiny-noise"
    assert len(read_json(out / "people.json")) == 6
    assert sorted(file.name for file in out.glob("*.*") if file.suffix != ".txt") == [
        *(".lock", "config.yaml", "people.json")
    ]


class GoneTerminal(io.StringIO):
    """Standard error after its terminal was closed."""

    def isatty(self):
        return True

    def write(self, text):
        raise OSError(errno.EIO, "Input/output error")


def test_a_terminal_that_is_gone_costs_nothing(tier, here, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", GoneTerminal())
        assert run(["predict", str(tier), "clip.mp4", "--out", "film"]) == 0
        assert run(["predict", str(tier), "album", "--out", "pictures"]) == 0  # skips one
        assert run(["predict", str(tier), "nowhere"]) == 1
    assert len(read_json(here / "film" / "people.json")) == 6
    assert Film(here / "film" / "overlay.mp4").total == 6
    assert len(read_json(here / "pictures" / "people.json")) == 3


def test_command_and_library_leave_out_the_same_people():
    shared = inspect.signature(verb.command).parameters["min_score"].default
    assert shared == inspect.signature(PosePredictor).parameters["min_score"].default
