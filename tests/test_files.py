"""Files that are written whole."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from ofa_pose.errors import OfaPoseError
from ofa_pose.files import atomic_path, atomic_write, is_encodable, remove_partial, shortened
from ofa_pose.supernet import save_weights


def test_text_that_utf_8_has_not_is_escaped(tmp_path: Path):
    atomic_write(tmp_path / "a.txt", "é \udcff")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa9 \\udcff"


def test_half_a_surrogate_pair_names_no_file():
    assert is_encodable("bébé.jpg")
    assert not is_encodable("")
    assert not is_encodable("\ud800.jpg")


@pytest.fixture
def group_reads() -> Iterator[None]:
    """A umask under which new files are rw for the user, r for the group."""
    before = os.umask(0o027)
    yield
    os.umask(before)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are POSIX's")
@pytest.mark.usefixtures("group_reads")
def test_permissions_are_those_of_any_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The umask is the whole process's: setting it would give others' files all permissions."""
    monkeypatch.setattr(os, "umask", lambda _: pytest.fail("the umask was set"))
    atomic_write(tmp_path / "text", "a")
    save_weights(tmp_path / "s.safetensors", {"a": torch.zeros(1)}, metadata={})
    for path in tmp_path.iterdir():
        assert path.stat().st_mode & 0o777 == 0o640, path


def test_what_is_being_written_lies_beside_it_and_leaves_nothing(tmp_path: Path):
    def write() -> None:
        with atomic_path(tmp_path / "a.b.txt") as temporary:
            assert (temporary.parent, temporary.suffix) == (tmp_path, ".txt")
            temporary.write_text("half")
            raise OSError(28, "no room")

    atomic_write(tmp_path / "a.b.txt", "old")
    with pytest.raises(OfaPoseError, match="cannot write .*a.b.txt: no room"):
        write()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("name", ["x" * 251 + ".txt", "é" * 125 + ".txt", "a." + "y" * 253])
def test_a_name_as_long_as_can_be(tmp_path: Path, name: str):
    with atomic_path(tmp_path / name) as temporary:
        temporary.write_text("whole")
        left = temporary.with_name(temporary.name.replace("~", "x~"))
        left.touch()
    assert (tmp_path / name).read_text() == "whole"
    remove_partial(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_names_are_cut_between_characters():
    assert shortened("abc", 3) == "abc"
    assert shortened("abcd", 3) == "abc"
    assert shortened("aéé", 4) == "aé"  # 1, 2 and 2 bytes
    assert shortened("\udcff\udcff", 1) == "\udcff"  # two bytes that are no UTF-8


def test_what_a_killed_process_left_is_removed(tmp_path: Path):
    with atomic_path(tmp_path / "a.txt") as temporary:
        kept = temporary.with_name("kept~12345678.txt")
        kept.touch()
        remove_partial(tmp_path)
        assert list(tmp_path.iterdir()) == [kept]
        temporary.touch()
