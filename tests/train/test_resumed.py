"""Stopped, killed or damaged, a resumed training comes to the same bits; another one is refused."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ofa_pose import Supernet, load_space
from ofa_pose.errors import (
    OfaPoseError,
    RunFolderError,
    WeightsError,
)
from ofa_pose.runs import RunFolder
from ofa_pose.supernet import load_weights
from ofa_pose.train import Recipe, TrainBudget, load_checkpoint
from ofa_pose.train.checkpoint import load_newest

OpenRun = Callable[..., RunFolder]


def damage_bit(path: Path) -> None:
    """Flip one bit of the weights, which torch itself does not notice."""
    content = bytearray(path.read_bytes())
    state = load_checkpoint(path).model
    name = next(name for name in state if name.endswith("running_mean"))
    content[content.index(state[name].numpy().tobytes()) + 2] ^= 1
    path.write_bytes(content)
    found = torch.load(path, weights_only=True)["model"][name]
    assert int((found != state[name]).sum()) == 1


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "bit": damage_bit,
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-500]),
    "text": lambda path: path.write_bytes(b"hello"),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
}


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines()


@pytest.mark.parametrize("stop", [1, 8, 11])
def test_interrupted_and_resumed_is_the_same(
    short: Any, stop: int, scenes: Any, open_run: OpenRun, tmp_path: Path
):
    with pytest.raises(KeyboardInterrupt):
        short.train(short.fresh(), scenes, open_run(), progress=short.interrupt_after(stop))
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt").state.step == stop
    assert (tmp_path / "run" / "last.safetensors").exists()
    again = short.fresh()
    short.train(again, scenes, open_run(resume=True), resume=True)
    short.assert_equals_whole(again, tmp_path / "run")


@pytest.fixture
def killed(short: Any, scenes: Any, open_run: OpenRun, tmp_path: Path) -> Path:
    """The folder of a run that a power cut ended at step 8, which saves nothing.

    Its checkpoints are of the steps 4 and 6, its last row is of step 5.
    """

    def fail(step: int) -> dict[str, float]:
        if step == 8:
            raise RuntimeError("power cut")
        return short.count_up(step)

    with pytest.raises(RuntimeError, match="power cut"):
        short.train(short.fresh(), scenes, open_run(), validate=fail)
    folder = tmp_path / "run"
    assert load_checkpoint(folder / "checkpoint.pt").state.step == 6
    assert load_checkpoint(folder / "checkpoint.previous.pt").state.step == 4
    return folder


def test_killed_between_checkpoints_is_the_same(
    short: Any, scenes: Any, open_run: OpenRun, killed: Path
):
    again = short.fresh()
    short.train(again, scenes, open_run(resume=True), resume=True)
    short.assert_equals_whole(again, killed)


def test_changed_scenes(short: Any, scenes: Any, open_run: OpenRun, finished: Path):
    """As many of them, but others: the rest of the run would not be the same run."""

    class Others(type(scenes)):
        def fingerprint(self) -> str:
            return "others"

    with pytest.raises(RunFolderError, match="scenes was '.+' and is now 'others'"):
        short.train(short.fresh(), Others(), open_run(resume=True), resume=True)


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_after_a_kill_is_the_same(
    short: Any, damage: str, scenes: Any, open_run: OpenRun, killed: Path
):
    """The row of step 5, which the checkpoint of step 4 knows nothing of, is written again."""
    DAMAGE[damage](killed / "checkpoint.pt")
    again = short.fresh()
    short.train(again, scenes, open_run(resume=True), resume=True)
    short.assert_equals_whole(again, killed)
    (warning,) = [line for line in lines_of(killed / "log.txt") if " WARNING " in line]
    assert f"{killed / 'checkpoint.pt'} is " in warning
    assert f"going on from the one before it, {killed / 'checkpoint.previous.pt'}" in warning


def test_a_damaged_checkpoint_never_becomes_the_one_kept(
    short: Any, scenes: Any, open_run: OpenRun, killed: Path
):
    """Damaged, resumed, and killed again after one save, which keeps the one resumed from."""

    def fail(step: int, total: int | None, figures: Mapping[str, float]) -> None:
        if step == 7:
            raise RuntimeError("power cut")

    damage_bit(killed / "checkpoint.pt")
    with pytest.raises(RuntimeError, match="power cut"):
        short.train(short.fresh(), scenes, open_run(resume=True), resume=True, progress=fail)
    steps = [
        load_checkpoint(killed / name).state.step
        for name in ("checkpoint.previous.pt", "checkpoint.pt")
    ]
    assert steps == [4, 6]
    again = short.fresh()
    short.train(again, scenes, open_run(resume=True), resume=True)
    short.assert_equals_whole(again, killed)


def test_interrupted_validation_is_done_again(
    short: Any, scenes: Any, open_run: OpenRun, tmp_path: Path
):
    def interrupted(step: int) -> dict[str, float]:
        if step == 8:
            signal.raise_signal(signal.SIGINT)
        return short.count_up(step)

    with pytest.raises(KeyboardInterrupt):
        short.train(short.fresh(), scenes, open_run(), validate=interrupted)
    again = short.fresh()
    short.train(again, scenes, open_run(resume=True), resume=True)
    short.assert_equals_whole(again, tmp_path / "run")


def test_resuming_a_finished_run_changes_nothing(
    short: Any, scenes: Any, open_run: OpenRun, finished: Path
):
    again = short.fresh()
    result = short.train(again, scenes, open_run(resume=True), resume=True)
    assert (result.steps, result.best, result.best_step) == (short.steps, 0.75, 8)
    assert (result.last_weights, result.best_weights) == (
        finished / "last.safetensors",
        finished / "best.safetensors",
    )
    short.assert_equals_whole(again, finished)


def test_lost_best_weights_are_sought_anew(
    short: Any, scenes: Any, open_run: OpenRun, finished: Path
):
    (finished / "best.safetensors").unlink()
    result = short.train(short.fresh(), scenes, open_run(resume=True), resume=True)
    assert (result.best, result.best_weights) == (None, None)


def test_resume_without_checkpoint_starts_anew(
    short: Any, scenes: Any, open_run: OpenRun, tmp_path: Path
):
    open_run().close()
    again = short.fresh()
    short.train(again, scenes, open_run(resume=True), resume=True)
    short.assert_equals_whole(again, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("damage", [None, "bit"])
def test_kill_9(short: Any, damage: str | None, scenes: Any, open_run: OpenRun, tmp_path: Path):
    script = Path(__file__).with_name("train_slowly.py")
    newest, previous = (tmp_path / "run" / f"checkpoint{part}.pt" for part in ("", ".previous"))
    with subprocess.Popen([sys.executable, script, tmp_path / "run"]) as child:
        deadline = time.monotonic() + 300
        while not (previous if damage else newest).exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        child.kill()
    assert child.returncode == -signal.SIGKILL
    assert 0 < load_newest(newest)[0].state.step < short.steps
    if damage:
        DAMAGE[damage](newest)
    again = short.fresh()
    short.train(again, scenes, open_run(resume=True), resume=True)
    short.assert_equals_whole(again, tmp_path / "run")


def test_checkpoint_of_another_skeleton(short: Any, scenes: Any, open_run: OpenRun, finished: Path):
    other = Supernet(load_space("toy"), skeleton="coco")
    with pytest.raises(WeightsError) as caught:
        short.train(other, scenes, open_run(resume=True), resume=True)
    assert str(caught.value) == (
        f"{finished / 'checkpoint.pt'} is a checkpoint of another model: "
        "options.skeleton was 'crowdpose' and is now 'coco'"
    )


def test_checkpoint_of_another_space(short: Any, scenes: Any, open_run: OpenRun, finished: Path):
    other = Supernet(load_space("litepose-lite0"), skeleton="crowdpose")
    with pytest.raises(WeightsError, match="space was 'toy' and is now 'litepose-lite0'"):
        short.train(other, scenes, open_run(resume=True), resume=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 2}, "seed was 1 and is now 2"),
        ({"budget": TrainBudget(steps=20)}, "recipe.steps was 12 and is now 20"),
        ({"recipe": Recipe(batch_size=3, lr=1e-3)}, "recipe.lr was 0.002 and is now 0.001"),
    ],
)
def test_checkpoint_of_another_run(
    short: Any,
    options: dict[str, Any],
    message: str,
    scenes: Any,
    open_run: OpenRun,
    finished: Path,
):
    with pytest.raises(RunFolderError, match=message):
        short.train(short.fresh(), scenes, open_run(resume=True), resume=True, **options)


def test_a_batch_may_be_cut_into_other_parts(
    short: Any, scenes: Any, open_run: OpenRun, finished: Path, caplog: pytest.LogCaptureFixture
):
    recipe = Recipe(batch_size=3, lr=2e-3, schedule="cosine", warmup_steps=2, accumulate=3)
    short.train(short.fresh(), scenes, open_run(resume=True), resume=True, recipe=recipe)
    assert "resumed with accumulate 3, begun with 1" in caplog.text


def test_two_damaged_checkpoints(short: Any, scenes: Any, open_run: OpenRun, finished: Path):
    newest, previous = finished / "checkpoint.pt", finished / "checkpoint.previous.pt"
    DAMAGE["truncated"](newest)
    DAMAGE["text"](previous)
    before = {path: path.read_bytes() for path in (newest, previous)}
    with pytest.raises(WeightsError, match="is not a whole checkpoint") as caught:
        short.train(short.fresh(), scenes, open_run(resume=True), resume=True)
    message = str(caught.value)
    assert f"{newest} is" in message
    assert f"{previous} is" in message
    assert message.endswith("--force starts the run anew")
    assert "\n" not in message
    assert "weights_only" not in message
    assert {path: path.read_bytes() for path in before} == before


def test_scores_and_a_seed_of_numpy(short: Any, scenes: Any, open_run: OpenRun, tmp_path: Path):
    """They are taken for the numbers that they are, and the run goes on."""

    def validate(step: int) -> dict[str, Any]:
        return {name: np.float64(value) for name, value in short.count_up(step).items()}

    options: dict[str, Any] = {"seed": np.int64(1), "validate": validate}
    with pytest.raises(KeyboardInterrupt):
        short.train(
            short.fresh(), scenes, open_run(), progress=short.interrupt_after(10), **options
        )
    supernet = short.fresh()
    result = short.train(supernet, scenes, open_run(resume=True), resume=True, **options)
    assert (result.best, type(result.best)) == (0.75, float)
    short.assert_equals_whole(supernet, tmp_path / "run")


def test_a_score_that_is_no_number(short: Any, scenes: Any, open_run: OpenRun):
    def validate(step: int) -> dict[str, Any]:
        return {"AP": 0.5, "note": "good"}

    with pytest.raises(OfaPoseError, match="the validation gave note = 'good', not a number"):
        short.train(short.fresh(), scenes, open_run(), validate=validate)


@pytest.mark.parametrize("first", [float("nan"), 0.25])
def test_a_score_of_nan_is_never_the_best(
    short: Any, scenes: Any, open_run: OpenRun, tmp_path: Path, first: float
):
    """As of an own measure that is not defined at first: what follows is compared all the same."""

    def validate(step: int) -> dict[str, float]:
        return {"AP": {4: first, 8: 0.75, 12: float("nan")}[step]}

    result = short.train(short.fresh(), scenes, open_run(), validate=validate)
    assert (result.best, result.best_step) == (0.75, 8)
    assert load_weights(tmp_path / "run" / "best.safetensors")[1]["step"] == "8"
