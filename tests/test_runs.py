"""Run folders: taken over only when asked to, and only by the same run."""

import errno
import logging
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

import ofa_pose
from ofa_pose.errors import OfaPoseError, RunFolderError
from ofa_pose.runs import RunFolder

CONFIG = {"verb": "train", "seed": 1, "recipe": {"lr": 0.1, "scale": (0.5, 1.0)}, "workers": 2}


def test_new_folder(tmp_path: Path):
    path = tmp_path / "runs" / "train-a"
    with RunFolder.open(path, config={**CONFIG, "data": Path("photos")}) as run:
        assert not run.resumed
        assert run.file("x.csv") == path / "x.csv"
    content = yaml.safe_load((path / "config.yaml").read_text())
    assert content == {
        "format": 1,
        "version": ofa_pose.__version__,
        "verb": "train",
        "seed": 1,
        "recipe": {"lr": 0.1, "scale": [0.5, 1.0]},
        "workers": 2,
        "data": "photos",
    }


HOLD = """
import sys, time
from ofa_pose.runs import RunFolder
run = RunFolder.open(sys.argv[1], config={"verb": "train"})
print("open", flush=True)
time.sleep(60)
"""


def test_a_full_disk_under_the_log_hides_no_error(
    tmp_path: Path,
    full_disk: Callable[[], AbstractContextManager[None]],
    capsys: pytest.CaptureFixture[str],
):
    path = tmp_path / "run"
    RunFolder.open(path, config=CONFIG).close()
    (path / "log.txt").write_text("x" * 8192)
    with full_disk(), pytest.raises(OfaPoseError, match="^the weights$"):  # noqa: SIM117
        with RunFolder.open(path, config=CONFIG, resume=True):
            raise OfaPoseError("the weights")
    assert capsys.readouterr().err == ""


def test_two_processes_in_one_folder(tmp_path: Path):
    path = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        for resume in (True, False):
            with pytest.raises(RunFolderError, match="another process is running in"):
                RunFolder.open(path, config={"verb": "train"}, resume=resume, force=not resume)
        other.kill()
    RunFolder.open(path, config={"verb": "train"}, resume=True).close()


def test_empty_folder_is_taken(tmp_path: Path):
    with RunFolder.open(tmp_path, config=CONFIG) as run:
        assert not run.resumed


def test_existing_run_needs_a_word(tmp_path: Path):
    RunFolder.open(tmp_path, config=CONFIG).close()
    with pytest.raises(RunFolderError, match="holds a run already; give --resume .* --force"):
        RunFolder.open(tmp_path, config=CONFIG)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told_of(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
):
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: object) -> None:
        raise OSError(number, "not here")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with RunFolder.open(tmp_path, config=CONFIG) as run:
        assert run.file("config.yaml").is_file()
    assert "the file system has no locks (not here)" in caplog.text


def test_a_command_that_cannot_resume_does_not_tell_to(tmp_path: Path):
    RunFolder.open(tmp_path, config=CONFIG).close()
    with pytest.raises(RunFolderError, match="holds a run already; give --force"):
        RunFolder.open(tmp_path, config=CONFIG, resumable=False)


def refuse(
    path: Path,
    *,
    error: BaseException,
    made: bytes | None = None,
    resume: bool = False,
    resumable: bool = True,
) -> None:
    """A run that ends with `error`, perhaps after it wrote something."""

    def attempt() -> None:
        with RunFolder.open(path, config=CONFIG, resume=resume, resumable=resumable) as run:
            if made is not None:
                run.file("metrics.csv").write_bytes(made)
            raise error

    with pytest.raises(type(error)):
        attempt()


@pytest.mark.parametrize("made", [None, b""])
def test_a_run_that_is_refused_gives_the_folder_back(tmp_path: Path, made: bytes | None):
    refuse(tmp_path, error=RunFolderError("no pictures"), made=made)
    assert not list(tmp_path.iterdir())
    refuse(tmp_path / "new", error=RunFolderError("no pictures"), made=made, resumable=False)
    assert not list(tmp_path.iterdir())
    refuse(tmp_path / "new", error=RunFolderError("no pictures"), made=made)
    RunFolder.open(tmp_path / "new", config=CONFIG, resume=True).close()
    RunFolder.open(tmp_path / "new", config={"verb": "predict"}, force=True).close()


