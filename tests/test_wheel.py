"""The wheel in an empty environment, used from another folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import ofa_pose

ROOT = Path(ofa_pose.__file__).parent.parent
STARTER = "ofa_pose/_catalog/search_spaces/weights/litepose-lite0-starter.safetensors"

pytestmark = pytest.mark.slow


def call(*command: str | Path, folder: Path) -> str:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**kept, "HOME": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    call(sys.executable, "-m", "pip", "wheel", "--no-deps", ROOT, "-w", folder, folder=folder)
    (path,) = folder.glob("ofa_pose-*.whl")
    return path


def test_what_is_in_the_wheel(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    for kind in ("search_spaces", "predictors"):
        shipped = [path for path in (ROOT / kind).rglob("*") if path.is_file()]
        assert shipped
        for path in shipped:
            assert f"ofa_pose/_catalog/{path.relative_to(ROOT).as_posix()}" in held
    assert STARTER in held
    assert "ofa_pose/py.typed" in held
    tops = {name.split("/")[0] for name in held if ".dist-info/" not in name}
    assert tops == {"ofa_pose"}  # no generic name in a user's site-packages


def test_a_search_in_an_empty_environment(wheel, tmp_path):
    call(sys.executable, "-m", "venv", tmp_path / "venv", folder=tmp_path)
    programs = tmp_path / "venv" / "bin"
    constraints = ("-c", ROOT / "constraints.txt")
    call(programs / "python", "-m", "pip", "install", *constraints, wheel, folder=tmp_path)

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    imported = "import ofa_pose; print(ofa_pose.__file__)"
    assert call(programs / "python", "-c", imported, folder=elsewhere).startswith(str(tmp_path))
    assert "litepose-lite0" in call(programs / "ofa-pose", "spaces", "ls", folder=elsewhere)
    assert "x86-onnxruntime" in call(programs / "ofa-pose", "latency", "ls", folder=elsewhere)
    small = ("--evaluations", "2", "--scenes", "2", "--calibration-scenes", "2")
    call(programs / "ofa-pose", "search", "--budget", "150M", *small, folder=elsewhere)
    found = elsewhere / "runs" / "search-litepose-lite0"
    for name in ("XS.yaml", "XS.safetensors", "archive.csv", "front.png", "report.html"):
        assert (found / name).is_file()
