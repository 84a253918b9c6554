"""What a training survives or refuses, as a user sees it: in one line, and what was good stays."""

import csv
import json
import sys

import pytest

from ofa_pose.supernet import load_weights
from ofa_pose.train import load_checkpoint

TRAIN = ["train", "--space", "toy", "--batch-size", 2, "--workers", 0]
SYNTHETIC = [*TRAIN, "--synthetic", 4, "--val-scenes", 2, "--set", "warmup_steps=0"]


def lines_of(text, label):
    """Return the messages of one kind on standard error."""
    return [line for line in text.splitlines() if line.startswith(f"ofa-pose: {label}: ")]


def test_divergence_keeps_the_last_good_checkpoint(command, tmp_path):
    """The learning rate leaps in the third step, after the first of three validations."""
    out = tmp_path / "run"
    line = [*SYNTHETIC, "--steps", 6, "--validations", 3, "--out", out]
    line += ["--set", "schedule=step", "--set", "milestones=[[2, 1e30]]"]
    outcome = command(*line)
    assert outcome.code == 1
    (told,) = lines_of(outcome.err, "error")
    assert f"the last good checkpoint is {out / 'checkpoint.pt'} (step 2)" in told
    state = load_checkpoint(out / "checkpoint.pt")
    assert all(bool(tensor.isfinite().all()) for tensor in state.model.values())
    weights, _ = load_weights(out / "best.safetensors")
    assert all(bool(tensor.isfinite().all()) for tensor in weights.values())
    again = command(*line, "--resume")
    assert (again.code, "(step 2)" in again.err) == (1, True)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size")
def test_a_full_disk_and_on_with_more_room(command, tmp_path, full_disk):
    out = tmp_path / "run"
    line = [*SYNTHETIC, "--steps", 4, "--validations", 2, "--out", out]
    with full_disk():
        outcome = command(*line)
    assert outcome.code == 1
    (told,) = lines_of(outcome.err, "error")
    assert f"cannot write {out}" in told
    again = command(*line, "--resume", "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["steps"] == 4


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(command, tmp_path):
    out = tmp_path / "run"
    line = [*SYNTHETIC, "--steps", 4, "--validations", 2, "--out", out]
    assert command(*line).code == 0
    whole = (out / "metrics.csv").read_bytes()
    newest = out / "checkpoint.pt"
    newest.write_bytes(newest.read_bytes()[:-500])
    outcome = command(*line, "--resume")
    assert outcome.code == 0, outcome.err
    (told,) = lines_of(outcome.err, "warning")
    assert f"{newest} is not a whole checkpoint" in told
    assert f"going on from the one before it, {out / 'checkpoint.previous.pt'}" in told
    assert (out / "metrics.csv").read_bytes() == whole
    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        (out / name).write_bytes(b"")
    outcome = command(*line, "--resume")
    assert outcome.code == 1
    (told,) = lines_of(outcome.err, "error")
    assert told.endswith("--force starts the run anew")


@pytest.mark.parametrize("verb", ["train", "finetune"])
def test_a_data_set_that_was_changed(command, tmp_path, verb):
    folder, out = tmp_path / "people", tmp_path / "run"
    assert command("data", "synth", folder, "--count", 4, "--size", 64).code == 0
    line = [*TRAIN, "--data", folder, "--steps", 1, "--out", out]
    if verb == "finetune":
        plain = [*TRAIN, "--arch", "smallest", "--synthetic", 2, "--steps", 1]
        assert command(*plain, "--out", tmp_path / "plain").code == 0
        line = ["finetune", tmp_path / "plain" / "smallest.yaml", *line[3:]]
    assert command(*line).code == 0
    path = folder / "annotations" / "train.json"
    document = json.loads(path.read_text())
    document["annotations"][0]["keypoints"][0] += 1
    path.write_text(json.dumps(document))
    outcome = command(*line, "--resume")
    assert outcome.code == 2, outcome.err
    (told,) = lines_of(outcome.err, "error")
    assert "pictures.train was '" in told
    assert "give the same values or another folder" in told


def test_rows_are_those_of_the_steps(command, tmp_path):
    """A run of no more than a step has its row, and validations beyond its steps are left out."""
    out = tmp_path / "run"
    line = [*SYNTHETIC, "--steps", 1, "--validations", 5, "--out", out]
    assert command(*line).code == 0
    with (out / "metrics.csv").open(newline="") as stream:
        assert [row["step"] for row in csv.DictReader(stream)] == ["1"]
