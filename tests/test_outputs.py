"""Nothing that a command reads, no run's file and no device is replaced, whatever is forced."""

import os
from pathlib import Path

import pytest

from ofa_pose.errors import RunFolderError
from ofa_pose.files import atomic_write
from ofa_pose.outputs import output_file
from ofa_pose.runs import RunFolder


def test_a_new_file_and_one_that_exists(tmp_path: Path):
    assert output_file(tmp_path / "new" / "a.json") == tmp_path / "new" / "a.json"
    old = tmp_path / "a.json"
    old.touch()
    with pytest.raises(RunFolderError, match="use --force to overwrite it"):
        output_file(old)
    assert output_file(old, force=True, reads=[None, "toy", tmp_path / "b.json"]) == old


def test_what_is_read_stays(tmp_path: Path):
    read, other, link = (tmp_path / name for name in ("read.json", "other.json", "link.json"))
    read.touch()
    os.link(read, other)
    link.symlink_to(read)
    for name in (read, other, link, tmp_path / "." / "read.json"):
        with pytest.raises(RunFolderError, match="a file that this command reads"):
            output_file(name, force=True, reads=[read])
    picture = tmp_path / "images" / "deep" / "1.jpg"
    picture.parent.mkdir(parents=True)
    picture.touch()
    with pytest.raises(RunFolderError, match="among the pictures"):
        output_file(picture, force=True, reads=[tmp_path / "images"])


def test_a_links_target_is_written(tmp_path: Path):
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    for content in ("first", "second"):  # there is no target at first
        atomic_write(output_file(link, force=content == "second"), content)
        assert link.is_symlink()
        assert target.read_text() == content
    link.unlink()
    link.symlink_to(link)
    with pytest.raises(RunFolderError, match="cannot write"):
        output_file(link, force=True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_only_plain_files_are_replaced(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name in ("pipe", "link"):
        with pytest.raises(RunFolderError, match="a device, a pipe or a socket"):
            output_file(tmp_path / name, force=True)
    for force in (False, True):
        with pytest.raises(RunFolderError, match="is a folder; give a file's name"):
            output_file(tmp_path, force=force)
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match="no folder that may be written to"):
        output_file(tmp_path / "file" / "more.json")


def test_a_runs_files_stay(tmp_path: Path):
    with RunFolder.open(tmp_path / "run", config={"verb": "train"}):
        pass
    for name in ("config.yaml", "checkpoint.pt", "best.safetensors", "log.txt"):
        path = tmp_path / "run" / name
        path.touch()
        with pytest.raises(RunFolderError, match="a file of the run in"):
            output_file(path, force=True)
    (tmp_path / "run" / "mine.onnx").touch()
    assert output_file(tmp_path / "run" / "mine.onnx", force=True).name == "mine.onnx"
    (tmp_path / "best.safetensors").touch()
    assert output_file(tmp_path / "best.safetensors", force=True).name == "best.safetensors"
