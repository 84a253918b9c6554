"""Every block of the README and of two pages runs, in one folder, with small numbers put in."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

import ofa_pose
from ofa_pose.catalog import search_folders
from ofa_pose.cli.main import run

ROOT = Path(ofa_pose.__file__).parent.parent
README = ROOT / "README.md"
PAGES = (README, ROOT / "docs" / "data.md", ROOT / "docs" / "training.md")

# What makes a command quick, and nothing else: the same verbs and options, on a tiny space.
REDUCED = [
    (r"litepose-lite0", "toy"),
    (r" --init imagenet", ""),
    (r"--minutes \d+", "--steps 2 --batch-size 2 --val-scenes 2"),
    (r"--budget 150M", "--budget 0.25M --evaluations 2 --scenes 2 --calibration-scenes 2"),
    (r"(?<=/)XS|(?<=-)XS(?=/)", "S"),
    (r"--count \d+", "--count 8"),
]


def blocks(language, *pages):
    text = "\n".join(page.read_text() for page in pages or (README,))
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def commands(program, *pages):
    found = [block.replace("\\\n", "") for block in blocks("sh", *pages)]
    lines = [line.split(" #")[0].strip() for block in found for line in block.splitlines()]
    assert lines
    return [line for line in lines if line.split()[0] == program]


def starter_is_there():
    return any(any((f / "weights").glob("*-starter.safetensors")) for f in search_folders(KIND))


KIND = "search_spaces"


def test_commands_run_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = commands("ofa-pose", *PAGES)
    # Photographs have to be there before they are used.
    lines.sort(key=lambda line: not line.startswith("ofa-pose data synth"))
    assert len(lines) >= 10
    for line in lines:
        if line.startswith("ofa-pose search") and "--supernet" not in line:
            continue
        for pattern, small in REDUCED:
            line = re.sub(pattern, small, line)
        assert run(shlex.split(line)[1:]) == 0, f"{line}\n{capsys.readouterr().err}"


@pytest.mark.slow
@pytest.mark.skipif(not starter_is_there(), reason="the starter weights are not in this checkout")
def test_search_without_data_or_weights(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = "--evaluations 4 --scenes 4 --calibration-scenes 8"
    lines = [line for line in commands("ofa-pose") if line.startswith("ofa-pose search")]
    alone = [line for line in lines if "--supernet" not in line]
    assert alone
    for number, line in enumerate(alone):
        words = shlex.split(f"{line} {small} --out {number}")
        assert run(words[1:]) == 0, capsys.readouterr().err
        assert "synthetic scenes" in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", ["search", "test", "test-slow", "check", "bench", "install"])
def test_make_targets_exist(target):
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(("folder", "marks"), [("", "slow"), ("photos", "slow or data")])
def test_slow_tests_take_the_photographs_that_are_there(folder, marks):
    command = ["make", "-n", "test-slow", f"OFA_POSE_TEST_DATA={folder}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert f'pytest -m "{marks}"' in done.stdout


def test_make_lines_are_targets():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    for line in commands("make"):
        assert re.search(rf"^{line.split()[1]}:", text, re.M), line


@pytest.mark.parametrize("block", blocks("python"))
def test_python_blocks_run(block):
    exec(compile(block, str(README), "exec"), {})  # noqa: S102
