"""One optimizer step and what it needs: batches in order, forward, loss, backward, update."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ofa_pose.data import Augmentation, Batch, TrainBatches, make_loader, normalize
from ofa_pose.errors import TrainingDivergedError
from ofa_pose.pose import pose_loss
from ofa_pose.train.job import Job
from ofa_pose.train.recipe import Recipe


def batches_of(job: Job, *, start: int, stop: int | None, workers: int) -> Iterator[Batch]:
    """Yield the job's batches from step `start` on, each at the resolution of its step's arch.

    Args:
        job: gives scenes, augmentation, seed and archs.
        start: first step, from 0.
        stop: step after the last one, or None for no end.
        workers: processes that prepare batches; 0 prepares them here.
    """
    recipe = job.recipe
    batches = TrainBatches(
        job.source,
        Augmentation(**recipe.augmentation.model_dump()),
        batch_size=recipe.batch_size,
        seed=job.seed,
        resolution_of=job.sampler.resolution,
    )
    last = sys.maxsize if stop is None else stop
    yield from make_loader(batches, start=start, stop=last, workers=workers)


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return Adam or AdamW over the model; only tensors of two or more axes are decayed.

    In a supernet, the gradient of a channel that the sampled arch does not use is 0, not absent:
    Adam's running means decay there and still move the weights a little, as in the published
    training; a layer that no sampled arch has used yet is left alone.
    """
    # torch's fused CPU kernel reads parameter and gradient in memory order, which differs for
    # some channels_last layouts, so it is not asked for.
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    weights = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    return kind(
        [
            {"params": weights, "weight_decay": recipe.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=recipe.lr,
    )


def train_step(
    job: Job, optimizer: torch.optim.Optimizer, batch: Batch, *, step: int, rate: float
) -> dict[str, float]:
    """Take step number `step` (from 0) at learning rate `rate`.

    Returns:
        The losses of the step: `loss`, `heatmap`, `pull`, `push`.

    Raises:
        TrainingDivergedError: the loss or the gradient is NaN or infinite; the optimizer has not
            moved the weights (batch-norm statistics may be spoilt).
    """
    job.model.train()
    for group in optimizer.param_groups:
        group["lr"] = rate
    arch = job.sampler.arch(step)
    batch = batch.to(job.device, non_blocking=True)
    images = normalize(batch.images, job.space.pixel_mean, job.space.pixel_std)
    outputs = job.forward(images.contiguous(memory_format=torch.channels_last), arch)
    loss = pose_loss(
        list(outputs),
        batch.heatmaps,
        batch.masks,
        batch.tags,
        with_tags=job.recipe.tags,
        heatmap_weight=job.recipe.heatmap_weight(arch.resolution),
    )
    losses = {"loss": loss.total, "heatmap": loss.heatmap, "pull": loss.pull, "push": loss.push}
    values = dict(zip(losses, _values(list(losses.values())), strict=True))
    _require_finite("loss", values["loss"], where=f"step {step + 1} (arch {arch.key})")
    optimizer.zero_grad(set_to_none=True)
    loss.total.backward()
    norm = _gradient_norm(job.model, limit=job.recipe.grad_clip)
    _require_finite("gradient", norm, where=f"step {step + 1} (arch {arch.key})")
    optimizer.step()
    return values


def _values(scalars: Sequence[Tensor]) -> list[float]:
    """Read several scalars in one transfer."""
    return torch.stack([scalar.detach() for scalar in scalars]).tolist()


def _gradient_norm(model: nn.Module, *, limit: float | None) -> float:
    """Return the norm of the whole gradient, after scaling it down to `limit` if that is given."""
    parameters = [p for p in model.parameters() if p.grad is not None]
    if limit is not None:
        return float(nn.utils.clip_grad_norm_(parameters, limit))
    return float(nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))


def _require_finite(what: str, value: float, *, where: str) -> None:
    if value - value != 0:  # NaN and the infinities
        raise TrainingDivergedError(f"the {what} became {value} in {where}")
