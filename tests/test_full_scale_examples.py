"""The scripts for eight GPUs: every command in them parses and runs."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

import ofa_pose
from ofa_pose.cli.main import app
from ofa_pose.data import SyntheticScenes, write_coco

FOLDER = Path(ofa_pose.__file__).parent.parent / "examples"
SCRIPTS = sorted(FOLDER.glob("*_on_eight_gpus.sh"))

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")

# The script's own shell says what it would run: one word a line, an empty line after each command.
TELL = """
torchrun() { printf '%s\\n' torchrun "$@" ''; }
ofa-pose() { printf '%s\\n' ofa-pose "$@" ''; }
source "$0"
"""
TORCHRUN = ["torchrun", "--nproc-per-node", "8", "-m", "ofa_pose"]

# Runs what the script says, in a reduced form: of an option that is given twice, the last counts.
RUN = """
small() {
    case "$1" in
        train|finetune) set -- "$@" --epochs 0.3 --batch-size 4 --workers 0 --val-scenes 2 \\
            --validations 1 ;;
        search) set -- "$@" --scenes 2 --calibration-scenes 2 --evaluations 3 ;;
    esac
    "$PYTHON" -m ofa_pose "$@" --device cpu
}
torchrun() { small "${@:5}"; }
ofa-pose() { small "$@"; }
source "$0"
"""


def bash(prelude: str, script: Path, folder: Path, **variables: str) -> str:
    done = subprocess.run(
        ["bash", "-c", prelude, str(script)],
        cwd=folder,
        env={**variables, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def commands_of(script: Path, folder: Path) -> list[list[str]]:
    """Return the arguments of `ofa-pose`, as bash gives them."""
    for place in ("runs/crowdpose-litepose-xs/search", "runs/crowdpose-litepose-xs/XS"):
        (folder / place).mkdir(parents=True)
        (folder / place / "XS.yaml").touch()
    blocks = bash(TELL, script, folder).strip().split("\n\n")
    lines = [block.split("\n") for block in blocks]
    for line in lines:
        assert line[: len(TORCHRUN)] == TORCHRUN or line[0] == "ofa-pose"
    return [line[len(TORCHRUN) :] if line[0] == "torchrun" else line[1:] for line in lines]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_command_parses(script, tmp_path):
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    lines = commands_of(script, tmp_path)
    assert [line[0] for line in lines][-2:] in (["finetune", "eval"], ["train", "eval"])
    for verb, *arguments in lines:
        group.commands[verb].make_context(verb, arguments)


@pytest.mark.slow
def test_the_scripts_run_in_a_reduced_form(tmp_path):
    for name in ("coco", "crowdpose"):
        for seed, split in enumerate(("train", "val", "test")):
            scenes = SyntheticScenes(seed, 12, size=64, skeleton=name)
            path = write_coco(scenes, tmp_path / name, split=split)
            if name == "crowdpose":
                (tmp_path / name / "json").mkdir(exist_ok=True)
                path.rename(tmp_path / name / "json" / f"crowdpose_{split}.json")
    root = str(FOLDER.parent)
    for script in (FOLDER / f"{name}_on_eight_gpus.sh" for name in ("crowdpose", "coco")):
        bash(RUN, script, tmp_path, PYTHON=sys.executable, PYTHONPATH=root, SPACE="toy")
    for tier in "SML":
        assert (tmp_path / "runs" / "crowdpose-toy" / tier / f"{tier}.yaml").is_file()
        (found,) = (tmp_path / "runs" / "coco-toy" / tier).glob("[0-9]*.yaml")
        assert "name: coco" in found.read_text()
