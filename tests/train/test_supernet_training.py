"""The supernet's training: reproducible, resumable to the bit, and never saved when it diverges."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ofa_pose import Supernet, load_space
from ofa_pose.errors import (
    DataError,
    RecipeError,
    RunFolderError,
    TrainingDivergedError,
    WeightsError,
)
from ofa_pose.runs import RunFolder
from ofa_pose.supernet import load_supernet, load_weights
from ofa_pose.train import (
    Cadence,
    Recipe,
    TrainBudget,
    TrainResult,
    load_checkpoint,
    train_supernet,
    validate_subnets,
)
from ofa_pose.train.checkpoint import load_newest

OpenRun = Callable[..., RunFolder]
STEPS = 12
CADENCE = Cadence(log_every=5, validate_every=4, checkpoint_steps=3)


def fresh() -> Supernet:
    return Supernet(load_space("toy"), skeleton="crowdpose", seed=3)


def count_up(step: int) -> dict[str, float]:
    """A validation whose AP has its maximum at step 8."""
    return {"AP": {4: 0.25, 8: 0.75, 12: 0.5}[step]}


def interrupt_after(last: int) -> Callable[..., None]:
    """Return a progress callback that presses Ctrl-C after some step."""

    def progress(step: int, total: int | None, figures: Mapping[str, float]) -> None:
        if step == last:
            signal.raise_signal(signal.SIGINT)

    return progress


def train(supernet: Supernet, scenes: Any, run: RunFolder, **options: Any) -> TrainResult:
    defaults: dict[str, Any] = {
        "recipe": Recipe(batch_size=3, lr=2e-3, schedule="cosine", warmup_steps=2),
        "budget": TrainBudget(steps=STEPS),
        "cadence": CADENCE,
        "validate": count_up,
        "workers": 0,
        "seed": 1,
    }
    with run:
        return train_supernet(supernet, scenes, run=run, **{**defaults, **options})


def assert_same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


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


@pytest.fixture(scope="module")
def whole(scenes: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], Path]:
    """The weights and the folder of an uninterrupted run."""
    supernet = fresh()
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(supernet, scenes, RunFolder.open(folder, config={"verb": "train"}))
    return supernet.state_dict(), folder


@pytest.fixture
def finished(whole: Any, tmp_path: Path) -> Path:
    """A copy of the uninterrupted run, to be spoilt."""
    return shutil.copytree(whole[1], tmp_path / "run")


def assert_equals_whole(
    supernet: Supernet, folder: Path, whole: tuple[dict[str, Tensor], Path]
) -> None:
    state, reference = whole
    assert_same(supernet.state_dict(), state)
    for name in ("last.safetensors", "best.safetensors"):
        found, found_metadata = load_weights(folder / name)
        expected, metadata = load_weights(reference / name)
        assert_same(found, expected)
        assert found_metadata == metadata
    assert (folder / "metrics.csv").read_text() == (reference / "metrics.csv").read_text()


def test_run_folder(whole: tuple[dict[str, Tensor], Path]):
    _, folder = whole
    assert {path.name for path in folder.iterdir()} == {
        ".lock",
        "config.yaml",
        "log.txt",
        "metrics.csv",
        "checkpoint.pt",
        "checkpoint.previous.pt",
        "last.safetensors",
        "best.safetensors",
    }
    lines = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    assert lines[0] == ["step", "epoch", "lr", "loss", "heatmap", "pull", "push", "AP"]
    # Logged every 5 steps, validated every 4, the end always.
    assert [(line[0], line[-1]) for line in lines[1:]] == [
        ("4", "0.25"),
        ("5", ""),
        ("8", "0.75"),
        ("10", ""),
        ("12", "0.5"),
    ]
    assert [line[1] for line in lines[1:]] == ["1.2", "1.5", "2.4", "3.0", "3.6"]
    _, metadata = load_weights(folder / "best.safetensors")
    assert (metadata["kind"], metadata["space"]) == ("supernet", "toy")
    assert (metadata["step"], metadata["AP"]) == ("8", "0.75")
    assert_same(load_supernet(folder / "last.safetensors").state_dict(), whole[0])


def test_weights_move_and_the_seed_counts(scenes: Any, open_run: OpenRun, whole: Any):
    start = fresh().state_dict()
    other = fresh()
    train(other, scenes, open_run(), seed=2, validate=None)
    for name, _ in other.named_parameters():
        assert not torch.equal(whole[0][name], start[name]), name
    assert any(not torch.equal(whole[0][n], p) for n, p in other.named_parameters())


@pytest.mark.parametrize("stop", [1, 8, 11])
def test_interrupted_and_resumed_is_the_same(
    stop: int, scenes: Any, open_run: OpenRun, tmp_path: Path, whole: Any
):
    with pytest.raises(KeyboardInterrupt):
        train(fresh(), scenes, open_run(), progress=interrupt_after(stop))
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt").state.step == stop
    assert (tmp_path / "run" / "last.safetensors").exists()
    again = fresh()
    train(again, scenes, open_run(resume=True), resume=True)
    assert_equals_whole(again, tmp_path / "run", whole)


@pytest.fixture
def killed(scenes: Any, open_run: OpenRun, tmp_path: Path) -> Path:
    """The folder of a run that a power cut ended at step 8, which saves nothing.

    Its checkpoints are of the steps 4 and 6, its last row is of step 5.
    """

    def fail(step: int) -> dict[str, float]:
        if step == 8:
            raise RuntimeError("power cut")
        return count_up(step)

    with pytest.raises(RuntimeError, match="power cut"):
        train(fresh(), scenes, open_run(), validate=fail)
    folder = tmp_path / "run"
    assert load_checkpoint(folder / "checkpoint.pt").state.step == 6
    assert load_checkpoint(folder / "checkpoint.previous.pt").state.step == 4
    return folder


def test_killed_between_checkpoints_is_the_same(
    scenes: Any, open_run: OpenRun, killed: Path, whole: Any
):
    again = fresh()
    train(again, scenes, open_run(resume=True), resume=True)
    assert_equals_whole(again, killed, whole)


def test_changed_scenes(scenes: Any, open_run: OpenRun, finished: Path):
    """As many of them, but others: the rest of the run would not be the same run."""

    class Others(type(scenes)):
        def fingerprint(self) -> str:
            return "others"

    with pytest.raises(RunFolderError, match="scenes was '.+' and is now 'others'"):
        train(fresh(), Others(), open_run(resume=True), resume=True)


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_after_a_kill_is_the_same(
    damage: str, scenes: Any, open_run: OpenRun, killed: Path, whole: Any
):
    """The row of step 5, which the checkpoint of step 4 knows nothing of, is written again."""
    DAMAGE[damage](killed / "checkpoint.pt")
    again = fresh()
    train(again, scenes, open_run(resume=True), resume=True)
    assert_equals_whole(again, killed, whole)
    (warning,) = [line for line in lines_of(killed / "log.txt") if " WARNING " in line]
    assert f"{killed / 'checkpoint.pt'} is " in warning
    assert f"going on from the one before it, {killed / 'checkpoint.previous.pt'}" in warning


def test_a_damaged_checkpoint_never_becomes_the_one_kept(
    scenes: Any, open_run: OpenRun, killed: Path, whole: Any
):
    """Damaged, resumed, and killed again after one save, which keeps the one resumed from."""

    def fail(step: int, total: int | None, figures: Mapping[str, float]) -> None:
        if step == 7:
            raise RuntimeError("power cut")

    damage_bit(killed / "checkpoint.pt")
    with pytest.raises(RuntimeError, match="power cut"):
        train(fresh(), scenes, open_run(resume=True), resume=True, progress=fail)
    steps = [
        load_checkpoint(killed / name).state.step
        for name in ("checkpoint.previous.pt", "checkpoint.pt")
    ]
    assert steps == [4, 6]
    again = fresh()
    train(again, scenes, open_run(resume=True), resume=True)
    assert_equals_whole(again, killed, whole)


def test_interrupted_validation_is_done_again(
    scenes: Any, open_run: OpenRun, tmp_path: Path, whole: Any
):
    def interrupted(step: int) -> dict[str, float]:
        if step == 8:
            signal.raise_signal(signal.SIGINT)
        return count_up(step)

    with pytest.raises(KeyboardInterrupt):
        train(fresh(), scenes, open_run(), validate=interrupted)
    again = fresh()
    train(again, scenes, open_run(resume=True), resume=True)
    assert_equals_whole(again, tmp_path / "run", whole)


def test_resuming_a_finished_run_changes_nothing(
    scenes: Any, open_run: OpenRun, finished: Path, whole: Any
):
    again = fresh()
    result = train(again, scenes, open_run(resume=True), resume=True)
    assert (result.steps, result.best, result.best_step) == (STEPS, 0.75, 8)
    assert (result.last_weights, result.best_weights) == (
        finished / "last.safetensors",
        finished / "best.safetensors",
    )
    assert_equals_whole(again, finished, whole)


def test_lost_best_weights_are_sought_anew(scenes: Any, open_run: OpenRun, finished: Path):
    (finished / "best.safetensors").unlink()
    result = train(fresh(), scenes, open_run(resume=True), resume=True)
    assert (result.best, result.best_weights) == (None, None)


def test_resume_without_checkpoint_starts_anew(
    scenes: Any, open_run: OpenRun, tmp_path: Path, whole: Any
):
    open_run().close()
    again = fresh()
    train(again, scenes, open_run(resume=True), resume=True)
    assert_equals_whole(again, tmp_path / "run", whole)


def test_workers_do_not_matter(scenes: Any, open_run: OpenRun, tmp_path: Path, whole: Any):
    supernet = fresh()
    train(supernet, scenes, open_run(), workers=1)
    assert_equals_whole(supernet, tmp_path / "run", whole)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [None, "bit"])
def test_kill_9(damage: str | None, scenes: Any, open_run: OpenRun, tmp_path: Path, whole: Any):
    script = Path(__file__).with_name("train_slowly.py")
    newest, previous = (tmp_path / "run" / f"checkpoint{part}.pt" for part in ("", ".previous"))
    with subprocess.Popen([sys.executable, script, tmp_path / "run"]) as child:
        deadline = time.monotonic() + 60
        while not (previous if damage else newest).exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        child.kill()
    assert child.returncode == -signal.SIGKILL
    assert 0 < load_newest(newest)[0].state.step < STEPS
    if damage:
        DAMAGE[damage](newest)
    again = fresh()
    train(again, scenes, open_run(resume=True), resume=True)
    assert_equals_whole(again, tmp_path / "run", whole)


class Poisoned(Supernet):
    """Returns NaN (or a gradient of infinity) from one step on."""

    def __init__(self, fault: str, step: int) -> None:
        super().__init__(load_space("toy"), skeleton="crowdpose", seed=3)
        self.fault, self.left = fault, step

    def forward(self, images: Tensor, arch: Any) -> list[Tensor]:
        outputs = super().forward(images, arch)
        self.left -= 1
        if self.left < 0 and self.fault == "loss":
            return [output * float("nan") for output in outputs]
        if self.left < 0 and self.fault == "gradient":
            outputs[1].register_hook(lambda gradient: gradient * float("inf"))
        return outputs


@pytest.mark.parametrize("fault", ["loss", "gradient"])
def test_divergence_names_the_last_good_checkpoint(
    fault: str, scenes: Any, open_run: OpenRun, tmp_path: Path
):
    with pytest.raises(TrainingDivergedError) as caught:
        train(Poisoned(fault, 7), scenes, open_run())
    message = str(caught.value)
    assert f"the {fault} became nan in step 8 (arch " in message
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    assert f"the last good checkpoint is {checkpoint} (step 6)" in message
    saved = load_checkpoint(checkpoint)
    assert saved.state.step == 6
    assert all(bool(t.isfinite().all()) for t in saved.model.values())
    assert not (tmp_path / "run" / "last.safetensors").exists()


def test_divergence_before_any_checkpoint(scenes: Any, open_run: OpenRun):
    with pytest.raises(TrainingDivergedError, match="no checkpoint had been written yet"):
        train(Poisoned("loss", 0), scenes, open_run())


def test_nan_weights_are_never_saved(scenes: Any, open_run: OpenRun, tmp_path: Path):
    """A NaN that no step notices: in the statistics that only evaluation reads."""
    supernet = fresh()

    def poison(step: int, total: int | None, figures: Mapping[str, float]) -> None:
        if step == 5:
            name = next(n for n, _ in supernet.named_buffers() if n.endswith("running_var"))
            supernet.get_buffer(name).fill_(float("nan"))

    with pytest.raises(TrainingDivergedError, match=r"running_var holds a NaN .* \(step 4\)"):
        train(supernet, scenes, open_run(), progress=poison)
    saved = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert all(bool(t.isfinite().all()) for t in saved.model.values())


def test_data_that_cannot_be_read_saves_first(scenes: Any, open_run: OpenRun, tmp_path: Path):
    class Broken(type(scenes)):
        def __getitem__(self, index: int) -> Any:
            if index == 9:
                raise DataError("photo9.jpg is truncated")
            return super().__getitem__(index)

    with pytest.raises(DataError, match="photo9"):
        train(fresh(), Broken(), open_run(), workers=1)
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt").state.step < STEPS


def test_checkpoint_of_another_skeleton(scenes: Any, open_run: OpenRun, finished: Path):
    other = Supernet(load_space("toy"), skeleton="coco")
    with pytest.raises(WeightsError) as caught:
        train(other, scenes, open_run(resume=True), resume=True)
    assert str(caught.value) == (
        f"{finished / 'checkpoint.pt'} is a checkpoint of another model: "
        "options.skeleton was 'crowdpose' and is now 'coco'"
    )


def test_checkpoint_of_another_space(scenes: Any, open_run: OpenRun, finished: Path):
    other = Supernet(load_space("litepose-lite0"), skeleton="crowdpose")
    with pytest.raises(WeightsError, match="space was 'toy' and is now 'litepose-lite0'"):
        train(other, scenes, open_run(resume=True), resume=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 2}, "seed was 1 and is now 2"),
        ({"budget": TrainBudget(steps=20)}, "recipe.steps was 12 and is now 20"),
        ({"recipe": Recipe(batch_size=3, lr=1e-3)}, "recipe.lr was 0.002 and is now 0.001"),
    ],
)
def test_checkpoint_of_another_run(
    options: dict[str, Any], message: str, scenes: Any, open_run: OpenRun, finished: Path
):
    with pytest.raises(RunFolderError, match=message):
        train(fresh(), scenes, open_run(resume=True), resume=True, **options)


def test_two_damaged_checkpoints(scenes: Any, open_run: OpenRun, finished: Path):
    newest, previous = finished / "checkpoint.pt", finished / "checkpoint.previous.pt"
    DAMAGE["truncated"](newest)
    DAMAGE["text"](previous)
    before = {path: path.read_bytes() for path in (newest, previous)}
    with pytest.raises(WeightsError, match="is not a whole checkpoint") as caught:
        train(fresh(), scenes, open_run(resume=True), resume=True)
    message = str(caught.value)
    assert f"{newest} is" in message
    assert f"{previous} is" in message
    assert message.endswith("--force starts the run anew")
    assert "\n" not in message
    assert "weights_only" not in message
    assert {path: path.read_bytes() for path in before} == before


def test_minutes(scenes: Any, open_run: OpenRun):
    """Time already spent counts after a resume, and the total is unknown."""
    totals = []
    result = train(
        fresh(),
        scenes,
        open_run(),
        budget=TrainBudget(minutes=0.02),
        validate=lambda step: {"AP": 0.1},
        progress=lambda step, total, figures: totals.append(total),
    )
    assert result.seconds >= 1.2
    assert set(totals) == {None}
    again = train(
        fresh(),
        scenes,
        open_run(resume=True),
        budget=TrainBudget(minutes=0.02),
        validate=lambda step: {"AP": 0.1},
        resume=True,
    )
    assert (again.steps, again.seconds) == (result.steps, result.seconds)


def test_validations_are_spread_over_the_run(scenes: Any, open_run: OpenRun):
    steps = []

    def validate(step: int) -> dict[str, float]:
        steps.append(step)
        return {"AP": 0.0}

    train(fresh(), scenes, open_run(), validate=validate, cadence=Cadence(validations=5))
    assert steps == [3, 5, 8, 10, 12]  # the first step at or past each fifth of 12


def test_without_validation_there_is_no_best(scenes: Any, open_run: OpenRun, tmp_path: Path):
    result = train(fresh(), scenes, open_run(), validate=None, budget=TrainBudget(steps=1))
    assert (result.best, result.best_weights) == (None, None)
    assert not (tmp_path / "run" / "best.safetensors").exists()


def test_validation_that_gives_nan_is_divergence(scenes: Any, open_run: OpenRun):
    def validate(step: int) -> dict[str, float]:
        raise WeightsError("the network gives NaN")

    with pytest.raises(TrainingDivergedError, match=r"the network gives NaN; .* \(step 3\)"):
        train(fresh(), scenes, open_run(), validate=validate)


def test_no_length(scenes: Any, open_run: OpenRun):
    with pytest.raises(RecipeError, match="one of --steps, --epochs and --minutes"):
        train(fresh(), scenes, open_run(), budget=None)


@pytest.mark.parametrize("name", ["log_every", "validations", "checkpoint_steps"])
def test_bad_cadence(name: str):
    with pytest.raises(RecipeError, match="must be at least 1, got 0"):
        Cadence(**{name: 0})


def test_validate_subnets():
    supernet = fresh()
    largest = {"resolution": 48, "stem": 4, "stage1": 8, "stage2": 12, "stage3": 16}
    largest |= {"stage4": 16, "deconv1": 8, "deconv2": 4, "deconv3": 4}
    smallest = {"resolution": 32, "stem": 2, "stage1": 4, "stage2": 8, "stage3": 16}
    smallest |= {"stage4": 8, "deconv1": 8, "deconv2": 4, "deconv3": 2}
    scores = {
        supernet.space.arch(largest): {"AP": 0.6},
        supernet.space.arch(smallest): {"AP": 0.2},  # of two values, the middle one is the second
        supernet.space.arch({**smallest, "resolution": 48}): {"AP": 0.3},
    }
    assert validate_subnets(supernet, lambda arch: scores[arch])(5) == pytest.approx(
        {
            "AP": 0.325,
            "AP_largest": 0.6,
            "AP_smallest": 0.2,
            "AP_narrow": 0.3,
            "AP_middle": 0.2,
        }
    )
