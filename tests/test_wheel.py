"""The wheel in an empty environment, used from another folder."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import ofa_pose
from ofa_pose.data import SyntheticScenes
from ofa_pose.export import Tier, export_onnx
from ofa_pose.predict import PosePredictor, write_picture

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
    for name in ("device.txt", "constraints.txt"):
        assert f"ofa_pose/_catalog/{name}" in held
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


def test_an_onnx_file_in_an_environment_without_torch(
    wheel: Path, finding_tier: Tier, tmp_path: Path
) -> None:
    call(sys.executable, "-m", "venv", tmp_path / "venv", folder=tmp_path)
    programs = tmp_path / "venv" / "bin"
    pip = (programs / "python", "-m", "pip", "install")
    call(*pip, "-r", ROOT / "device.txt", folder=tmp_path)
    call(*pip, "--no-deps", wheel, folder=tmp_path)
    find = "import importlib.util; print(importlib.util.find_spec('torch'))"
    assert call(programs / "python", "-c", find, folder=tmp_path) == "None\n"

    told = call(programs / "ofa-pose", "doctor", folder=tmp_path)
    assert "installed to run ONNX files (device.txt)" in told

    exported = export_onnx(finding_tier, tmp_path / "made" / "mine.onnx")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(exported.path, elsewhere / "pose.onnx")
    image = SyntheticScenes(0, 1, size=96, skeleton="crowdpose")[0].image
    write_picture(elsewhere / "one.png", image)
    line = ("predict", "pose.onnx", "one.png", "--min-score", "0", "--out", "found")
    call(programs / "ofa-pose", *line, folder=elsewhere)
    assert finding_tier.path is not None
    expected = PosePredictor(finding_tier.path, min_score=0)(image)
    found = json.loads((elsewhere / "found" / "results.json").read_text())
    assert len(found) == len(expected) > 0
    assert (elsewhere / "found" / "overlays" / "one.jpg").is_file()
