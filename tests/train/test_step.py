"""One step of many passes: what it averages, what it learns from, in which precision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ofa_pose import Supernet, build, load_space
from ofa_pose.data import Augmentation, TrainBatches, normalize
from ofa_pose.errors import RecipeError, TrainingDivergedError, UsageError
from ofa_pose.pose import pose_loss
from ofa_pose.runs import RunFolder
from ofa_pose.supernet import load_weights
from ofa_pose.train import (
    Cadence,
    FairSampler,
    Recipe,
    SandwichSampler,
    TrainBudget,
    UniformSampler,
    finetune,
    train_supernet,
)

OpenRun = Callable[..., RunFolder]
TOY = load_space("toy")
SEED = 1


def fresh() -> Supernet:
    return Supernet(TOY, skeleton="crowdpose", seed=3)


def train(supernet: Supernet, scenes: Any, run: RunFolder, *, steps: int = 1, **recipe: Any):
    """Train with plain gradients of a batch of four."""
    with run:
        return train_supernet(
            supernet,
            scenes,
            run=run,
            recipe=Recipe.model_validate({"batch_size": 4, "lr": 1e-3, **recipe}),
            budget=TrainBudget(steps=steps),
            cadence=Cadence(log_every=1, checkpoint_steps=2),
            workers=0,
            seed=SEED,
            resume=run.resumed,
        )


def rows(folder: Path) -> list[dict[str, float]]:
    """The rows of a run's metrics."""
    header, *lines = (folder / "metrics.csv").read_text().splitlines()
    return [
        dict(zip(header.split(","), map(float, line.split(",")), strict=True)) for line in lines
    ]


def gradients_by_hand(scenes: Any, archs: Any, *, parts: int) -> dict[str, Tensor]:
    """The mean, over the first step's parts and archs, of the gradients of the plain loss."""
    supernet = fresh().train()
    batches = TrainBatches(
        scenes,
        Augmentation(),
        batch_size=4,
        seed=SEED,
        resolution_of=lambda step: archs[0].resolution,
    )
    batch, rows = batches[0], 4 // parts
    for part in range(parts):
        piece = slice(part * rows, (part + 1) * rows)
        images = normalize(batch.images[piece], TOY.pixel_mean, TOY.pixel_std)
        for arch in archs:
            loss = pose_loss(
                supernet(images.contiguous(memory_format=torch.channels_last), arch),
                [maps[piece] for maps in batch.heatmaps],
                [mask[piece] for mask in batch.masks],
                batch.tags[piece],
            )
            (loss.total / (parts * len(archs))).backward()
    return {name: p.grad for name, p in supernet.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    ("sampler", "parts", "recipe"),
    [
        (UniformSampler(TOY, SEED), 2, {"accumulate": 2}),
        (FairSampler(TOY, SEED), 1, {"sampler": "fair"}),
        (
            SandwichSampler(TOY, SEED, 1),
            2,
            {"sampler": "sandwich", "sandwich_random": 1, "accumulate": 2, "distillation": 0},
        ),
    ],
)
def test_gradients_are_the_mean_over_parts_and_archs(
    sampler: Any, parts: int, recipe: Any, scenes: Any, open_run: OpenRun
):
    supernet = fresh()
    train(supernet, scenes, open_run(), **recipe)
    expected = gradients_by_hand(scenes, sampler.archs(0), parts=parts)
    found = {name: p.grad for name, p in supernet.named_parameters() if p.grad is not None}
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-8, msg=name)


def test_the_largest_arch_teaches_the_others(scenes: Any, open_run: OpenRun, tmp_path: Path):
    """The distilled loss is told, and the gradients are no longer those of the truth alone."""
    supernet, plain = fresh(), fresh()
    train(supernet, scenes, open_run("taught"), sampler="sandwich")
    train(plain, scenes, open_run("plain"), sampler="sandwich", distillation=0)
    (figures,) = rows(tmp_path / "taught")
    assert figures["distilled"] > 0
    assert figures["loss"] == pytest.approx(
        sum(figures[name] for name in ("heatmap", "pull", "push", "distilled"))
    )
    assert any(
        not torch.allclose(a, b)
        for a, b in zip(supernet.parameters(), plain.parameters(), strict=True)
    )


