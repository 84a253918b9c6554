"""Checkpoints that cannot be written, or are none, and the one that is kept for that case."""

import json
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ofa_pose
from ofa_pose.errors import OfaPoseError, RunFolderError, WeightsError
from ofa_pose.skeleton import load_skeleton
from ofa_pose.supernet import load_weights
from ofa_pose.train.checkpoint import (
    Checkpoint,
    DamagedCheckpointError,
    TrainState,
    check_identity,
    describe,
    is_checkpoint,
    load_checkpoint,
    load_model,
    load_newest,
    save_checkpoint,
)

Limit = Callable[[], AbstractContextManager[None]]


def save(path: Path, *steps: int) -> None:
    """Save one small checkpoint after another."""
    for step in steps:
        weights = torch.arange(512.0) + step
        save_checkpoint(path, Checkpoint({"seed": 3}, TrainState(step=step), {"w": weights}, {}))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def rot(path: Path) -> None:
    """Flip one bit of the weights, as a failing disk does."""
    content = bytearray(path.read_bytes())
    content[content.index(torch.tensor([200.0, 201.0]).numpy().tobytes())] ^= 1
    path.write_bytes(content)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.pt"


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.previous.pt"


def test_the_last_one_before_is_kept(path: Path, previous: Path):
    save(path, 1)
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint.pt"]
    save(path, 2, 3)
    assert sorted(file.name for file in path.parent.iterdir()) == [previous.name, path.name]
    assert load_checkpoint(previous).state.step == 2
    newest, file = load_newest(path)
    assert (newest.state.step, file) == (3, path)


def test_it_says_what_wrote_it(path: Path):
    save(path, 1)
    content = torch.load(path, weights_only=True)
    assert (content["format"], content["version"]) == (2, ofa_pose.__version__)
    assert len(content["sha256"]) == 64
    torch.save({**content, "format": 3, "version": "9.9"}, path)
    with pytest.raises(DamagedCheckpointError):  # for the hash covers the format, too
        load_checkpoint(path)


def test_another_format_is_refused_not_skipped(path: Path, monkeypatch: pytest.MonkeyPatch):
    save(path, 1)
    with monkeypatch.context() as patch:
        patch.setattr("ofa_pose.train.checkpoint.FORMAT", 77)
        save(path, 2)
    message = r"of format 77, written by ofa_pose [\d.]+; this version reads format 2"
    with pytest.raises(WeightsError, match=message) as caught:
        load_newest(path)
    assert not isinstance(caught.value, DamagedCheckpointError)


def test_a_checkpoint_without_a_hash(path: Path):
    save(path, 1)
    content = torch.load(path, weights_only=True)
    del content["sha256"]
    torch.save(content, path)
    with pytest.raises(DamagedCheckpointError):
        load_checkpoint(path)
    del content["version"]
    torch.save({**content, "format": 1}, path)
    with pytest.raises(WeightsError, match="of format 1, written by ofa_pose in an unknown vers"):
        load_checkpoint(path)


@pytest.mark.parametrize("damage", [cut, rot, lambda path: path.write_bytes(b"")])
def test_a_damaged_one_is_named_and_skipped(
    damage: Callable[[Path], None], path: Path, previous: Path, caplog: pytest.LogCaptureFixture
):
    save(path, 1, 2)
    damage(path)
    with pytest.raises(DamagedCheckpointError, match=r"checkpoint\.pt is (damaged|not a whole)"):
        load_checkpoint(path)
    found, file = load_newest(path)
    assert (found.state.step, file) == (1, previous)
    (told,) = caplog.messages
    assert told.startswith(f"{path} is ")
    assert told.endswith(f"; going on from the one before it, {previous}")
    assert "\n" not in told
    assert describe(path) == f"the last good checkpoint is {previous} (step 1)"


def test_a_kill_between_the_two_renames(
    path: Path, previous: Path, caplog: pytest.LogCaptureFixture
):
    save(path, 1)
    path.rename(previous)
    found, file = load_newest(path)
    assert (found.state.step, file) == (1, previous)
    assert caplog.messages == [f"{path} is gone; going on from the one before it, {previous}"]


def test_both_damaged(path: Path, previous: Path):
    save(path, 1, 2)
    rot(path)
    cut(previous)
    with pytest.raises(DamagedCheckpointError) as caught:
        load_newest(path)
    message = str(caught.value)
    assert message.startswith(f"{path} is damaged (its content has another SHA-256) and {previous}")
    assert message.endswith("; --force starts the run anew")
    assert "\n" not in message
    assert describe(path) == message


def test_the_only_one_damaged(path: Path):
    save(path, 1)
    rot(path)
    with pytest.raises(DamagedCheckpointError, match="there is no other; --force starts"):
        load_newest(path)


