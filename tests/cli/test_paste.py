"""`--paste`: people painted into a training's photographs, saved with the run."""

import csv

import pytest
import yaml

TRAIN = ["train", "--space", "toy", "--arch", "smallest", "--batch-size", 2, "--workers", 0]


@pytest.fixture
def photos(command, tmp_path):
    """A data set of a few small pictures."""
    folder = tmp_path / "photos"
    assert command("data", "synth", folder, "--count", 6, "--size", 64).code == 0
    return folder


def losses(folder):
    with (folder / "metrics.csv").open(newline="") as stream:
        return [row["loss"] for row in csv.DictReader(stream) if row["loss"]]


def test_painted_people_are_part_of_the_run(command, photos, tmp_path):
    line = [*TRAIN, "--data", photos, "--steps", 2]
    runs = {}
    for share in (None, 1):
        runs[share] = tmp_path / f"run-{share}"
        paste = [] if share is None else ["--paste", share]
        outcome = command(*line, *paste, "--out", runs[share])
        assert outcome.code == 0, outcome.err
        config = yaml.safe_load((runs[share] / "config.yaml").read_text())
        assert config.get("paste") == share
    assert losses(runs[None]) != losses(runs[1])
    refused = command(*line, "--paste", 0.25, "--out", runs[1], "--resume")
    assert refused.code == 2
    assert "paste" in refused.err
    assert command(*line, "--paste", 1, "--out", runs[1], "--resume").code == 0
    tier = runs[1] / "smallest.yaml"
    out = tmp_path / "tuned"
    tuned = ["finetune", tier, "--data", photos, "--steps", 1, "--batch-size", 2, "--workers", 0]
    assert command(*tuned, "--paste", 1, "--mosaic", 2, "--canvas", 64, "--out", out).code == 0
    assert yaml.safe_load((out / "config.yaml").read_text())["paste"] == 1


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--paste", 1.5, "--data", "photos"], "--paste lies above 0 and is at most 1, got 1.5"),
        (["--paste", 0, "--data", "photos"], "--paste lies above 0"),
        (["--paste", "nan", "--data", "photos"], "--paste lies above 0"),
        (["--paste", 0.5, "--synthetic", 4], "into photographs: give --data"),
        (["--paste", "half", "--data", "photos"], "'--paste': Input should be a valid number"),
    ],
)
def test_what_makes_no_sense_is_refused(command, given, told):
    outcome = command(*TRAIN, "--steps", 1, *given)
    assert outcome.code == 2
    assert told in outcome.err
    assert "Traceback" not in outcome.err


def test_a_skeleton_that_figures_do_not_know(command, photos, tmp_path):
    own = {"format": 1, "name": "tails", "joints": {"top_head": 0.1, "tail_tip": 0.1}}
    (tmp_path / "tails.yaml").write_text(yaml.safe_dump(own))
    line = [*TRAIN, "--data", photos, "--skeleton", tmp_path / "tails.yaml", "--steps", 1]
    outcome = command(*line, "--data-skeleton", "crowdpose", "--paste", 1, "--out", tmp_path / "x")
    assert outcome.code == 2
    assert "figures have no tail_tip" in outcome.err
