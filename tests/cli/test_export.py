"""`ofa-pose export`: one file, told in one line; what is there stays."""

import json
import shutil
import subprocess
import sys

import pytest

import ofa_pose as op
from ofa_pose.data import SyntheticScenes
from ofa_pose.export import make_tier, save_tier
from ofa_pose.predict import write_picture

pytest.importorskip("onnxruntime")


def test_export(tmp_path, command):
    space = op.load_space("toy")
    network = op.Supernet(space, skeleton="crowdpose").eval().extract(space.smallest)
    tier = save_tier(tmp_path, make_tier("mine", space, space.smallest), network)
    outcome = command("export", tier.path, "--json")
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.out)
    assert told["file"] == str(tmp_path / "mine.onnx")
    assert (told["resolution"], told["bytes"]) == (32, (tmp_path / "mine.onnx").stat().st_size)
    again = command("export", tier.path, "--out", tmp_path)
    assert (again.code, "--force" in again.err) == (2, True)
    assert command("export", tier.path, "--out", tmp_path, "--force").code == 0
    assert command("export", tmp_path / "none.yaml").code != 0


def test_the_file_alone_is_looked_at_and_scored_with(tmp_path, command, monkeypatch, finding_tier):
    monkeypatch.chdir(tmp_path)
    assert command("export", finding_tier.path, "--out", "alone.onnx").code == 0
    write_picture("a.png", SyntheticScenes(0, 1, size=96, skeleton="crowdpose")[0].image)
    found: list[list[dict]] = []
    for given in (finding_tier.path, "alone.onnx"):
        looked = command("predict", given, "a.png", "--min-score", 0, "--out", "out", "--force")
        assert looked.code == 0, looked.err
        found.append(json.loads((tmp_path / "out" / "results.json").read_text()))
    assert len(found[0]) == len(found[1]) > 0
    for own, other in zip(*found, strict=True):
        assert other["keypoints"] == pytest.approx(own["keypoints"], abs=1e-2)
    scored = [
        json.loads(command("eval", given, "--synthetic", 2, "--json").out)["scores"]["AP"]
        for given in (finding_tier.path, "alone.onnx")
    ]
    assert scored[0] == pytest.approx(scored[1], abs=1e-3)
    for verb in ("finetune", "export"):
        refused = command(verb, "alone.onnx", *(["--synthetic", 2] if verb == "finetune" else []))
        assert (refused.code, "give the tier's .yaml" in refused.err) == (2, True)


def test_onnxruntime_says_nothing_where_home_cannot_be_written(tmp_path, no_home):
    space = op.load_space("toy")
    network = op.Supernet(space).eval().extract(space.smallest)
    tier = save_tier(tmp_path, make_tier("mine", space, space.smallest), network)
    line = [sys.executable, "-m", "ofa_pose", "export", str(tier.path)]
    done = subprocess.run(line, env=no_home, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_runs_weights_stay(command, searched, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(searched, run)
    (run / "best.safetensors").touch()
    tier = next(path for path in run.glob("*.yaml") if path.name != "config.yaml")
    for name in ("best.safetensors", "config.yaml", tier.name):
        before = (run / name).read_bytes()
        outcome = command("export", tier, "--out", run / name, "--force")
        assert (outcome.code, outcome.err.count("\n")) == (2, 1)
        assert (run / name).read_bytes() == before