def test_what_a_run_made_stays_its_own(tmp_path: Path):
    refuse(tmp_path, error=RunFolderError("a loss"), made=b"step,loss\n1,nan\n")
    assert (tmp_path / "metrics.csv").read_bytes() == b"step,loss\n1,nan\n"
    assert "a loss" in (tmp_path / "log.txt").read_text()
    refuse(tmp_path, error=RunFolderError("again"), resume=True)
    assert (tmp_path / "config.yaml").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroDivisionError()])
def test_an_accident_leaves_its_traces(tmp_path: Path, error: BaseException):
    refuse(tmp_path, error=error)
    assert "stopped" in (tmp_path / "log.txt").read_text()


def test_resume(tmp_path: Path):
    RunFolder.open(tmp_path, config=CONFIG).close()
    (tmp_path / "checkpoint.pt").touch()
    with RunFolder.open(tmp_path, config=CONFIG, resume=True) as run:
        assert run.resumed
        assert run.file("checkpoint.pt").exists()


def test_resume_of_another_run_names_the_keys(tmp_path: Path):
    RunFolder.open(tmp_path, config=CONFIG).close()
    other = {**CONFIG, "seed": 2, "recipe": {"lr": 0.2, "scale": (0.5, 1.0)}, "extra": True}
    with pytest.raises(RunFolderError) as caught:
        RunFolder.open(tmp_path, config=other, resume=True)
    message = str(caught.value)
    assert "seed was 1 and is now 2" in message
    assert "recipe.lr was 0.1 and is now 0.2" in message
    assert "extra was 'not set' and is now True" in message
    assert "scale" not in message
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["seed"] == 1


def test_resume_of_quite_another_run_names_its_verb_alone(tmp_path: Path):
    RunFolder.open(tmp_path, config={"verb": "train", **dict.fromkeys("abcdefgh", 1)}).close()
    with pytest.raises(RunFolderError) as caught:
        RunFolder.open(tmp_path, config={"verb": "search"}, resume=True)
    expected = "it is a run of `train`, not of `search`; give another folder"
    assert str(caught.value) == f"cannot resume {tmp_path}: {expected}"


def test_more_differences_than_one_reads_are_counted(tmp_path: Path):
    RunFolder.open(tmp_path, config={"verb": "train", **dict.fromkeys("abcdefgh", 1)}).close()
    with pytest.raises(RunFolderError) as caught:
        RunFolder.open(tmp_path, config={"verb": "train"}, resume=True)
    assert "f was 1 and is now 'not set'; 2 more; give" in str(caught.value)


def test_free_keys_may_differ(tmp_path: Path):
    RunFolder.open(tmp_path, config=CONFIG).close()
    other = {**CONFIG, "workers": 8, "recipe": {"lr": 0.2}}
    with RunFolder.open(tmp_path, config=other, resume=True, free=("workers", "recipe")) as run:
        assert run.resumed


def test_resume_of_nothing(tmp_path: Path):
    with pytest.raises(RunFolderError, match="nothing to resume: the folder .* does not exist"):
        RunFolder.open(tmp_path / "typo", config=CONFIG, resume=True)
    assert not (tmp_path / "typo").exists()


def test_resume_of_a_run_killed_before_it_began(tmp_path: Path):
    with RunFolder.open(tmp_path, config=CONFIG, resume=True) as run:
        assert not run.resumed


TIER = "kind: tier\nweights:\n  file: S.safetensors\n"


def test_force_removes_what_the_run_left(tmp_path: Path):
    RunFolder.open(tmp_path, config=CONFIG).close()
    left = (
        "checkpoint.pt", "checkpoint.previous.pt", "best.safetensors", "S.safetensors",
        "front.png", "archive.csv", "archive.jsonl", ".checkpoint~a1b2c3_d.pt",
    )  # fmt: skip
    for name in left:
        (tmp_path / name).touch()
    (tmp_path / "S.yaml").write_text(TIER)
    events = tmp_path / "tensorboard"
    events.mkdir()
    (events / "events.out.tfevents.0001").touch()
    (events / "mine.txt").touch()
    (tmp_path / "notes.md").write_text("mine")
    with RunFolder.open(tmp_path, config={**CONFIG, "seed": 2}, force=True) as run:
        assert not run.resumed
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        ".lock",
        "config.yaml",
        "log.txt",
        "notes.md",
        "tensorboard",
    ]
    assert [p.name for p in events.iterdir()] == ["mine.txt"]


