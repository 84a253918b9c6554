"""A mistake ends in one line on stderr and exit code 2 or 1, never in a traceback."""

import pytest
import torch

from ofa_pose.cli import _console, macs, spaces, train
from ofa_pose.cli.main import run

WRONG_USE = [
    (["frobnicate"], "frobnicate"),
    (["macs"], "--space"),
    (["macs", "--space", "toy", "--frobnicate"], "--frobnicate"),
    (["macs", "--space", "toy", "--seed", "x"], "--seed"),
    (["macs", "--space", "litepose-sx"], "did you mean 'litepose-xs'"),
    (["macs", "--space", "absent.yaml"], "absent.yaml"),
    (["macs", "--space", "litepose-xs", "--arch", "XSS"], "did you mean 'XS'"),
    (["macs", "--space", "litepose-xs", "--arch", "stage9=16"], "unknown choice 'stage9'"),
    (["macs", "--space", "litepose-xs", "--arch", "stem"], "unknown arch"),
    (["macs", "--space", "litepose-xs", "--arch", "stem=wide"], "stem=wide"),
    (["macs", "--space", "litepose-xs", "--arch", "stem=16,stem=24"], "twice"),
    (["macs", "--space", "litepose-xs", "--arch", "absent.json"], "absent.json"),
    (["macs", "--space", "toy", "--skeleton", "crowdpos"], "did you mean 'crowdpose'"),
    (["spaces", "cp", "tpy"], "did you mean 'toy'"),
]


@pytest.mark.parametrize(("arguments", "expected"), WRONG_USE, ids=lambda v: " ".join(v)[:60])
def test_wrong_use(command, arguments, expected):
    outcome = command(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert expected in outcome.err
    assert_one_line(outcome.err)


def assert_one_line(text):
    assert text.startswith("ofa-pose: error: ")
    assert text.count("\n") == 1
    assert text.endswith("\n")


def test_torchrun_is_for_trainings(command, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "8")
    outcome = command("search", "--budget", "1.2G")
    assert outcome.code == 2
    assert "ofa-pose search is one process's work: start it without torchrun" in outcome.err
    assert_one_line(outcome.err)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert command("spaces", "ls").code == 0


@pytest.mark.parametrize("written", ["--sheet=~/look.png", "--sheet ~/look.png"])
def test_the_home_folder_is_found_where_no_shell_did(command, monkeypatch, tmp_path, written):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert command("data", "synth", "~/set", "--count", 1, "--size", 64).code == 0
    assert command("data", "check", "~/set", *written.split()).code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"set", "look.png"}


def test_debug_shows_the_traceback(command):
    outcome = command("macs", "--space", "nope", "--debug")
    assert outcome.code == 2
    assert "Traceback (most recent call last)" in outcome.err
    assert outcome.err.splitlines()[-1].startswith("ofa-pose: error: unknown search space")


@pytest.mark.parametrize(
    ("raised", "code", "expected"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (RuntimeError("two\nlines"), 1, "bug in ofa-pose: RuntimeError: two; lines"),
        (FileNotFoundError(2, "No such file or directory", "a.txt"), 1, "a.txt: No such file"),
        (MemoryError(), 1, "out of memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), 1, "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 1, "out of memory"),
    ],
    ids=["interrupt", "bug", "file", "memory", "GPU memory", "torch's memory"],
)
def test_whatever_happens_is_one_line(command, monkeypatch, raised, code, expected):
    def fail(name):
        raise raised

    monkeypatch.setattr(spaces, "load_space", fail)
    outcome = command("spaces", "show", "toy")
    assert outcome.code == code
    assert expected in outcome.err
    assert_one_line(outcome.err)


@pytest.mark.parametrize("arguments", [["train", "--space", "toy"], ["macs", "--space", "toy"]])
def test_only_what_has_a_run_folder_can_be_resumed(command, monkeypatch, arguments):
    def fail(name):
        raise KeyboardInterrupt

    module = {"train": train, "macs": macs}[arguments[0]]
    monkeypatch.setattr(module, "load_space", fail)
    outcome = command(*arguments)
    assert outcome.code == 130
    assert ("--resume" in outcome.err) == (arguments[0] == "train")
    assert_one_line(outcome.err)


def test_log_messages_are_lines_on_stderr(command, monkeypatch):
    import logging

    def warn(name):
        logging.getLogger("ofa_pose.data").warning("skipped %s", "a.jpg")
        raise KeyboardInterrupt

    monkeypatch.setattr(spaces, "load_space", warn)
    lines = command("spaces", "show", "toy").err.splitlines()
    assert lines[0] == "ofa-pose: warning: skipped a.jpg"
    assert len(lines) == 2


def test_one_line_joins():
    assert _console.one_line("a.yaml:\n  - x: bad\n  - y: worse\n") == "a.yaml: x: bad; y: worse"


def test_arguments_are_not_kept(command):
    assert run(["spaces", "show", "nope"]) == 2
    assert run(["spaces", "show", "toy"]) == 0
