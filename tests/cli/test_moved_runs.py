"""Runs that go on from another folder, or whose files and pictures lie elsewhere by then."""

import json

import yaml

from ofa_pose import load_space
from ofa_pose.catalog import catalog_folder
from ofa_pose.cli._commands import lasting
from ofa_pose.skeleton.declared import skeleton_names

SEARCH = ["search", "--evaluations", 6, "--scenes", 2, "--calibration-scenes", 2]


def test_a_resumed_search_finds_what_it_was_given_by_path(
    command, trained, tmp_path, latency_table, monkeypatch
):
    table = latency_table(load_space("toy"), lambda spec: spec.in_shapes[0][1] / 20, name="phone")
    table.save(tmp_path / "tables")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    line = [*SEARCH, "--supernet", trained, "--budget", "6ms@../tables/phone.csv"]
    assert command(*line, "--out", tmp_path / "run").code == 0
    monkeypatch.chdir(tmp_path)
    outcome = command("search", "--resume", "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err


def test_a_resumed_run_finds_files_that_options_named_from_another_folder(
    command, trained, tmp_path, latency_table, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    latency_table(load_space("toy"), lambda spec: 0.1, name="lap").save(tmp_path)
    toy = (catalog_folder("search_spaces") / "toy.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(toy)
    joints = skeleton_names()["crowdpose"].read_text()
    for name in ("joints.yaml", "labels.yaml", "crowdpose"):
        (tmp_path / name).write_text(joints)
    data = tmp_path / "data"
    assert command("data", "synth", data, "--count", 12, "--size", 64, "--split", "val").code == 0
    files = ["--space", "mine.yaml", "--skeleton", "joints.yaml", "--data-skeleton", "labels.yaml"]
    line = [*SEARCH, "--supernet", trained, "--budget", "0.25M", "--data", data, *files]
    begun = command(*line, "--latency", "lap.yaml", "--out", tmp_path / "run")
    assert begun.code == 0, begun.err
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["latency"] == [str(tmp_path / "lap.yaml")]
    assert config["data_skeleton"] == str(tmp_path / "labels.yaml")
    assert config["given"]["space"] == str(tmp_path / "mine.yaml")
    assert config["given"]["skeleton"] == str(tmp_path / "joints.yaml")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    outcome = command("search", "--resume", "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err


def test_what_an_option_names_lasts(tmp_path, monkeypatch):
    """A file is told in full, a shipped name stays one, and so does what the run has as typed."""
    monkeypatch.chdir(tmp_path)
    for name in ("crowdpose", "toy", "own.yaml", "imagenet", "weights"):
        (tmp_path / name).write_text("")
    own = str(tmp_path / "own.yaml")
    given = {"space": "toy", "skeleton": "crowdpose", "data_skeleton": "own.yaml", "seed": 1}
    assert lasting(given) == {**given, "data_skeleton": own}
    assert lasting(given, earlier={"data_skeleton": "own.yaml"}) == given
    assert lasting(given, earlier={"data_skeleton": own})["data_skeleton"] == own
    tables = ["x86-onnxruntime", "own.yaml", "gone.yaml"]
    assert lasting({"latency": tables}) == {"latency": ["x86-onnxruntime", own, "gone.yaml"]}
    gone = {"init": str(tmp_path / "gone"), "latency": [own, str(tmp_path / "gone.yaml"), "toy"]}
    assert lasting({"init": "gone", "latency": ["own.yaml", "gone.yaml"]}, earlier=gone) == {
        "init": gone["init"],
        "latency": gone["latency"][:2],
    }
    assert lasting({"init": "other"}, earlier=gone) == {"init": "other"}
    assert lasting({"init": "imagenet"}) == {"init": "imagenet"}
    assert lasting({"init": "weights"}) == {"init": str(tmp_path / "weights")}


def test_a_training_is_resumed_from_another_folder(command, tmp_path, monkeypatch):
    data, out = tmp_path / "data", tmp_path / "run"
    assert command("data", "synth", data, "--count", 3, "--size", 64, "--split", "train").code == 0
    (tmp_path / "labels.yaml").write_text(skeleton_names()["crowdpose"].read_text())
    (tmp_path / "elsewhere").mkdir()
    line = ["train", "--space", "toy", "--data", data, "--batch-size", 2, "--workers", 0]
    line += ["--steps", 1, "--out", out, "--data-skeleton"]
    monkeypatch.chdir(tmp_path)
    begun = command(*line, "labels.yaml")
    assert begun.code == 0, begun.err
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = command(*line, "../labels.yaml", "--resume")
    assert again.code == 0, again.err


def test_runs_go_on_where_their_pictures_have_moved(command, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    for split in ("train", "val"):
        line = ["data", "synth", here, "--count", 3, "--size", 64, "--split", split]
        assert command(*line).code == 0
    train = ["train", "--space", "toy", "--batch-size", 2, "--workers", 0, "--steps", 1]
    train += ["--out", tmp_path / "weights", "--data"]
    assert command(*train, here).code == 0
    search = ["search", "--supernet", tmp_path / "weights", "--no-baseline", "--finalists", 0]
    search += ["--calibration-scenes", 2, "--evaluations", 1, "--out", tmp_path / "found", "--data"]
    assert command(*search, here).code == 0
    here.rename(there)
    for line in (train, search):
        outcome = command(*line, there, "--resume")
        assert outcome.code == 0, outcome.err
        config = yaml.safe_load((line[line.index("--out") + 1] / "config.yaml").read_text())
        assert config["data"] == str(there)
    labels = there / "annotations" / "val.json"
    document = json.loads(labels.read_text())
    document["annotations"].pop()
    labels.write_text(json.dumps(document))
    outcome = command(*train, there, "--resume")
    assert (outcome.code, "pictures.val was '" in outcome.err) == (2, True)
    assert "pictures.train" not in outcome.err


def test_a_search_with_weights_in_the_box_is_resumed(command, tmp_path):
    line = ["search", "--supernet", "litepose-lite0-starter", "--budget", "60M", "--no-baseline"]
    line += ["--scenes", 2, "--calibration-scenes", 2, "--evaluations", 1, "--finalists", 0]
    assert command(*line, "--out", tmp_path / "run").code == 0
    outcome = command("search", "--resume", "--out", tmp_path / "run", "--evaluations", 2)
    assert outcome.code == 0, outcome.err