def test_force_removes_the_folders_that_the_run_leaves_empty(tmp_path: Path):
    RunFolder.open(tmp_path, config=CONFIG).close()
    for name in ("race", "tensorboard", "overlays"):
        (tmp_path / name).mkdir()
    (tmp_path / "race" / "00012.safetensors").touch()
    (tmp_path / "race" / ".00013~a1b2c3_d.safetensors").touch()
    (tmp_path / "tensorboard" / "mine.txt").touch()
    RunFolder.open(tmp_path, config=CONFIG, force=True).close()
    assert not (tmp_path / "race").exists()
    assert not (tmp_path / "overlays").exists()
    assert (tmp_path / "tensorboard" / "mine.txt").exists()


@pytest.mark.parametrize("force", [False, True])
def test_a_run_of_another_command_is_not_replaced(tmp_path: Path, force: bool):
    RunFolder.open(tmp_path, config={"verb": "search"}).close()
    (tmp_path / "race").mkdir()
    left = ("archive.csv", "archive.jsonl", "race/00012.safetensors")
    for name in left:
        (tmp_path / name).touch()
    message = r"holds what `search` has made \(archive.csv, archive.jsonl, race\).* another folder"
    with pytest.raises(RunFolderError, match=message):
        RunFolder.open(tmp_path, config=CONFIG, force=force)
    assert all((tmp_path / name).exists() for name in left)


def test_a_run_of_another_command_that_made_nothing_is_replaced(tmp_path: Path):
    RunFolder.open(tmp_path, config={"verb": "search"}).close()
    RunFolder.open(tmp_path, config=CONFIG, force=True).close()
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["verb"] == "train"


def test_force_leaves_what_no_run_writes(tmp_path: Path):
    RunFolder.open(tmp_path, config=CONFIG).close()
    mine = {
        "notes.txt": "mine", "labels.csv": "1,2", "chart.png": "", "old.pt": "", "other.yaml": "{",
        "space.yaml": "kind: space", "list.yaml": "- 1", "bytes.yaml": "", "other.safetensors": "",
        "copy.yaml": TIER, "copy.safetensors": "", "overlays/notes.txt": "mine",
    }  # fmt: skip
    (tmp_path / "overlays").mkdir()
    for name, content in mine.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "bytes.yaml").write_bytes(b"\xff")
    RunFolder.open(tmp_path, config=CONFIG, force=True).close()
    assert all((tmp_path / name).exists() for name in mine)


def test_force_removes_the_weights_of_a_tier_that_was_not_finished(tmp_path: Path):
    RunFolder.open(tmp_path, config=CONFIG).close()
    for kind in ("tier", "supernet"):
        save_file({"a": np.zeros(1)}, tmp_path / f"{kind}.safetensors", metadata={"kind": kind})
    RunFolder.open(tmp_path, config=CONFIG, force=True).close()
    assert [file.name for file in tmp_path.glob("*.safetensors")] == ["supernet.safetensors"]


class Listener:
    def __init__(self) -> None:
        self.rows: list[Mapping[str, float]] = []
        self.closed = 0

    def append(self, row: Mapping[str, float]) -> None:
        self.rows.append(row)

    def close(self) -> None:
        self.closed += 1


def test_listeners_hear_of_rows_until_the_run_is_closed(tmp_path: Path):
    listener = Listener()
    with RunFolder.open(tmp_path, config=CONFIG) as run:
        run.tell({"step": 1})
        run.listen(listener)
        run.tell({"step": 2, "loss": 0.5})
    run.close()
    assert (listener.rows, listener.closed) == ([{"step": 2, "loss": 0.5}], 1)


def test_force_spares_what_the_run_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    RunFolder.open("run", config=CONFIG).close()
    weights = tmp_path / "run" / "best.safetensors"
    weights.write_text("w")
    (tmp_path / "link").symlink_to(weights)
    for file in (weights, Path("run/best.safetensors"), Path("link")):
        with pytest.raises(RunFolderError, match=f"--force would delete {file}, which this run"):
            RunFolder.open("run", config=CONFIG, force=True, inputs=[Path("absent"), file])
    assert weights.read_text() == "w"
    RunFolder.open("run", config=CONFIG, resume=True, inputs=[weights]).close()
    RunFolder.open("run", config=CONFIG, force=True, inputs=[tmp_path / "elsewhere"]).close()
    assert not weights.exists()


