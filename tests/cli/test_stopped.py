"""Searches and trainings that are killed or interrupted go on to the result they would have had."""

import os
import signal
import subprocess
import sys
import time

import pytest

from ofa_pose.cli.main import run
from ofa_pose.supernet import load_weights

TRAIN = ["train", "--space", "toy", "--synthetic", 8, "--batch-size", 2, "--workers", 0]


def text(arguments):
    return [str(argument) for argument in arguments]


def start(line, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "ofa_pose", *text(line)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def wait_for(ready, process):
    limit = time.monotonic() + 120
    while not ready():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < limit
        time.sleep(0.02)


def lines_of(path):
    return path.read_text().count("\n") if path.exists() else 0


STOPPED = """
import sys

class Stop:
    def find_spec(self, name, *_):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Stop())
from ofa_pose.__main__ import main
main()
"""


def test_ctrl_c_while_the_command_is_imported():
    done = subprocess.run(
        [sys.executable, "-c", STOPPED], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (130, "ofa-pose: error: interrupted\n")


@pytest.mark.slow
@pytest.mark.parametrize("scenes", [16, 32], ids=["each arch on all scenes", "racing"])
def test_killed_search_resumes_to_the_same_archive(trained, tmp_path, scenes):
    line = [
        "search", "--supernet", trained, "--budget", "0.5M", "--evaluations", 20,
        "--scenes", scenes, "--calibration-scenes", 16,
    ]  # fmt: skip
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run(text([*line, "--out", whole])) == 0
    process = start([*line, "--out", killed])
    journal, parts = killed / "archive.jsonl", killed / "race"
    wait_for(lambda: lines_of(journal) + len(list(parts.glob("*"))) > 6, process)
    process.kill()
    process.communicate()
    assert lines_of(journal) < lines_of(whole / "archive.jsonl")
    assert lines_of(killed / "archive.csv") < 2  # written when a search stops
    assert run(text([*line, "--out", killed, "--resume"])) == 0
    for name in ("archive.csv", "front.csv"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    "number",
    [signal.SIGKILL, signal.SIGINT, signal.SIGTERM],
    ids=["kill", "Ctrl-C", "scheduler"],
)
def test_stopped_training_resumes_to_the_same_curve(tmp_path, number):
    line = [*TRAIN, "--steps", 120, "--val-scenes", 4, "--validations", 12]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert run(text([*line, "--out", whole])) == 0
    process = start([*line, "--out", stopped])
    wait_for(lambda: lines_of(stopped / "metrics.csv") > 2, process)
    os.kill(process.pid, number)
    _, told = process.communicate()
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert told.splitlines()[-1].startswith("ofa-pose: error: interrupted")
    assert run(text([*line, "--out", stopped, "--resume"])) == 0
    assert (stopped / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    for name in ("best.safetensors", "last.safetensors"):
        ours, theirs = load_weights(stopped / name)[0], load_weights(whole / name)[0]
        assert all(bool((ours[key] == theirs[key]).all()) for key in theirs)


@pytest.mark.slow
def test_sigterm_to_the_group_saves_as_ctrl_c_does(tmp_path):
    out = tmp_path / "run"
    line = ["train", "--space", "toy", "--synthetic", 8, "--batch-size", 2, "--workers", 2]
    process = start([*line, "--steps", 100000, "--out", out], start_new_session=True)
    wait_for(lambda: lines_of(out / "metrics.csv") > 1, process)
    os.kill(process.pid, signal.SIGTERM)
    os.killpg(process.pid, signal.SIGTERM)  # as `timeout` does
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.splitlines()[-1].startswith("ofa-pose: error: interrupted")
    assert {"checkpoint.pt", "last.safetensors"} <= {file.name for file in out.iterdir()}
