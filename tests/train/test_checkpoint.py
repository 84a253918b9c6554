"""Checkpoints that cannot be written, or are none."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch

from ofa_pose.errors import OfaPoseError, RunFolderError, WeightsError
from ofa_pose.train.checkpoint import (
    Checkpoint,
    TrainState,
    check_identity,
    load_checkpoint,
    save_checkpoint,
)

Limit = Callable[[], AbstractContextManager[None]]


def test_a_full_disk_is_one_clear_line_and_spares_the_old_one(tmp_path: Path, full_disk: Limit):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, Checkpoint({"seed": 3}, TrainState(), {"w": torch.ones(2)}, {}))
    message = r"cannot write .*checkpoint\.pt; is the disk full\?"
    with full_disk(), pytest.raises(OfaPoseError, match=message):
        save_checkpoint(path, Checkpoint({}, TrainState(), {"w": torch.zeros(10_000)}, {}))
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert load_checkpoint(path).identity == {"seed": 3}


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


def test_a_checkpoint_with_the_skeletons_name_alone():
    found = {"options": {"skeleton": "mine"}, "seed": 1}
    now = {**found, "skeleton_declaration": {"sigmas": [0.1]}}
    check_identity("c", found=found, now=now)
    with pytest.raises(RunFolderError, match="seed was 1 and is now 2"):
        check_identity("c", found=found, now={**now, "seed": 2})
