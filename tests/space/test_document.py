"""YAML with line numbers."""

from pathlib import Path

import pytest

from ofa_pose.errors import SpaceError
from ofa_pose.space.document import read_document


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "file.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_lines_of_keys(tmp_path: Path) -> None:
    document = read_document(write(tmp_path, "a: 1\nb:\n  - {c: 2}\n  - d:\n      e: 3\n"))
    assert document.data == {"a": 1, "b": [{"c": 2}, {"d": {"e": 3}}]}
    assert document.line(("a",)) == 1
    assert document.line(("b", 0, "c")) == 3
    assert document.line(("b", 1, "d", "e")) == 5
    assert document.line(("b", 0, "absent")) == 3  # the closest key around it
    assert document.line(("absent",)) is None


def test_repeated_keys_are_found(tmp_path: Path) -> None:
    document = read_document(write(tmp_path, "a: {b: 1, b: 2}\na: 3\nc: {b: 1}\n"))
    assert set(document.repeated) == {("a", "b"), ("a",)}


def test_anchors_and_merges_are_no_repeats(tmp_path: Path) -> None:
    text = "a: &x {b: 1}\nc: {<<: *x, d: 2}\ne: [*x, *x]\n"
    document = read_document(write(tmp_path, text))
    assert document.repeated == ()
    assert document.data["c"] == {"b": 1, "d": 2}


@pytest.mark.parametrize(
    ("text", "number"), [("1e-3", 1e-3), ("2.5E3", 2500.0), (".5e1", 5.0), ("1.0e-3", 1e-3)]
)
def test_exponents_are_numbers(tmp_path: Path, text: str, number: float) -> None:
    assert read_document(write(tmp_path, f"lr: {text}")).data == {"lr": number}


@pytest.mark.parametrize("text", ["1e", "e5", "1e-3x", "1-3"])
def test_what_only_looks_like_an_exponent_is_text(tmp_path: Path, text: str) -> None:
    assert read_document(write(tmp_path, f"a: {text}")).data == {"a": text}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; a search space is a mapping"),
        ("- 1\n- 2\n", "is a list; a search space is a mapping"),
        ("just text", "is a str; a search space is a mapping"),
        ("a: [1, 2\nb: 3\n", "is not YAML: line 2: "),
        ("a: 1\n\tb: 2\n", "is not YAML: line 2: "),
        ("a: !!python/object/apply:os.getcwd []\n", "is not YAML: line 1: "),
        ("a: {[1]: 2}\n", "is not YAML: line 1: "),
        ("a: \x00", "is not YAML: "),
        ("a: &x [*x]\n", "an alias holds itself"),
        (b"a: \xff\xfe", "is not UTF-8 text"),
    ],
)
def test_what_is_no_mapping_is_refused_in_one_line(tmp_path: Path, text, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SpaceError) as caught:
        read_document(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"cannot read .*absent.yaml: No such file"):
        read_document(tmp_path / "absent.yaml")
    with pytest.raises(SpaceError, match="cannot read"):
        read_document(tmp_path)
