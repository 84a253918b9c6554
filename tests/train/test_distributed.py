"""Two processes train as one: under torchrun, on this machine, over gloo."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
import torch.distributed as dist

from ofa_pose.errors import OfaPoseError, RecipeError, UsageError
from ofa_pose.supernet import load_weights
from ofa_pose.train import World, joined, load_checkpoint
from ofa_pose.train.distributed import others_alive

SCRIPT = Path(__file__).with_name("train_together.py")
STOPPING = Path(__file__).with_name("stop_together.py")
TORCHRUN = ["-m", "torch.distributed.run", "--standalone"]


def run(folder: Path, processes: int, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Train with one thread a process, as torchrun sets it: other sums round otherwise.

    Adam turns a rounding error into a whole step where a gradient is all but 0.
    """
    torchrun = [*TORCHRUN, f"--nproc-per-node={processes}"] if processes > 1 else []
    return subprocess.run(
        [sys.executable, *torchrun, SCRIPT, folder, json.dumps(settings)],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def weights(folder: Path, processes: int, **settings: Any) -> dict[str, torch.Tensor]:
    done = run(folder, processes, **settings)
    assert done.returncode == 0, done.stderr
    return load_weights(folder / "last.safetensors")[0]


def assert_close(
    one: dict[str, torch.Tensor], two: dict[str, torch.Tensor], *, statistics: bool
) -> None:
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        if statistics or not name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            torch.testing.assert_close(tensor, two[name], rtol=0, atol=1e-5, msg=name)


def test_live_statistics_equal_accumulated_halves(tmp_path: Path):
    """Each process's batch norm sees its half, as one process does that runs the two halves."""
    together = weights(tmp_path / "two", 2)
    alone = weights(tmp_path / "one", 1, accumulate=2)
    assert_close(together, alone, statistics=False)
    assert (tmp_path / "two/metrics.csv").read_text().count("\n") == 5


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["uniform", "sandwich", "fair"])
def test_fixed_statistics_equal_the_whole_batch(tmp_path: Path, sampler: str):
    together = weights(tmp_path / "two", 2, frozen=True, sampler=sampler, ema=0.9)
    alone = weights(tmp_path / "one", 1, frozen=True, sampler=sampler, ema=0.9)
    assert_close(together, alone, statistics=True)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["uniform", "sandwich", "fair"])
def test_layers_that_a_step_leaves_out(tmp_path: Path, sampler: str):
    """A family of elastic depth: in most steps of `uniform` some layers get no gradient at all.

    In `sandwich` and `fair` the last pass, which is the one that processes add up after, may
    leave out what an earlier one used. Each process checks that it holds the others' weights.
    """
    settings = {"deep": True, "frozen": True, "sampler": sampler, "ema": 0.9}
    together = weights(tmp_path / "two", 2, **settings)
    alone = weights(tmp_path / "one", 1, **settings)
    assert_close(together, alone, statistics=True)


@pytest.mark.slow
def test_killed_and_resumed_is_the_same(tmp_path: Path):
    whole = weights(tmp_path / "whole", 2)
    assert run(tmp_path / "run", 2, stop_after=13).returncode != 0
    resumed = weights(tmp_path / "run", 2, resume=True)
    for name, tensor in whole.items():
        assert torch.equal(resumed[name], tensor), name
    metrics = [(tmp_path / name / "metrics.csv").read_text() for name in ("whole", "run")]
    assert metrics[0] == metrics[1]


@pytest.mark.slow
def test_a_damaged_checkpoint_is_passed_over_by_both(tmp_path: Path):
    whole = weights(tmp_path / "whole", 2)
    run(tmp_path / "run", 2, stop_after=13)
    newest = tmp_path / "run/checkpoint.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    resumed = weights(tmp_path / "run", 2, resume=True)
    for name, tensor in whole.items():
        assert torch.equal(resumed[name], tensor), name


@pytest.mark.slow
def test_pictures_that_one_process_cannot_read_stop_both(tmp_path: Path):
    """The state is saved by the first process though the second one has failed."""
    done = run(tmp_path / "run", 2, bad_picture_on=1)
    assert done.returncode != 0
    assert "picture 3 is gone" in done.stderr
    assert "another process cannot read its pictures" in done.stderr
    assert load_checkpoint(tmp_path / "run/checkpoint.pt").state.step < 20


@pytest.mark.slow
def test_processes_with_other_scenes_are_refused(tmp_path: Path):
    done = run(tmp_path / "run", 2, fewer_on=1)
    assert done.returncode != 0
    assert "the processes do not have the same scenes (" in done.stderr
    assert " on rank 1): are all copies of the data set whole" in done.stderr
    assert not (tmp_path / "run/checkpoint.pt").exists()


