"""Every example runs as it stands."""

import runpy
from pathlib import Path

import pytest

import ofa_pose

EXAMPLES = sorted((Path(ofa_pose.__file__).parent.parent / "examples").glob("*.py"))


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out


def test_figures_of_the_network_that_is_cut_out(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES[0].with_name("cut_out_a_network.py")), run_name="__main__")
    # XS with 14 joints: the paper's network (Table 1).
    assert "0.883 G exact MACs, 1.676 M params" in capsys.readouterr().out
