"""Files that are written whole."""

from pathlib import Path

from ofa_pose.files import atomic_write, is_encodable


def test_text_that_utf_8_has_not_is_escaped(tmp_path: Path):
    atomic_write(tmp_path / "a.txt", "é \udcff")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa9 \\udcff"


def test_half_a_surrogate_pair_names_no_file():
    assert is_encodable("bébé.jpg")
    assert not is_encodable("")
    assert not is_encodable("\ud800.jpg")