@pytest.mark.parametrize(("resume", "force"), [(False, False), (True, False), (False, True)])
def test_a_run_killed_while_it_began(tmp_path: Path, resume: bool, force: bool):
    for name in (".lock", ".config~a1b2c3_d.yaml", ".mine"):
        (tmp_path / name).touch()
    with RunFolder.open(tmp_path, config=CONFIG, resume=resume, force=force) as run:
        assert not run.resumed
    assert {p.name for p in tmp_path.iterdir()} == {".lock", ".mine", "config.yaml", "log.txt"}


def test_files_half_written_by_a_killed_run_are_removed(tmp_path: Path):
    RunFolder.open(tmp_path, config=CONFIG).close()
    code = (
        "import os, sys\nfrom ofa_pose.files import atomic_path\n"
        "with atomic_path(sys.argv[1]): os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "checkpoint.pt")], check=False)
    assert len(list(tmp_path.glob(".checkpoint*.pt"))) == 1
    RunFolder.open(tmp_path, config=CONFIG, resume=True).close()
    assert {p.name for p in tmp_path.iterdir()} == {".lock", "config.yaml", "log.txt"}


def test_the_configuration_is_there_while_force_deletes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    RunFolder.open(tmp_path, config=CONFIG).close()
    (tmp_path / "S.yaml").write_text(TIER)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ofa_pose.runs.remove_partial", killed)
    with pytest.raises(KeyboardInterrupt):
        RunFolder.open(tmp_path, config=CONFIG, force=True)
    monkeypatch.undo()
    assert not (tmp_path / "S.yaml").exists()
    RunFolder.open(tmp_path, config=CONFIG, force=True).close()


def test_a_free_key_that_is_not_given_any_more_keeps_its_value(tmp_path: Path):
    RunFolder.open(tmp_path, config={**CONFIG, "init_sha256": "12ab"}).close()
    RunFolder.open(tmp_path, config=CONFIG, resume=True, free=["init_sha256"]).close()
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["init_sha256"] == "12ab"


@pytest.mark.parametrize(("resume", "force"), [(False, False), (True, False), (False, True)])
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, resume: bool, force: bool):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="not empty and holds no config.yaml"):
        RunFolder.open(tmp_path, config=CONFIG, resume=resume, force=force)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_resume_and_force(tmp_path: Path):
    with pytest.raises(RunFolderError, match="contradict"):
        RunFolder.open(tmp_path, config=CONFIG, resume=True, force=True)


def test_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match="is a file; a run needs a folder"):
        RunFolder.open(tmp_path / "file", config=CONFIG)
    with pytest.raises(RunFolderError, match="cannot write the run folder"):
        RunFolder.open(tmp_path / "file" / "run", config=CONFIG)
    with pytest.raises(RunFolderError, match="cannot write the run folder"):
        RunFolder.open("/proc/run", config=CONFIG)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is damaged"),
        ("format: 99\nversion: 1\n", "has format 99, this version reads 1"),
        ("- 1\n", "is not of a run"),
        ("lr: 1\n", "is not of a run"),
    ],
)
def test_config_of_something_else(tmp_path: Path, content: str, message: str, force: bool):
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(RunFolderError, match=message):
        RunFolder.open(tmp_path, config=CONFIG, resume=not force, force=force)
    assert (tmp_path / "config.yaml").read_text() == content


def test_log(tmp_path: Path):
    logger = logging.getLogger("ofa_pose.somewhere")
    with RunFolder.open(tmp_path, config=CONFIG):
        logger.info("first \udcff")
    logger.warning("between")

    def fail():
        with RunFolder.open(tmp_path, config=CONFIG, resume=True):
            logger.info("second")
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [
        r"INFO first \udcff",
        "INFO second",
        "ERROR stopped: ValueError: broken",
    ]


def test_the_level_of_messages_is_given_back(tmp_path: Path):
    logger = logging.getLogger("ofa_pose")
    before = logger.level
    logger.setLevel(logging.NOTSET)
    try:
        outer = RunFolder.open(tmp_path / "outer", config=CONFIG)
        inner = RunFolder.open(tmp_path / "inner", config=CONFIG)
        outer.close()
        assert logger.level == logging.INFO  # the other still writes down what it is told
        inner.close()
        inner.close()
        assert logger.level == logging.NOTSET
        with RunFolder.open(tmp_path / "own", config=CONFIG):
            logger.setLevel(logging.DEBUG)
        assert logger.level == logging.DEBUG  # somebody else's choice
    finally:
        logger.setLevel(before)