def test_no_flipped_bit_goes_unnoticed(path: Path):
    """Either the content is the same (a bit between the zip's records), or it is refused."""
    save(path, 1)
    whole, expected = path.read_bytes(), torch.arange(512.0) + 1
    rng, refused = random.Random(1), 0
    for _ in range(40):
        content = bytearray(whole)
        content[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        try:
            found = load_checkpoint(path)
        except DamagedCheckpointError:
            refused += 1
        else:
            assert (found.identity, found.state) == ({"seed": 3}, TrainState(step=1))
            assert torch.equal(found.model["w"], expected)
    assert refused > 10


def test_a_full_disk_is_one_clear_line_and_spares_the_old_ones(
    path: Path, previous: Path, full_disk: Limit
):
    save(path, 1, 2)
    message = r"cannot write .*checkpoint\.pt; is the disk full\?"
    with full_disk(), pytest.raises(OfaPoseError, match=message):
        save_checkpoint(path, Checkpoint({}, TrainState(), {"w": torch.zeros(10_000)}, {}))
    assert sorted(file.name for file in path.parent.iterdir()) == [previous.name, path.name]
    assert [load_checkpoint(file).state.step for file in (previous, path)] == [1, 2]


def test_what_is_no_fault_of_the_disk_is_not_called_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    def save(*_: object) -> None:  # torch raises it wherever the process is when a worker dies
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated.")

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(RuntimeError, match="worker .pid 7. is killed"):
        save_checkpoint(path, Checkpoint({}, TrainState(), {}, {}))


@pytest.mark.parametrize("junk", [b"h\x05\x2e", b"junk", b"\x80\x02}q\x00.", b"["])
def test_junk(tmp_path: Path, junk: bytes):
    (tmp_path / "checkpoint.pt").write_bytes(junk)
    with pytest.raises(WeightsError, match="is not a whole checkpoint"):
        load_checkpoint(tmp_path / "checkpoint.pt")


def test_another_skeleton_of_the_same_name():
    now = {"options": {"skeleton": "mine"}, "skeleton_declaration": {"sigmas": [0.1]}, "seed": 1}
    check_identity("c", found=now, now=now)
    found = {**now, "skeleton_declaration": {"sigmas": [0.2]}}
    with pytest.raises(WeightsError, match="another model: the skeleton is declared otherwise"):
        check_identity("c", found=found, now=now)


def test_another_run_of_the_same_model():
    with pytest.raises(RunFolderError, match="seed was 1 and is now 2; give the same values"):
        check_identity("c", found={"seed": 1, "arch": "a"}, now={"seed": 2, "arch": "a"})


def test_what_could_not_be_read_again_is_not_written(path: Path):
    save(path, 1)
    state = TrainState(step=2)
    with pytest.raises(OfaPoseError, match=r"learner\.path is a pathlib\..*which a checkpoint can"):
        save_checkpoint(path, Checkpoint({}, state, {}, {"path": Path("x")}))
    assert load_checkpoint(path).state.step == 1


def test_numbers_of_numpy_are_saved_as_plain_ones(path: Path):
    state = TrainState(step=2, best=np.float64(0.5))
    save_checkpoint(path, Checkpoint({"seed": np.int64(3)}, state, {}, {}))
    found = load_checkpoint(path)
    assert (found.identity, found.state.best) == ({"seed": 3}, 0.5)


def test_of_the_weights_that_gave_a_nan_the_checkpoint_before_is_good(path: Path, previous: Path):
    save(path, 4)
    assert describe(path, diverged_after=5) == f"the last good checkpoint is {path} (step 4)"
    assert describe(path, diverged_after=4) == (
        f"the only checkpoint, {path} (step 4), holds the weights that gave it, so begin again"
    )
    save(path, 5)
    assert describe(path, diverged_after=5) == f"the last good checkpoint is {previous} (step 4)"
    assert describe(path, diverged_after=6) == f"the last good checkpoint is {path} (step 5)"


def test_how_to_train_on_from_it_is_told(path: Path):
    toy = ofa_pose.load_space("toy")
    identity = {"space": "toy", "space_hash": toy.hash}
    save_checkpoint(path, Checkpoint(identity, TrainState(step=1), {}, {}))
    start = f"{path} (step 1), from which this starts anew: ofa-pose train --space"
    assert describe(path).endswith(f"{start} toy --init {path} --out ANOTHER")
    identity = {"space": "toy", "space_hash": "of mine", "arch": {"resolution": 48, "stem": 4}}
    save_checkpoint(path, Checkpoint(identity, TrainState(step=1), {}, {}))
    assert describe(path).endswith(f"{start} FILE --arch 48-4 --init {path} --out ANOTHER")


@pytest.mark.parametrize(
    ("space", "skeleton", "told"),
    [
        ("toy", "crowdpose", ""),
        ("toy", "coco", " --skeleton coco"),
        ("toy", "five", " --skeleton FILE"),
        ("FILE", "crowdpose", " --skeleton crowdpose"),
    ],
)
def test_the_command_names_the_joints_unless_the_space_does(
    path: Path, space: str, skeleton: str, told: str
):
    toy = ofa_pose.load_space("toy")  # whose skeleton is crowdpose
    joints = load_skeleton("coco" if skeleton == "five" else skeleton).to_dict()
    joints["name"] = skeleton
    identity: dict[str, Any] = {"space": "toy", "space_hash": toy.hash}
    if space == "FILE":
        identity["space_hash"] = "of mine"
    identity["skeleton_declaration"] = joints
    save_checkpoint(path, Checkpoint(identity, TrainState(step=1), {}, {}))
    assert describe(path).endswith(f"--space {space}{told} --init {path} --out ANOTHER")


def test_a_model_by_itself(short: Any, finished: Path):
    """It is told of the weights what their file would tell, but for the space's declaration."""
    state, metadata = load_model(finished / "checkpoint.pt")
    last, of_last = load_weights(finished / "last.safetensors")
    short.assert_same(state, last)
    left_out = {"version", "space_declaration", "step"}
    assert of_last.keys() - metadata.keys() == left_out
    for key in ("options", "skeleton_declaration"):
        assert json.loads(metadata[key]) == json.loads(of_last[key])
    assert metadata["space_hash"] == ofa_pose.load_space("toy").hash
    assert is_checkpoint(finished / "checkpoint.pt")
    torch.save({"w": torch.zeros(1)}, finished / "other.pt")
    assert not is_checkpoint(finished / "other.pt")
    assert not is_checkpoint(finished / "metrics.csv")
    assert not is_checkpoint(finished / "absent.pt")
