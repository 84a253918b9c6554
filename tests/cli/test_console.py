"""Tables fit the terminal without a name being cut."""

import re
import sys

import pytest

from ofa_pose.cli import _console

HEADERS = ("name", "device", "units", "from")
ROWS = [
    ("x86-onnxruntime", "two cores of a machine that is shared", 2296, "predictors/x86.yaml"),
    ("phone", "a phone", 56, "shipped"),
]


@pytest.mark.parametrize("columns", [200, 100, 80, 60, 40])
def test_no_word_is_broken_however_narrow_the_terminal(capsys, monkeypatch, columns):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    _console.table(HEADERS, ROWS, title="tables")
    shown = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    assert max(map(len, shown.splitlines())) <= max(columns, len("device  ") + len(ROWS[0][1]))
    words = shown.split()
    for row in ROWS:
        for word in " ".join(str(cell) for cell in (row[0], row[1], row[3])).split():
            assert word in words
    assert "2,296" in words
    assert words[0] == "tables"
    assert words.count("device") == (2 if columns < 59 else 1)  # of each row, or the head


def test_elsewhere_a_row_is_a_line(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    _console.table(HEADERS, ROWS)
    assert capsys.readouterr().out.splitlines() == [
        "name             device                                 units  from",
        "x86-onnxruntime  two cores of a machine that is shared  2,296  predictors/x86.yaml",
        "phone            a phone                                   56  shipped",
    ]
