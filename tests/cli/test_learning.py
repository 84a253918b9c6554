"""Pre-training, teachers, controls and several processes, from the command line."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from ofa_pose.supernet import load_weights

SCENES = ["--synthetic", 4, "--batch-size", 2, "--workers", 0, "--val-scenes", 2]


@pytest.fixture
def tiers(command, tmp_path):
    """Two trained networks of the toy space: the smallest and the largest."""
    found = {}
    for arch in ("smallest", "largest"):
        out = tmp_path / arch
        line = ["train", "--space", "toy", "--arch", arch, *SCENES, "--steps", 1, "--out", out]
        assert command(*line).code == 0
        found[arch] = out / f"{arch}.yaml"
    return found


def config(folder: Path) -> dict:
    return yaml.safe_load((folder / "config.yaml").read_text())


def columns(folder: Path) -> list[str]:
    return (folder / "metrics.csv").read_text().splitlines()[0].split(",")


@pytest.fixture
def photographs(command, tmp_path):
    """A folder with four pictures of split `train`."""
    folder = tmp_path / "photographs"
    assert command("data", "synth", folder, "--count", 4, "--size", 64).code == 0
    return folder


STEP = ["train", "--space", "toy", "--arch", "smallest", "--steps", 1, "--batch-size", 2]
STEP += ["--workers", 0, "--validations", 1]


@pytest.mark.parametrize("made", [[], ["--mosaic", 2], ["--synthetic", 2, "--paste", 1]])
def test_validating_on_pictures_that_are_learnt_from_is_told(command, tmp_path, photographs, made):
    line = [*STEP, "--data", photographs, *made, "--out", tmp_path / "run"]
    outcome = command(*line, "--val", photographs / "annotations" / "train.json")
    assert outcome.code == 0, outcome.err
    told = f"4 of the pictures that validate are learnt from as well, such as {photographs}/"
    assert outcome.err.count(told) == 1


def test_validating_on_other_pictures_is_not_told(command, tmp_path, photographs):
    line = ["data", "synth", photographs, "--count", 2, "--size", 64, "--split", "val"]
    assert command(*line).code == 0
    outcome = command(*STEP, "--data", photographs, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert "learnt from" not in outcome.err


def test_the_next_search_is_told_what_the_pictures_need(command, tmp_path):
    """And is sent to no pictures that the weights have learnt."""
    photos = tmp_path / "photos"
    for split in ("train", "val"):
        line = ["data", "synth", photos, "--skeleton", "coco", "--count", 2, "--size", 64]
        assert command(*line, "--split", split).code == 0
    line = ["train", "--space", "toy", "--skeleton", "crowdpose", "--data-skeleton", "coco"]
    line += ["--steps", 1, "--batch-size", 2, "--workers", 0]
    learnt = photos / "annotations" / "train.json"
    for data, told in ((photos, [str(photos), "--data-skeleton", "coco"]), (learnt, ["FOLDER"])):
        run = tmp_path / f"of-{data.name}"
        outcome = command(*line, "--data", data, "--out", run)
        assert outcome.code == 0, outcome.err
        _, _, hint = outcome.out.partition("next: ofa-pose search --supernet ")
        weights, *words = hint.split()
        assert weights.startswith(str(run))
        assert words == ["--data", *told]


def test_checkpoints_are_as_frequent_as_asked_for(command, tmp_path, photographs):
    line = ["train", "--space", "toy", "--arch", "smallest", "--data", photographs, "--steps", 3]
    line += ["--batch-size", 2, "--workers", 0]
    assert command(*line, "--out", tmp_path / "rare").code == 0
    assert not (tmp_path / "rare" / "checkpoint.previous.pt").exists()  # it saved at the end alone
    often = [*line, "--checkpoint-minutes", 0, "--out", tmp_path / "often"]
    assert command(*often).code == 0
    assert (tmp_path / "often" / "checkpoint.previous.pt").exists()
    assert command(*line, "--out", tmp_path / "often", "--resume").code == 0  # at another pace
    refused = command(*line, "--checkpoint-minutes", "nan", "--out", tmp_path / "none")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert not (tmp_path / "none").exists()


def test_the_command_told_next_names_the_data_set(command, tmp_path):
    data = tmp_path / "my data"
    for split in ("train", "val"):
        line = ["data", "synth", data, "--count", 2, "--size", 64, "--split", split]
        assert command(*line).code == 0
    line = ["train", "--space", "toy", "--data", data, "--batch-size", 2, "--workers", 0]
    line += ["--steps", 1, "--set", "warmup_steps=0"]
    alone = command(*line, "--arch", "smallest", "--out", tmp_path / "alone")
    tier = tmp_path / "alone" / "smallest.yaml"
    assert f"next: ofa-pose eval {tier} --data '{data}'" in alone.out, alone.err
    first = command(*line, "--stage", "pretrain", "--out", tmp_path / "first")
    told = f"next: ofa-pose train --space toy --init {tmp_path / 'first'} --data '{data}'"
    assert told in first.out, first.err


def test_pretrained_network_starts_a_supernet(command, tmp_path):
    """The largest network, heatmaps only; then the supernet, with the channels sorted or not."""
    first = tmp_path / "pretrained"
    line = ["train", "--space", "toy", *SCENES, "--steps", 2]
    outcome = command(*line, "--stage", "pretrain", "--out", first)
    assert outcome.code == 0
    assert f"next: ofa-pose train --space toy --init {first} --data FOLDER" in outcome.out
    assert config(first)["recipe"]["tags"] is False
    assert config(first)["arch"]["resolution"] == 48
    assert not (first / "best.safetensors").exists()  # AP says nothing before there are tags
    states = {}
    for ordering in ("l1", "bn", "none"):
        out = tmp_path / ordering
        line = ["train", "--space", "toy", *SCENES, "--steps", 1, "--set", "lr=1e-30"]
        line += ["--init", first, "--ordering", ordering, "--out", out]
        assert command(*line).code == 0
        states[ordering], _ = load_weights(out / "last.safetensors")
    start, _ = load_weights(first / "last.safetensors")
    name = next(name for name in start if name.endswith("weight") and start[name].ndim == 4)
    assert torch.equal(states["none"][f"network.{name}"], start[name])
    assert not all(torch.equal(states["l1"][f"network.{n}"], start[n]) for n in start)
    assert not all(torch.equal(states["bn"][n], states["l1"][n]) for n in states["l1"])


def test_the_next_command_keeps_the_skeleton(command, tmp_path):
    """Without it the supernet would have the space's joints, and heads that start anew."""
    line = ["train", "--space", "toy", *SCENES, "--steps", 1, "--skeleton", "coco"]
    outcome = command(*line, "--stage", "pretrain", "--out", tmp_path / "first")
    assert outcome.code == 0, outcome.err
    assert "next: ofa-pose train --space toy --skeleton coco --init " in outcome.out