def test_a_teacher_of_a_single_network(scenes: Any, open_run: OpenRun):
    """A student comes near a teacher that says 0.3 everywhere and weighs more than the truth."""
    student = build(TOY, TOY.smallest, skeleton="crowdpose", seed=1)

    def teach(images: Tensor) -> list[Tensor]:
        scenes, _, side, _ = images.shape
        shapes = [(scenes, 28, side // 4, side // 4), (scenes, 14, side // 2, side // 2)]
        return [torch.full(shape, 0.3) for shape in shapes]

    with open_run() as run:
        finetune(
            student,
            type(scenes)(count=2),
            space=TOY,
            arch=TOY.smallest,
            run=run,
            recipe=Recipe(batch_size=2, lr=1e-2, distillation=100),
            budget=TrainBudget(steps=30),
            cadence=Cadence(log_every=1),
            workers=0,
            teacher=teach,
        )
        distilled = [row["distilled"] for row in rows(run.path)]
    assert distilled[-1] < 0.5 * distilled[0]


def test_averaged_weights_are_what_is_saved(scenes: Any, open_run: OpenRun):
    """The average moves less than the weights, and both go on exactly after a stop."""
    whole, resumed = fresh(), fresh()
    run = open_run("whole")
    train(whole, scenes, run, steps=6, ema=0.99)
    averaged, _ = load_weights(run.file("last.safetensors"))
    start = fresh().state_dict()
    name = next(name for name in start if name.endswith("weight"))
    raw = whole.state_dict()[name]
    assert 0 < (averaged[name] - start[name]).norm() < (raw - start[name]).norm()

    with pytest.raises(RuntimeError, match="power cut"), open_run("part") as part:
        _train_until_cut(fresh(), scenes, part, ema=0.99)
    part = open_run("part", resume=True)
    train(resumed, scenes, part, steps=6, ema=0.99)
    again, _ = load_weights(part.file("last.safetensors"))
    for key, tensor in averaged.items():
        assert torch.equal(again[key], tensor), key


def _train_until_cut(supernet: Supernet, scenes: Any, run: RunFolder, **recipe: Any) -> None:
    def cut(step: int, total: int | None, figures: Any) -> None:
        if step == 5:
            raise RuntimeError("power cut")

    train_supernet(
        supernet,
        scenes,
        run=run,
        recipe=Recipe.model_validate({"batch_size": 4, "lr": 1e-3, **recipe}),
        budget=TrainBudget(steps=6),
        cadence=Cadence(log_every=1, checkpoint_steps=2),
        workers=0,
        seed=SEED,
        progress=cut,
    )


def test_bfloat16_learns_and_keeps_float32_weights(scenes: Any, open_run: OpenRun, tmp_path: Path):
    exact, rounded = fresh(), fresh()
    train(exact, scenes, open_run("exact"), steps=3)
    train(rounded, scenes, open_run("rounded"), steps=3, precision="bfloat16")
    losses = [[row["loss"] for row in rows(tmp_path / name)] for name in ("exact", "rounded")]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)  # bfloat16 has 8 bits
    assert all(p.dtype == torch.float32 for p in rounded.parameters())


def test_float16_is_not_for_a_cpu(scenes: Any, open_run: OpenRun):
    with pytest.raises(UsageError, match="float16 is for GPUs; on a CPU take bfloat16 or float"):
        train(fresh(), scenes, open_run(), precision="float16")
    Recipe(precision="float16").check_device("cuda:1")
    Recipe(precision="bfloat16").check_device("cpu")


def test_float16_stops_when_no_scale_helps(
    scenes: Any, open_run: OpenRun, monkeypatch: pytest.MonkeyPatch
):
    """A gradient that is NaN at every scale moves nothing; after the scales it is an error.

    On a CPU, where the arithmetic of the scale is the same.
    """
    monkeypatch.setattr(Recipe, "check_device", lambda *_: None)
    supernet = fresh()
    before = [p.detach().clone() for p in supernet.parameters()]
    for parameter in supernet.parameters():
        parameter.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(TrainingDivergedError, match="the gradient became nan in step 18 "):
        train(supernet, scenes, open_run(), steps=30, precision="float16")  # 2^16, halved 17 times
    for parameter, old in zip(supernet.parameters(), before, strict=True):
        assert torch.equal(parameter, old)


def test_parts_must_divide_the_batch():
    with pytest.raises(RecipeError, match="a batch of 16 does not divide into 3 parts"):
        Recipe(batch_size=16, accumulate=3)


def test_a_teacher_of_no_weight_is_not_asked(scenes: Any, open_run: OpenRun):
    def teach(images: Tensor) -> list[Tensor]:
        raise AssertionError

    with open_run() as run:
        finetune(
            build(TOY, TOY.smallest, skeleton="crowdpose", seed=1),
            type(scenes)(count=2),
            space=TOY,
            arch=TOY.smallest,
            run=run,
            recipe=Recipe(batch_size=2, distillation=0),
            budget=TrainBudget(steps=1),
            cadence=Cadence(log_every=1),
            workers=0,
            teacher=teach,
        )
        assert "distilled" not in rows(run.path)[0]
