"""A skeleton of one's own, declared in YAML alone, goes through every verb."""

import json
import shutil
from pathlib import Path

import yaml

EXAMPLE = Path(__file__).parents[2] / "examples" / "five_joints.yaml"


def test_the_page_shows_the_example():
    page = (EXAMPLE.parents[1] / "docs" / "skeletons.md").read_text()
    shown = page.split("```yaml\n")[1].split("```")[0]
    assert EXAMPLE.read_text().endswith(shown)


def test_five_joints_from_training_to_prediction(command, tmp_path):
    own = tmp_path / "five.yaml"
    shutil.copy(EXAMPLE, own)
    learn = ["--synthetic", 4, "--batch-size", 2, "--workers", 0, "--steps", 1]
    learn += ["--val-scenes", 2, "--validations", 1]
    trained, searched, tuned = (tmp_path / name for name in ("train", "search", "tune"))

    outcome = command("train", "--space", "toy", "--skeleton", own, *learn, "--out", trained)
    assert outcome.code == 0, outcome.err
    assert "by their names these mirror each other: HandLeft and HandRight" in outcome.err

    # The weights carry the skeleton: its file is not needed any more.
    own.rename(tmp_path / "elsewhere.yaml")
    line = ["search", "--supernet", trained, "--budget", "1M", "--evaluations", 2]
    line += ["--scenes", 2, "--calibration-scenes", 2, "--out", searched]
    outcome = command(*line)
    assert outcome.code == 0, outcome.err
    tier = searched / "1M.yaml"
    assert yaml.safe_load(tier.read_text())["skeleton"]["joints"] == list(
        yaml.safe_load(EXAMPLE.read_text())["joints"]
    )

    # The same network, whether its skeleton comes with the tier or from the file.
    line = ["macs", "--space", "toy", "--arch", tier, "--json"]
    document = json.loads(command(*line).out)
    assert document == json.loads(command(*line, "--skeleton", tmp_path / "elsewhere.yaml").out)
    assert document["params"] == yaml.safe_load(tier.read_text())["costs"]["params"]
    assert document["params"] != json.loads(command(*line, "--skeleton", "crowdpose").out)["params"]

    outcome = command("finetune", tier, *learn, "--out", tuned)
    assert outcome.code == 0, outcome.err

    photos = tmp_path / "photos"
    line = ["data", "synth", photos, "--skeleton", tmp_path / "elsewhere.yaml", "--split", "val"]
    assert command(*line, "--count", 3).code == 0
    results = tmp_path / "results.json"
    line = ["eval", tuned / "1M.yaml", "--data", photos, "--results", results]
    outcome = command(*line, "--tags", "--json", "--scales", "0.5,1", "--flip")
    assert outcome.code == 0, outcome.err
    document = json.loads(outcome.out)
    assert (document["flip"], document["scales"]) == (True, [1.0, 0.5])
    assert document["tags"]["ap"] == document["scores"]["AP"]
    assert len(document["scores"]) == 10
    assert document["joints_not_scored"] == []
    assert "oracle_ap" in document["tags"]
    assert isinstance(json.loads(results.read_text()), list)
    refused = command(*line)
    assert (refused.code, "use --force" in refused.err) == (2, True)

    picture = photos / "images" / "val" / "000000.jpg"
    outcome = command("predict", tuned / "1M.yaml", picture, "--out", tmp_path / "seen")
    assert outcome.code == 0, outcome.err


def test_data_of_other_joints_trains_and_scores(command, tmp_path):
    photos = tmp_path / "photos"
    for split in ("train", "val"):
        line = ["data", "synth", photos, "--skeleton", "mpii", "--split", split]
        assert command(*line, "--count", 4, "--size", 64).code == 0
    line = ["train", "--space", "toy", "--arch", "smallest", "--data", photos, "--steps", 1]
    line += ["--batch-size", 2, "--workers", 0, "--validations", 1, "--out", tmp_path / "run"]
    refused = command(*line, "--skeleton", "coco")
    assert refused.code == 1
    assert "16 joints, skeleton 'coco' has 17" in refused.err
    assert "--data-skeleton" in refused.err
    outcome = command(*line, "--skeleton", "coco", "--data-skeleton", "mpii")
    assert outcome.code == 0, outcome.err

    tier = tmp_path / "run" / "smallest.yaml"
    line = ["eval", tier, "--data", photos, "--data-skeleton", "mpii"]
    outcome = command(*line)
    assert outcome.code == 0, outcome.err
    missing = "not scored, as the network has no such joint: pelvis, thorax, upper_neck, head_top"
    assert missing in outcome.out
    assert (
        " Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets= 20 ] = " in outcome.out
    )
    assert "| smallest | " in outcome.out
    for evaluator in ("pycocotools", "auto"):
        document = json.loads(command(*line, "--evaluator", evaluator, "--json").out)
        assert document["evaluator"] in ("pycocotools", "hotcoco")

    for wrong, expected in (
        (["--evaluator", "coco"], "unknown evaluator 'coco'"),
        (["--crowd-cuts", "0.8,0.2"], "must rise"),
        (["--crowd-cuts", "low"], "cannot read --crowd-cuts"),
        (["--scales", "0.5,2"], "1 must be among the scales"),
    ):
        outcome = command(*line, *wrong)
        assert (outcome.code, outcome.err.count("\n")) == (2, 1), outcome.err
        assert expected in outcome.err
    outcome = command("eval", tier, "--synthetic", 1, "--data-skeleton", "mpii")
    assert (outcome.code, "needs photographs" in outcome.err) == (2, True)


def test_painted_training_validates_on_data_of_other_joints(command, tmp_path):
    photos = tmp_path / "photos"
    line = ["data", "synth", photos, "--skeleton", "mpii", "--split", "val"]
    assert command(*line, "--count", 2, "--size", 64).code == 0
    line = ["train", "--space", "toy", "--arch", "smallest", "--synthetic", 2, "--steps", 1]
    line += ["--batch-size", 2, "--workers", 0, "--validations", 1, "--data-skeleton", "mpii"]
    outcome = command(*line, "--val", photos, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    refused = command(*line, "--out", tmp_path / "none")
    assert (refused.code, "needs photographs: give --data" in refused.err) == (2, True)