@pytest.mark.slow
def test_whatever_the_first_process_raises_stops_the_others(tmp_path: Path):
    """Also a bug, and an error that cannot be made again from its message; nobody waits."""
    subprocess.run(
        [sys.executable, *TORCHRUN, "--nproc-per-node=2", STOPPING, tmp_path, "led"],
        timeout=600,  # the patience of the processes is half an hour
        check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert (tmp_path / "0").read_text().splitlines() == [
        "ZeroDivisionError: odd",
        "UnknownNameError: unknown space 'toi'; did you mean 'toy'?",
        "still here",
    ]
    assert (tmp_path / "1").read_text().splitlines() == [
        "OfaPoseError: rank 0: ZeroDivisionError: odd",
        "OfaPoseError: rank 0: unknown space 'toi'; did you mean 'toy'?",
        "still here",
    ]


@pytest.mark.slow
def test_ctrl_c_during_a_validation_stops_all_at_once(tmp_path: Path):
    """As a terminal sends it: to torchrun and to every process; torchrun sends it on, too."""
    child = subprocess.Popen(
        [sys.executable, *TORCHRUN, "--nproc-per-node=2", STOPPING, tmp_path, "validation"],
        start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    with child:
        deadline = time.monotonic() + 200
        while len(list(tmp_path.glob("validating.*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        os.killpg(child.pid, signal.SIGINT)
        interrupted = time.monotonic()
        child.wait(timeout=100)
    assert time.monotonic() - interrupted < 30  # then torchrun would have killed them
    assert [(tmp_path / rank).read_text() for rank in "01"] == ["interrupted"] * 2
    saved = load_checkpoint(tmp_path / "run/checkpoint.pt")
    assert (saved.state.step, saved.state.validations) == (3, 0)
    assert (tmp_path / "run/last.safetensors").is_file()
    assert "interrupted after step 3" in (tmp_path / "run/log.txt").read_text()


@pytest.mark.slow
def test_resumed_by_another_number_of_processes(tmp_path: Path):
    run(tmp_path / "run", 2, stop_after=13)
    done = run(tmp_path / "run", 1, resume=True)
    assert done.returncode == 0
    log = (tmp_path / "run/log.txt").read_text()
    assert "resumed by 1 process(es), begun by 2" in log


@pytest.mark.slow
def test_one_process_tells_what_has_changed(tmp_path: Path):
    """What the first one tells goes to its log; another's would be on stderr."""
    run(tmp_path / "run", 1, stop_after=13)
    done = run(tmp_path / "run", 2, resume=True)
    assert done.returncode == 0
    assert "resumed by 2 process(es), begun by 1" in (tmp_path / "run/log.txt").read_text()
    assert "begun by" not in done.stderr


def test_alone_nothing_changes():
    with joined("cpu") as (world, device):
        assert (world, device) == (World(0, 1), "cpu")
        assert world.leads
        assert world.share(7) == slice(0, 7)
        assert world.led(lambda: 5) == 5


@pytest.mark.parametrize("fails", [False, True])
def test_what_several_processes_need_ends_with_them(monkeypatch: pytest.MonkeyPatch, fails: bool):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(dist, "init_process_group", lambda *_, **__: None)
    monkeypatch.setattr(dist, "destroy_process_group", lambda: None)
    threads, filters = cv2.getNumThreads(), list(warnings.filters)
    cv2.setNumThreads(3)
    try:
        with contextlib.suppress(ZeroDivisionError), joined("cpu"):
            warnings.warn("Grad strides do not match bucket view strides", stacklevel=1)
            assert cv2.getNumThreads() == 1
            if fails:
                raise ZeroDivisionError
        assert cv2.getNumThreads() == 3
        assert list(warnings.filters) == filters
    finally:
        cv2.setNumThreads(threads)


def test_a_batch_divides_among_the_processes():
    assert [World(rank, 3).share(12) for rank in range(3)] == [
        slice(0, 4),
        slice(4, 8),
        slice(8, 12),
    ]
    with pytest.raises(RecipeError, match="a batch of 16 does not divide among 3 processes"):
        World(0, 3).share(16)


def test_a_batch_divides_into_their_parts():
    assert World(1, 2).share(12, parts=3) == slice(6, 12)
    with pytest.raises(RecipeError, match="12 does not divide among 2 processes of 4 parts each"):
        World(1, 2).share(12, parts=4)


def test_one_gpu_for_all_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(UsageError, match="--device cuda:1: several processes need --device cuda"),
        joined("cuda:1"),
    ):
        pass


def test_a_process_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "100")
    monkeypatch.setenv("LOCAL_RANK", "99")
    with pytest.raises(UsageError, match="device cuda:99 cannot be used here"), joined("cuda"):
        pass


# As torch writes it where Docker's shared memory of 64 MB is too small for NCCL.
NCCL_FAILED = """\
NCCL error in: ../torch/csrc/distributed/c10d/NCCLUtils.hpp:268, unhandled system error (run with \
NCCL_DEBUG=INFO for details), NCCL version 2.21.5
ncclSystemError: System call (e.g. socket, malloc) or external library call failed or device error.
Last error:
Error while creating shared memory segment /dev/shm/nccl-9vJ7cq (size 9637888)"""
GLOO_FAILED = "[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (NCCL_FAILED, "(NCCL: Error while creating shared memory segment /dev/shm/nccl-9vJ7cq "),
        (GLOO_FAILED, f"({GLOO_FAILED})"),
        ("", "(RuntimeError)"),
    ],
)
def test_a_failed_exchange_tells_the_librarys_reason(message: str, said: str):
    with pytest.raises(OfaPoseError, match=re.escape(said)), others_alive():
        raise RuntimeError(message)


def test_what_is_no_failed_exchange_is_let_through():
    for error in (torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("CUDA error: busy")):
        with pytest.raises(RuntimeError) as raised, others_alive():
            raise error
        assert raised.value is error
    with pytest.raises(RuntimeError, match="^a bug$"), others_alive(among_others=True):
        raise RuntimeError("a bug")
