"""An ONNX file is run where PyTorch is absent, and finds the people that PyTorch finds."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ofa_pose.data import SyntheticScenes
from ofa_pose.export import Tier, export_onnx
from ofa_pose.predict import PosePredictor, film_writer, read_picture, write_picture

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SCRIPT = Path(__file__).parent / "commands_without.py"


def commands(*lines: list[str], folder: Path) -> tuple[list[int], str, str]:
    """Run command lines in one process without PyTorch; return their codes and what they said."""
    done = subprocess.run(
        [sys.executable, SCRIPT, json.dumps(lines)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    said, _, last = done.stdout.rpartition("{")
    told = json.loads("{" + last)
    assert told["loaded"] == []
    return told["codes"], said, done.stderr


@pytest.fixture(scope="module")
def device(finding_tier: Tier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an ONNX file, two pictures and a video of them."""
    folder = tmp_path_factory.mktemp("device")
    exported = export_onnx(finding_tier, tmp_path_factory.mktemp("made") / "mine.onnx")
    shutil.copy(exported.path, folder / "pose.onnx")
    scenes = SyntheticScenes(0, 2, size=96, skeleton="crowdpose")
    for number in range(2):
        write_picture(folder / "album" / f"{number}.png", scenes[number].image)
    with film_writer(folder / "clip.mp4", fps=10) as write:
        for _ in range(3):
            write(scenes[0].image)
    return folder


def assert_same_people(results: Path, expected: list[np.ndarray]) -> None:
    found = [np.reshape(person["keypoints"], (-1, 3)) for person in json.loads(results.read_text())]
    assert len(found) == len(expected) > 0
    for mine, torchs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, torchs, atol=0.03)


def test_pictures_and_a_video(device: Path, finding_tier: Tier) -> None:
    everybody = ["--min-score", "0", "--out"]
    codes, _, errors = commands(
        ["predict", "pose.onnx", "album", *everybody, "plain"],
        ["predict", "pose.onnx", "album", "--flip", "--scales", "0.7,1,2", *everybody, "tested"],
        ["predict", "pose.onnx", "clip.mp4", "--track", "--smooth", *everybody, "tracked"],
        folder=device,
    )
    assert codes == [0, 0, 0], errors
    assert finding_tier.path is not None
    pictures = [read_picture(path) for path in sorted((device / "album").iterdir())]
    for name, tested in (("plain", {}), ("tested", {"flip": True, "scales": (0.7, 1, 2)})):
        predictor = PosePredictor(finding_tier.path, min_score=0, **tested)
        expected = [person.keypoints for image in pictures for person in predictor(image)]
        assert_same_people(device / name / "results.json", expected)
        assert len(list((device / name / "overlays").iterdir())) == 2
    assert (device / "tracked" / "overlay.mp4").stat().st_size > 0
    people = json.loads((device / "tracked" / "results.json").read_text())
    assert {person["track_id"] for person in people} >= {1}


def test_help(device: Path) -> None:
    codes, said, _ = commands(["--help"], ["predict", "--help"], folder=device)
    assert codes == [0, 0]
    assert "Usage: ofa-pose [OPTIONS]" in said
    assert "Usage: ofa-pose predict" in said


def test_tables_and_spaces_are_listed(device: Path) -> None:
    codes, said, errors = commands(["latency", "ls"], ["spaces", "ls"], folder=device)
    assert codes == [0, 0], errors
    assert "x86-onnxruntime" in said
    assert "litepose-xs" in said


def test_what_needs_pytorch_says_so_in_one_line(device: Path, finding_tier: Tier) -> None:
    lines = (
        ["predict", str(finding_tier.path), "album"],
        ["export", str(finding_tier.path)],
        ["macs", "--space", "toy"],
    )
    codes, said, errors = commands(*lines, folder=device)
    assert codes == [2, 2, 2]
    assert said == ""
    assert errors.splitlines() == [
        "ofa-pose: error: this needs PyTorch, which is not installed: pip install torch"
    ] * len(lines)


def test_another_package_is_named(device: Path) -> None:
    codes, _, errors = commands(["data", "synth", "people", "--count", "1"], folder=device)
    assert codes == [2]
    assert errors == (
        "ofa-pose: error: this needs pycocotools, which is not installed: install ofa-pose with "
        "all that it depends on\n"
    )


def test_the_guard_sees_an_import(tmp_path: Path) -> None:
    statement = "import commands_without, sys; sys.meta_path.insert(0, commands_without.Absent())"
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}; import torch"],
        cwd=SCRIPT.parent,
        capture_output=True,
        text=True,
    )
    assert "No module named 'torch'" in done.stderr
