"""`kill -9` at any moment, ten times in one run, changes nothing of what the run comes to."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from ofa_pose.digest import digest
from ofa_pose.supernet import load_weights
from ofa_pose.train import load_checkpoint

SCRIPT = Path(__file__).with_name("train_in_pieces.py")
KILLS = 10


def begin(folder: Path) -> subprocess.Popen[str]:
    """Start or go on with the run in another process."""
    return subprocess.Popen([sys.executable, SCRIPT, folder], stdout=subprocess.PIPE, text=True)


def finish(folder: Path) -> list[int]:
    """Let the run go on to its end; returns the steps it took."""
    with begin(folder) as child:
        printed, _ = child.communicate(timeout=300)
    assert child.returncode == 0
    return [int(line) for line in printed.split()]


def kill(folder: Path, *, steps: int, delay_s: float) -> list[int]:
    """Let the run go on for some steps and a moment, and kill it; returns the steps it told of."""
    told = []
    with begin(folder) as child:
        assert child.stdout is not None
        for line in child.stdout:
            told.append(int(line))
            if len(told) == steps:
                time.sleep(delay_s)
                break
        child.kill()
    assert child.returncode == -signal.SIGKILL
    return told


@pytest.mark.slow
def test_ten_kills_are_the_same(tmp_path: Path):
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    assert finish(whole) == list(range(1, 61))

    rng = np.random.default_rng(9)
    starts = []
    for _ in range(KILLS):
        # A step takes some hundredths of a second, so the delay ends anywhere in one or two.
        told = kill(pieces, steps=int(rng.integers(1, 6)), delay_s=rng.uniform(0, 0.1))
        starts.append(told[0])
    assert starts == sorted(starts)
    assert len(set(starts)) > KILLS / 2  # it went on; had it begun anew, all would be 1
    rest = finish(pieces)
    assert 1 < rest[0] <= rest[-1] == 60

    assert (pieces / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    for name in ("last.safetensors", "best.safetensors"):
        weights, metadata = load_weights(pieces / name)
        expected_weights, expected_metadata = load_weights(whole / name)
        assert metadata == expected_metadata
        assert weights.keys() == expected_weights.keys()
        for key, tensor in expected_weights.items():
            assert torch.equal(weights[key], tensor), key
    ended, expected = (load_checkpoint(folder / "checkpoint.pt") for folder in (pieces, whole))
    assert digest(ended.model) == digest(expected.model)
    assert digest(ended.learner) == digest(expected.learner)
