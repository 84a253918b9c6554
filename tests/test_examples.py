"""Every example runs: the quick ones as they stand, the others in a reduced form."""

import re
import runpy
from pathlib import Path

import pytest

import ofa_pose

FOLDER = Path(ofa_pose.__file__).parent.parent / "examples"
EXAMPLES = sorted(path.name for path in FOLDER.glob("*.py"))
OUT = "out"

# What makes an example quick, and nothing else.
REDUCED = {
    "your_own_family.py": "--steps 3 --evaluations 4 --budgets 200k --out out",
}


@pytest.fixture
def example(tmp_path, monkeypatch, capsys):
    """A function that runs an example in a folder of its own and returns what it prints."""

    def run(name: str, options: str = "") -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", [name, *options.split()])
        runpy.run_path(str(FOLDER / name), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name, example):
    assert example(name, REDUCED.get(name, ""))


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_says_what_it_is_for(name):
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    assert re.match(r'"""[A-Z].*[.]$', lines[0]), lines[0]
    assert f"    python examples/{name}" in lines[2], lines[2]


def test_figures_of_the_network_that_is_cut_out(example):
    # XS with 14 joints: the paper's network (Table 1).
    assert "0.883 G exact MACs, 1.676 M params" in example("cut_out_a_network.py")


def test_the_classifiers_tier_is_written(example, tmp_path):
    printed = example("your_own_family.py", REDUCED["your_own_family.py"])
    assert (tmp_path / "out" / "200k.yaml").is_file()
    assert (tmp_path / "out" / "200k.safetensors").is_file()
    for difference in re.findall(r"logits differ by (\S+) at most", printed):
        assert float(difference) < 1e-4


@pytest.mark.slow
def test_searched_classifiers_are_right(example):
    printed = example("your_own_family.py")
    found = re.findall(r"accuracy (\S+) where it was chosen, (\S+) on other digits", printed)
    small, _, large = (float(report) for _, report in found)
    assert large > 0.95  # ten classes: chance is 0.1
    assert large > small
