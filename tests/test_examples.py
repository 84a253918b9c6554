"""Every example runs: the quick ones as they stand, the others in a reduced form."""

import contextlib
import io
import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

import ofa_pose
from ofa_pose.export import load_tier

FOLDER = Path(ofa_pose.__file__).parent.parent / "examples"
EXAMPLES = sorted(path.name for path in FOLDER.glob("*.py"))

# What makes an example quick, and nothing else.
REDUCED = {
    "your_own_data.py": "--painted 8 --minutes 0.002 --evaluations 2 --out out",
    "your_own_family.py": "--steps 3 --evaluations 4 --budgets 200k --out out",
}

Run = Callable[..., tuple[str, Path]]


def run_example(name: str, options: str, folder: Path) -> str:
    printed = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.chdir(folder),
        contextlib.redirect_stdout(printed),
    ):
        patch.setattr("sys.argv", [name, *options.split()])
        runpy.run_path(str(FOLDER / name), run_name="__main__")
    return printed.getvalue()


@pytest.fixture(scope="module")
def reduced(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A function that runs an example once; it returns what was printed, and the folder."""
    ran: dict[str, tuple[str, Path]] = {}

    def run(name: str) -> tuple[str, Path]:
        if name not in ran:
            folder = tmp_path_factory.mktemp(name.removesuffix(".py"))
            ran[name] = run_example(name, REDUCED.get(name, ""), folder), folder
        return ran[name]

    return run


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name, reduced):
    printed, _ = reduced(name)
    assert printed


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_says_what_it_is_for(name):
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    assert re.match(r'"""[A-Z].*[.]$', lines[0]), lines[0]
    assert f"    python examples/{name}" in lines[2], lines[2]


def test_figures_of_the_network_that_is_cut_out(reduced):
    # XS with 14 joints: the paper's network (Table 1).
    assert "0.883 G exact MACs, 1.676 M params" in reduced("cut_out_a_network.py")[0]


def test_own_data_ends_in_a_tier_and_a_prediction(reduced):
    printed, folder = reduced("your_own_data.py")
    verbs = re.findall(r"^\$ ofa-pose (\w+)", printed, re.M)
    assert verbs == ["data", "data", "train", "search", "finetune", "predict"]
    assert "no faults" in printed
    tier = load_tier(folder / "out" / "tuned" / "M.yaml")
    assert tier.require_skeleton() == ofa_pose.load_skeleton(FOLDER / "five_joints.yaml")
    assert len(list((folder / "out" / "people" / "overlays").iterdir())) == 8


def test_the_classifiers_tier_is_written(reduced):
    printed, folder = reduced("your_own_family.py")
    assert load_tier(folder / "out" / "200k.yaml").skeleton is None
    for difference in re.findall(r"logits differ by (\S+) at most", printed):
        assert float(difference) < 1e-4


@pytest.mark.slow
def test_searched_classifiers_are_right(tmp_path):
    printed = run_example("your_own_family.py", "", tmp_path)
    found = re.findall(r"accuracy (\S+) where it was chosen, (\S+) on other digits", printed)
    small, _, large = (float(report) for _, report in found)
    assert large > 0.95  # ten classes: chance is 0.1
    assert large > small
