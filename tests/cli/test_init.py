"""What a training starts from: files and folders, kept while they are read, not needed later."""

import json
import shlex
from pathlib import Path

import pytest
import yaml

from ofa_pose.cli._weights import supernet_path
from ofa_pose.cli.main import run
from ofa_pose.errors import TrainingDivergedError
from ofa_pose.supernet import load_weights, save_weights

TRAIN = ["train", "--space", "toy", "--synthetic", "4", "--batch-size", "2", "--workers", "0"]
SEARCH = ["search", "--evaluations", "2", "--scenes", "2", "--calibration-scenes", "2"]


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The folder of a supernet's training; no test changes it."""
    folder = tmp_path_factory.mktemp("first") / "run"
    line = [*TRAIN, "--steps", "1", "--val-scenes", "2", "--validations", "1"]
    assert run([*line, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def folder(first, tmp_path):
    """A copy of that folder."""
    copy = tmp_path / "first"
    copy.mkdir()
    for file in first.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", [[], ["--arch", "smallest"]], ids=["supernet", "network"])
def test_force_does_not_delete_what_it_starts_from(command, folder, kind):
    before = contents(folder)
    for init in (folder, folder / "best.safetensors"):
        outcome = command(
            *TRAIN, *kind, "--steps", 1, "--init", init, "--out", folder, "--force"
        )  # fmt: skip
        assert outcome.code == 2
        assert "--force would delete" in outcome.err
        assert "best.safetensors" in outcome.err
    assert contents(folder) == before


def test_force_does_not_delete_a_space_or_a_tier(command, folder, tmp_path):
    assert command("spaces", "cp", "toy", folder / "mine.yaml").code == 0
    line = [*TRAIN, "--steps", 1, "--space", folder / "mine.yaml", "--out", folder, "--force"]
    outcome = command(*line)
    assert (outcome.code, (folder / "mine.yaml").exists()) == (0, True), outcome.err
    out = tmp_path / "search"
    line = [*SEARCH, "--supernet", folder, "--budget", "1M", "--out", out]
    assert command(*line).code == 0
    before = contents(out)
    tier = next(path for path in out.glob("*.yaml") if path.name != "config.yaml")
    line = ["finetune", tier, "--synthetic", 2, "--steps", 1, "--out", out, "--force"]
    outcome = command(*line)
    assert (outcome.code, "another command does not replace" in outcome.err) == (2, True)
    assert contents(out) == before


@pytest.mark.parametrize("kind", [[], ["--arch", "smallest"]], ids=["supernet", "network"])
def test_resume_does_not_need_what_it_started_from(command, folder, tmp_path, kind):
    out = tmp_path / "run"
    line = [*TRAIN, *kind, "--steps", 1, "--init", folder, "--out", out]
    assert command(*line).code == 0
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert config["init"] == str(folder)
    for file in folder.iterdir():
        file.unlink()
    outcome = command(*line, "--resume")
    assert outcome.code == 0, outcome.err
    assert yaml.safe_load((out / "config.yaml").read_text()) == config
    (out / "checkpoint.pt").unlink()
    assert command(*line, "--resume").code == 0  # by the one before it
    for file in out.glob("checkpoint*"):
        file.unlink()
    outcome = command(*line, "--resume")
    assert outcome.code == 1
    assert "neither best.safetensors nor last.safetensors" in outcome.err


def test_resume_does_not_need_it_where_its_path_is_relative(command, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder.parent)
    line = [*TRAIN, "--steps", 1, "--init", folder.name, "--out", tmp_path / "run"]
    assert command(*line).code == 0
    folder.rename(tmp_path / "moved")
    outcome = command(*line, "--resume")
    assert outcome.code == 0, outcome.err


def test_resume_of_a_finetuning_needs_the_yaml_alone(command, folder, tmp_path):
    line = [*SEARCH, "--supernet", folder, "--budget", "0.25M", "--out", tmp_path / "search"]
    assert command(*line).code == 0
    tier, weights = (tmp_path / "search" / f"S.{ending}" for ending in ("yaml", "safetensors"))
    out = tmp_path / "run"
    line = ["finetune", tier, "--synthetic", 4, "--batch-size", 2, "--workers", 0, "--steps", 1,
            "--val-scenes", 2, "--out", out]  # fmt: skip
    assert command(*line).code == 0
    config, tuned = contents(out)["config.yaml"], load_weights(out / "S.safetensors")[0]
    weights.unlink()
    outcome = command(*line, "--resume")
    assert outcome.code == 0, outcome.err
    assert contents(out)["config.yaml"] == config
    for name, tensor in load_weights(out / "S.safetensors")[0].items():
        assert bool((tensor == tuned[name]).all()), name
    for file in out.glob("checkpoint*"):
        file.unlink()
    for extra in ([], ["--resume"]):
        outcome = command(*line[:-1], out if extra else tmp_path / "new", *extra)
        assert (outcome.code, outcome.err.count("\n")) == (1, 1), outcome.err
        assert f"the weights {weights} are missing" in outcome.err
    assert not (tmp_path / "new").exists()


def test_resume_from_other_weights_of_the_same_name(command, folder, tmp_path):
    line = [*TRAIN, "--steps", 1, "--init", folder / "best.safetensors", "--out", tmp_path / "run"]
    assert command(*line).code == 0
    state, metadata = load_weights(folder / "best.safetensors")
    save_weights(folder / "best.safetensors", state, metadata={**metadata, "step": "9"})
    outcome = command(*line, "--resume")
    assert outcome.code == 2
    assert "init_sha256 was" in outcome.err


def test_damaged_metadata_is_one_line(command, first, tmp_path):
    state, metadata = load_weights(first / "best.safetensors")
    path = tmp_path / "odd.safetensors"
    save_weights(path, state, metadata={**metadata, "options": "{odd"})
    junk = tmp_path / "junk.pth"
    junk.write_bytes(b"h\x05.")
    for line in (
        [*SEARCH, "--supernet", path],
        [*TRAIN, "--steps", 1, "--init", path],
        [*TRAIN, "--steps", 1, "--init", junk],
    ):
        outcome = command(*line, "--out", tmp_path / "run")
        assert (outcome.code, outcome.err.count("\n")) == (1, 1), outcome.err
        assert "damaged" in outcome.err
        assert "bug" not in outcome.err


def three_joints(path: Path, sigma: float) -> Path:
    content = {
        "format": 1,
        "name": "mine",
        "joints": {"head": sigma, "left": 0.2, "right": 0.2},
        "flip": [["left", "right"]],
    }
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_skeleton_of_ones_own(command, tmp_path):
    own = three_joints(tmp_path / "own.yaml", 0.1)
    assert command("data", "synth", tmp_path / "x", "--count", 1).code == 0
    annotations = tmp_path / "x" / "annotations" / "train.json"
    document = json.loads(annotations.read_text())
    document["categories"][0]["keypoints"] = ["head", "left", "right"]
    for annotation in document["annotations"]:
        annotation["keypoints"] = annotation["keypoints"][:9]
        annotation["num_keypoints"] = sum(v > 0 for v in annotation["keypoints"][2::3])
    annotations.write_text(json.dumps(document))
    data = ["--data", tmp_path / "x", "--workers", 0, "--batch-size", 1, "--steps", 1]
    line = ["train", "--space", "toy", *data, "--skeleton"]
    outcome = command(*line, own, "--out", tmp_path / "a")
    assert outcome.code == 0, outcome.err
    own.unlink()
    weights = tmp_path / "a" / "last.safetensors"
    from ofa_pose.cli._weights import origin_of

    assert origin_of(weights)["skeleton"].joints == ("head", "left", "right")
    # The same joints of other sigmas are the same to the weights.
    other = three_joints(tmp_path / "other.yaml", 0.3)
    outcome = command(*line, other, "--init", weights, "--out", tmp_path / "b")
    assert outcome.code == 0, outcome.err
    assert "anew" not in outcome.err


@pytest.mark.parametrize("kind", [[], ["--arch", "largest"]], ids=["supernet", "network"])
def test_weights_of_other_joints_give_all_but_the_heads(command, tmp_path, kind):
    line = [*TRAIN, *kind, "--steps", 1, "--set", "lr=1e-30", "--val-scenes", 1, "--validations", 1]
    assert command(*line, "--skeleton", "coco", "--out", tmp_path / "coco").code == 0
    line = [*line, "--skeleton", "crowdpose", "--seed", 5]
    assert command(*line, "--out", tmp_path / "plain").code == 0
    init = tmp_path / "coco" / "last.safetensors"
    inits = [init] if not kind else [init, next((tmp_path / "coco").glob("largest.yaml"))]
    for number, init in enumerate(inits):
        out = tmp_path / f"run{number}"
        outcome = command(*line, "--ordering", "none", "--init", init, "--out", out)
        assert outcome.code == 0, outcome.err
        told = [text for text in outcome.err.splitlines() if "start anew" in text]
        assert len(told) == 1
        assert "with skeleton 'coco', not 'crowdpose': head1 and head2 start anew" in told[0]
        coco, plain, mixed = (
            load_weights(tmp_path / run / "last.safetensors")[0] for run in ("coco", "plain", out)
        )
        for name, tensor in mixed.items():
            if "running" in name or "num_batches" in name:
                continue  # a step of training moves them
            origin = plain if "head1." in name or "head2." in name else coco
            assert bool(((tensor - origin[name]).abs() < 1e-20).all()), name


def test_force_does_not_delete_the_supernet_that_is_searched(command, folder):
    before = contents(folder)
    outcome = command(*SEARCH, "--supernet", folder, "--budget", "1M", "--out", folder, "--force")
    assert (outcome.code, "another command does not replace" in outcome.err) == (2, True)
    assert contents(folder) == before


def test_weights_in_the_box_have_names(command, tmp_path):
    out = tmp_path / "run"
    line = ["train", "--space", "litepose-lite0", "--synthetic", 2, "--batch-size", 1, "--steps", 1]
    line += ["--workers", 0, "--val-scenes", 2, "--validations", 1, "--set", "resolutions=[128]"]
    outcome = command(*line, "--init", "litepose-lite0-starter", "--out", out)
    assert outcome.code == 0, outcome.err


def test_a_file_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inside = supernet_path(Path("litepose-lite0-starter"))
    assert inside.suffix == ".safetensors"
    Path("litepose-lite0-starter").write_bytes(b"mine")
    assert supernet_path(Path("litepose-lite0-starter")) == Path("litepose-lite0-starter")


@pytest.mark.parametrize(
    "verb",
    [["train", "--synthetic", "2", "--steps", "1", "--init"], ["search", "--supernet"]],
    ids=["init", "supernet"],
)
def test_a_wrong_name_is_told_the_right_ones(command, verb, tmp_path):
    space = ["--space", "litepose-lite0"]
    outcome = command(*verb, "litepose-lite0-stater", *space, "--out", tmp_path / "run")
    assert outcome.code in (1, 2)
    assert "litepose-lite0-stater" in outcome.err
    assert "litepose-lite0-starter" in outcome.err


@pytest.mark.parametrize("kind", [[], ["--arch", "smallest"]], ids=["supernet", "network"])
def test_a_training_starts_from_a_checkpoint(command, tmp_path, kind):
    line = [*TRAIN, *kind, "--steps", 1]
    assert command(*line, "--out", tmp_path / "a").code == 0
    trained = load_weights(tmp_path / "a" / "last.safetensors")[0]
    (tmp_path / "a" / "last.safetensors").unlink()
    checkpoint = tmp_path / "a" / "checkpoint.pt"
    for number, init in enumerate((checkpoint, tmp_path / "a")):
        out = tmp_path / f"b{number}"
        few = ["--set", "lr=1e-30", "--init", init, "--ordering", "none", "--out", out]
        outcome = command(*line, "--seed", 7, *few)
        assert outcome.code == 0, outcome.err
        assert yaml.safe_load((out / "config.yaml").read_text())["init"] == str(init)
        found = load_weights(out / "last.safetensors")[0]
        assert found.keys() == trained.keys()
        for name, tensor in found.items():
            if "running" not in name and "num_batches" not in name:
                assert bool(((tensor - trained[name]).abs() < 1e-20).all()), name
    outcome = command(*line, "--init", tmp_path / "a", "--out", tmp_path / "a", "--force")
    assert (outcome.code, "--force would delete" in outcome.err) == (2, True)
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)
    outcome = command(*line, "--init", checkpoint, "--out", tmp_path / "c")
    assert (outcome.code, outcome.err.count("\n")) == (1, 1), outcome.err


def test_a_checkpoint_of_another_space_or_joints(command, tmp_path):
    line = [*TRAIN, "--steps", 1]
    assert command(*line, "--skeleton", "coco", "--out", tmp_path / "coco").code == 0
    init = tmp_path / "coco" / "checkpoint.pt"
    outcome = command(*line, "--skeleton", "crowdpose", "--init", init, "--out", tmp_path / "b")
    assert outcome.code == 0, outcome.err
    assert "with skeleton 'coco', not 'crowdpose': head1 and head2 start anew" in outcome.err
    outcome = command(*line, "--space", "litepose-xs", "--init", init, "--out", tmp_path / "c")
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)
    assert "checkpoint.pt was trained on space 'toy'" in outcome.err


def test_after_a_divergence_the_command_that_is_told_goes_on(command, tmp_path, monkeypatch):
    from ofa_pose.train.step import Learner

    stepped = Learner.step

    def diverging(self, batch, *, step: int, rate: float):
        if step == 3:
            raise TrainingDivergedError("the loss became nan in step 4")
        return stepped(self, batch, step=step, rate=rate)

    line = [*TRAIN, "--steps", 6, "--checkpoint-minutes", 0, "--val-scenes", 1]
    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", diverging)
        outcome = command(*line, "--out", tmp_path / "a")
    assert outcome.code == 1
    told = outcome.err.splitlines()[-1]
    assert f"{tmp_path / 'a' / 'checkpoint.previous.pt'} (step 2)" in told
    words = shlex.split(told.partition("starts anew: ofa-pose ")[2].partition(";")[0])
    words[words.index("ANOTHER")] = str(tmp_path / "b")
    scenes = ["--synthetic", 4, "--batch-size", 2, "--workers", 0, "--steps", 1]
    outcome = command(*words, *scenes, "--set", "lr=1e-5")
    assert outcome.code == 0, outcome.err