@pytest.mark.parametrize("sampler", ["sandwich", "fair"])
def test_samplers_by_name(command, tmp_path, sampler):
    line = ["train", "--space", "toy", *SCENES, "--steps", 2, "--set", f"sampler={sampler}"]
    assert command(*line, "--out", tmp_path / "run").code == 0
    assert ("distilled" in columns(tmp_path / "run")) == (sampler == "sandwich")


def test_settings_with_the_recipes_name_in_front(command, tmp_path):
    line = ["train", "--space", "toy", *SCENES, "--steps", 1, "--set", "train.lr=4e-3"]
    line += ["--set", "supernet.augmentation.rotation=5", "--set", "augmentation.flip=0"]
    line += ["--set", "train.reference_resolution=null"]
    outcome = command(*line, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    recipe = config(tmp_path / "run")["recipe"]
    assert (recipe["lr"], recipe["reference_resolution"]) == (4e-3, None)
    assert (recipe["augmentation"]["rotation"], recipe["augmentation"]["flip"]) == (5, 0)


def test_unknown_sampler(command, tmp_path):
    line = ["train", "--space", "toy", *SCENES, "--steps", 1, "--set", "sampler=sandwitch"]
    outcome = command(*line, "--out", tmp_path / "run")
    assert outcome.code == 2
    assert "'uniform', 'sandwich' or 'fair', not 'sandwitch'" in outcome.err


def test_teacher(command, tiers, tmp_path):
    out = tmp_path / "tuned"
    line = ["finetune", tiers["smallest"], *SCENES, "--steps", 2, "--out", out]
    assert command(*line, "--teacher", tiers["largest"]).code == 0
    assert "distilled" in columns(out)
    outcome = command(*line, "--teacher", tiers["smallest"], "--resume")
    assert outcome.code == 2
    assert "teacher_sha256 was" in outcome.err


def test_teacher_of_another_skeleton(command, tiers, tmp_path):
    other = tmp_path / "coco"
    line = ["train", "--space", "toy", "--arch", "largest", "--skeleton", "coco", *SCENES]
    assert command(*line, "--steps", 1, "--out", other).code == 0
    line = ["finetune", tiers["smallest"], *SCENES, "--steps", 1, "--out", tmp_path / "tuned"]
    outcome = command(*line, "--teacher", other / "largest.yaml")
    assert outcome.code == 1
    assert "the teacher" in outcome.err
    assert "coco" in outcome.err
    assert not (tmp_path / "tuned").exists()


def test_from_scratch(command, tiers, tmp_path):
    """The control: same network, random weights, no score of the inherited ones."""
    out = tmp_path / "scratch"
    line = ["finetune", tiers["smallest"], *SCENES, "--steps", 1, "--set", "lr=1e-30"]
    assert command(*line, "--from-scratch", "--out", out, "--seed", 5).code == 0
    inherited, _ = load_weights(tiers["smallest"].with_suffix(".safetensors"))
    scratch, _ = load_weights(out / "smallest.safetensors")
    name = next(name for name in scratch if name.endswith("weight") and scratch[name].ndim == 4)
    assert not torch.allclose(scratch[name].float(), inherited[name].float(), atol=1e-3)


def test_what_would_be_ignored_is_refused(command, tiers, tmp_path):
    line = ["finetune", tiers["smallest"], *SCENES, "--steps", 1, "--out", tmp_path / "tuned"]
    outcome = command(*line, "--set", "distillation=0.5")
    assert (outcome.code, "finetune --teacher" in outcome.err) == (2, True)
    line = ["train", "--space", "toy", *SCENES, "--steps", 1, "--out", tmp_path / "tuned"]
    outcome = command(*line, "--stage", "finetune")
    assert (outcome.code, "give --arch" in outcome.err) == (2, True)
    outcome = command(*line, "--set", "accumulate=2", "--batch-size", 3)
    assert (outcome.code, "does not divide into 2 parts" in outcome.err) == (2, True)
    assert not (tmp_path / "tuned").exists()


@pytest.mark.parametrize(
    ("setting", "of_one_network"),
    [
        ("sampler=sandwich", True),
        ("resolutions=[48]", True),
        ("sandwich_random=1", False),
        ("distillation=2", False),
    ],
)
def test_settings_that_nothing_uses(command, tmp_path, setting, of_one_network):
    line = ["train", "--space", "toy", *SCENES, "--steps", 1, "--out", tmp_path / "run"]
    line += ["--arch", "smallest", "--stage", "finetune"] if of_one_network else []
    outcome = command(*line, "--set", setting)
    assert (outcome.code, "would change nothing" in outcome.err) == (2, True)
    assert not (tmp_path / "run").exists()
    if not of_one_network:  # these a sandwich uses
        assert command(*line, "--set", setting, "--set", "sampler=sandwich").code == 0


def test_few_resolutions_at_first(command, tmp_path):
    line = ["train", "--space", "toy", *SCENES, "--steps", 3, "--out", tmp_path / "run"]
    outcome = command(*line, "--set", "resolutions=[33]")
    assert (outcome.code, "no 33; it has 48, 32" in outcome.err) == (2, True)
    assert not (tmp_path / "run").exists()
    assert command(*line, "--set", "resolutions=[32]").code == 0
    assert config(tmp_path / "run")["recipe"]["resolutions"] == [32]


def test_a_supernet_is_not_compiled(command, tmp_path):
    line = ["train", "--space", "toy", *SCENES, "--steps", 1, "--out", tmp_path / "run"]
    outcome = command(*line, "--compile")
    assert (outcome.code, "--compile is for one network" in outcome.err) == (2, True)


def compiled(out: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Train a compiled network, in a process of its own: torch warns of itself on the way."""
    line = [sys.executable, "-m", "ofa_pose", "train", "--space", "toy", "--arch", "smallest"]
    line += [*map(str, SCENES), "--steps", "2", "--set", "warmup_steps=0"]
    line += ["--compile", "--out", str(out)]
    return subprocess.run(
        line, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_a_compiled_network_learns_the_same(command, tmp_path):
    """A minute on an idle machine, nearly all of it compiling."""
    line = ["train", "--space", "toy", "--arch", "smallest", *SCENES, "--steps", 2]
    line += ["--set", "warmup_steps=0"]
    assert command(*line, "--out", tmp_path / "plain").code == 0
    done = compiled(tmp_path / "compiled")
    assert done.returncode == 0, done.stderr
    losses = []
    for name in ("plain", "compiled"):
        with (tmp_path / name / "metrics.csv").open(newline="") as stream:
            losses.append([float(row["loss"]) for row in csv.DictReader(stream)])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.slow
def test_without_a_compiler(tmp_path):
    done = compiled(tmp_path / "run", CXX="no-such-compiler")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "--compile does not work here" in done.stderr
    assert done.stderr.endswith("leave it out\n")


@pytest.mark.slow
def test_two_processes(tmp_path):
    """Under torchrun one process writes and speaks, and both obey."""
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    line += ["-m", "ofa_pose", "train", "--space", "toy", "--synthetic", "4", "--steps", "3"]
    line += ["--workers", "0", "--out", str(tmp_path / "run"), "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*line, "--batch-size", "2"], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 3
    uneven = [*line[:-2], str(tmp_path / "other"), "--batch-size", "3"]
    done = subprocess.run(uneven, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode != 0
    assert "a batch of 3 does not divide among 2 processes" in done.stderr
    ours = [line for line in done.stderr.splitlines() if line.startswith("ofa-pose")]
    assert len(ours) == 2  # each process says it, the second one with its number
