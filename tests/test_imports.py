"""Light parts stay light: they load neither torch nor pandas nor matplotlib."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "pandas", "matplotlib", "cv2", "scipy", "sklearn", "deap", "pycocotools")
SLOW = (*HEAVY, "numpy")
"""What takes longer to load than `--help` should take."""


def loaded_after(statement: str, *arguments: str, among: tuple[str, ...] = HEAVY) -> set[str]:
    """Run a statement in a fresh interpreter and return which of these packages it has loaded."""
    report = (
        "import sys\n"
        "try:\n"
        f"    {statement}\n"
        "except SystemExit:\n"
        "    pass\n"
        f"print(*[name for name in {among!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", report, *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


@pytest.mark.parametrize("module", ["ofa_pose", "ofa_pose.space", "ofa_pose.catalog"])
def test_light_modules(module):
    assert loaded_after(f"import {module}") == set()


def test_skeletons_load_no_torch():
    assert "torch" not in loaded_after("import ofa_pose.skeleton")


def test_people_are_found_with_what_a_device_has():
    statement = "import ofa_pose; ofa_pose.PosePredictor"
    assert loaded_after(statement) == {"cv2", "scipy"}


def test_search_loads_no_torch():
    assert "torch" not in loaded_after("import ofa_pose.search")


@pytest.mark.parametrize(
    "arguments", [[], ["search"], ["train"], ["predict"], ["macs"], ["spaces", "ls"]]
)
def test_help_is_light(arguments):
    statement = "from ofa_pose.cli.main import main; main()"
    assert loaded_after(statement, *arguments, "--help", among=SLOW) == set()


def test_listing_spaces_is_light():
    statement = "from ofa_pose.cli.main import main; main()"
    assert loaded_after(statement, "spaces", "ls") == set()


def test_listing_latency_tables_is_light():
    statement = "from ofa_pose.cli.main import main; main()"
    assert loaded_after(statement, "latency", "ls") == set()


def test_the_guard_sees_a_heavy_import():
    assert "torch" in loaded_after("import torch")
