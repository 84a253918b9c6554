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
    "latency_table_of_this_machine.py": "--rounds 1 --networks 2 --out out",
    "search_with_the_starter.py": "150M --scenes 2 --evaluations 3 --out out",
    "your_own_data.py": "--painted 8 --minutes 0.002 --evaluations 2 --out out",
    "your_own_family.py": "--steps 3 --evaluations 4 --budgets 200k --out out",
}

# It measures, and on a busy machine measures again.
SLOW = {"latency_table_of_this_machine.py": pytest.mark.slow}

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


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=SLOW.get(name, ())) for name in EXAMPLES]
)
def test_example(name, reduced):
    printed, _ = reduced(name)
    assert printed


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_says_what_it_is_for(name):
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    assert re.match(r'r?"""[A-Z].*[.]$', lines[0]), lines[0]
    assert f"    python examples/{name}" in lines[2], lines[2]


def test_the_table_lists_every_example():
    table = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[`([\w.]+)`\]\(\1\) \|", table, re.M)
    scripts = (*EXAMPLES, *(path.name for path in FOLDER.glob("*.sh")))
    assert sorted(listed) == sorted(scripts)


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
    for difference in re.findall(r"outputs differ by (\S+) at most", printed):
        assert float(difference) < 1e-4


def test_costs_at_full_scale_are_those_in_the_scripts(reduced):
    printed, _ = reduced("cost_at_full_scale.py")
    # 200 epochs of 10,000 pictures, 3 passes of 0.8829 G exact MACs (XS), 1e12 a second.
    assert round(200 * 10_000 * 3 * 0.8829e9 / 1e12 / 3600, 1) == 1.5
    assert "1.5 GPU hours  fine-tuning XS, 200 epochs (0.88 GMACs)" in printed
    for script in FOLDER.glob("*_on_eight_gpus.sh"):
        totals = re.findall(rf"{script.name} (\S+)\n(?:  .*\n)*? +(\d+) GPU hours in all", printed)
        assert len(totals) == 2
        for space, hours in totals:
            quoted = rf"\b{hours}( GPU hours)? for {space}\b"
            assert re.search(quoted, script.read_text(encoding="utf-8")), (space, hours)


def test_the_starters_winner_is_within_its_budget(reduced):
    printed, folder = reduced("search_with_the_starter.py")
    assert "3 of 3: best AP" in printed
    tier = load_tier(folder / "out" / "XS.yaml")
    assert tier.costs.macs["exact"] <= 150e6
    assert tier.scores.keys() == {"search", "report"}


@pytest.mark.slow
def test_the_measured_winner_is_within_its_budget(reduced):
    printed, folder = reduced("latency_table_of_this_machine.py")
    assert (folder / "out" / "mine-torch.csv").is_file()
    (budget,) = re.findall(r"^within (\S+) ms", printed, re.M)
    (predicted,) = re.findall(r"^(\S+) ms predicted", printed, re.M)
    assert float(predicted) <= float(budget) + 0.005  # both are rounded


@pytest.mark.slow
def test_searched_classifiers_are_right(tmp_path):
    printed = run_example("your_own_family.py", "", tmp_path)
    found = re.findall(r"accuracy (\S+) where it was chosen, (\S+) on other digits", printed)
    small, _, large = (float(report) for _, report in found)
    assert large > 0.95  # ten classes: chance is 0.1
    assert large > small
