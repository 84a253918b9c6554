"""Progress: plain lines without a terminal, a bar on one."""

import sys

import pytest

from ofa_pose.cli import _progress
from ofa_pose.cli._progress import Meter
from ofa_pose.cli._watching import Watch
from ofa_pose.search import Evaluation, Progress, RaceProgress
from ofa_pose.space import Choice, SearchSpace


@pytest.fixture
def make_evaluation():
    space = SearchSpace(name="one", family="none", choices=(Choice("resolution", (32,)),))

    def make(ap):
        return Evaluation(0, 0, "S", 0, space[0], (0,), {}, {"AP": ap})

    return make


def test_plain_lines_come_now_and_then_and_at_the_end(capsys, monkeypatch):
    now = iter([0.0, 1.0, 11.0, 12.0, 13.0])
    monkeypatch.setattr(_progress.time, "monotonic", lambda: next(now))
    with Meter("search") as meter:
        for done in (1, 2, 3, 4):
            meter.show(done, 4, {"S": 0.25}, of="best AP")
    assert capsys.readouterr().err.splitlines() == [
        "ofa-pose: search 2 of 4 (50%, 11 s, 20 s left, best AP S 0.25)",
        "ofa-pose: search 4 of 4 (100%, 13 s, best AP S 0.25)",
    ]


def test_the_end_is_told_once(capsys, monkeypatch):
    now = iter([0.0, 1.0, 2.0, 3.0, 14.0])
    monkeypatch.setattr(_progress.time, "monotonic", lambda: next(now))
    with Meter("search") as meter:
        for pictures in (16, 32, 48, 64):  # archs that are done are looked at again
            meter.show(4, 4, of=f"{pictures} pictures")
    assert capsys.readouterr().err.splitlines() == [
        "ofa-pose: search 4 of 4 (100%, 1 s, 16 pictures)",
        "ofa-pose: search 4 of 4 (100%, 14 s, 64 pictures)",
    ]


def test_the_time_left_is_by_the_pace_since_the_first_step(capsys, monkeypatch):
    # Sixty seconds of loading, then half of the job was done already; a quarter takes 30 s.
    now = iter([0.0, 60.0, 90.0])
    monkeypatch.setattr(_progress.time, "monotonic", lambda: next(now))
    with Meter("search") as meter:
        meter.show(2, 4)
        meter.show(3, 4)
    assert capsys.readouterr().err.splitlines() == [
        "ofa-pose: search 2 of 4 (50%, 60 s)",
        "ofa-pose: search 3 of 4 (75%, 90 s, 30 s left)",
    ]


class Recorder(Meter):
    """Keeps what is shown."""

    def __init__(self):
        super().__init__("search")
        self.shown = []

    def show(self, done, total, figures=None, *, fraction=None, of=""):
        self.shown.append((done, total, dict(figures or {}), of))


def test_a_search_moves_with_every_batch_of_pictures(make_evaluation):
    meter = Recorder()
    watch = Watch(meter, 9)
    watch.pictured(8)
    watch.pictured(12)
    watch.evaluated(Progress(1, 9, make_evaluation(0.25), {"S": make_evaluation(0.25)}))
    watch.pictured(12)  # of the next arch, all at once
    assert meter.shown == [
        (0, 9, {}, "8 pictures"),
        (0, 9, {}, "12 pictures"),
        (1, 9, {"S": 0.25}, "12 pictures, best AP"),
        (1, 9, {"S": 0.25}, "24 pictures, best AP"),
    ]


def test_a_race_moves_with_every_part_of_an_arch(make_evaluation):
    meter = Recorder()
    watch = Watch(meter, 9)
    watch.raced(RaceProgress(8, 1, 2, 1, 2))
    watch.raced(RaceProgress(16, 1, 2, 2, 2))
    watch.evaluated(Progress(1, 9, make_evaluation(0.25), {"S": make_evaluation(0.25)}))
    assert meter.shown == [
        (0, 9, {}, "1 of 2 archs in part 1 of 2 of the race, 8 pictures"),
        (0, 9, {}, "2 of 2 archs in part 1 of 2 of the race, 16 pictures"),
        (1, 9, {"S": 0.25}, "16 pictures, best AP"),
    ]


def test_a_job_without_a_total(capsys, monkeypatch):
    monkeypatch.setattr(_progress, "PLAIN_SECONDS", 0.0)
    with Meter("train") as meter:
        meter.show(7, None, {"fraction": 0.5, "loss": 1.5}, fraction=0.5)
    assert capsys.readouterr().err.startswith("ofa-pose: train 7 (50%, 0 s, loss 1.5)")


def test_a_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with Meter("train") as meter:
        meter.show(1, 2, {"loss": 1.5})
    told = capsys.readouterr().err
    assert "50%" in told
    assert "loss 1.5" in told
