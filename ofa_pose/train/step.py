"""One optimizer step and what it needs: batches in order, forward, loss, backward, update."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ofa_pose.data import Augmentation, Batch, TrainBatches, make_loader, normalize
from ofa_pose.errors import TrainingDivergedError
from ofa_pose.models.depthwise import fast_depthwise
from ofa_pose.models.pointwise import fast_pointwise
from ofa_pose.pose import distillation_loss, pose_loss
from ofa_pose.space import Arch
from ofa_pose.train.distributed import World, others_alive
from ofa_pose.train.ema import Average
from ofa_pose.train.job import Job
from ofa_pose.train.recipe import Recipe

_DRAWN = 203  # first word of the seeds: no other use of a user's seed shares this stream of numbers


def batches_of(
    job: Job, *, start: int, stop: int | None, workers: int, world: World
) -> Iterator[Batch]:
    """Yield this process's part of the job's batches, each at the resolution of its step.

    Args:
        job: gives scenes, augmentation, seed and archs.
        start: first step, from 0.
        stop: step after the last one, or None for no end.
        workers: processes that prepare batches; 0 prepares them here.
        world: the processes that share a batch.
    """
    recipe = job.recipe
    batches = TrainBatches(
        job.source,
        Augmentation(**recipe.augmentation.model_dump()),
        batch_size=recipe.batch_size,
        seed=job.seed,
        resolution_of=job.sampler.resolution,
        rows=world.share(recipe.batch_size, parts=recipe.accumulate),
    )
    last = sys.maxsize if stop is None else stop
    pinned = job.device.type == "cuda"
    yield from make_loader(batches, start=start, stop=last, workers=workers, pinned=pinned)


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


class Learner:
    """Takes the steps of a job; holds what learns besides the model.

    Args:
        job: its model is on its device.
        world: the processes that share every step.
    """

    def __init__(self, job: Job, *, world: World) -> None:
        self.job = job
        self.world = world
        self.optimizer = make_optimizer(job.model, job.recipe)
        self._wrapped = world.wrap(job.model, skips_layers=job.skips_layers)
        self.average = Average(job.model, decay=job.recipe.ema) if job.recipe.ema else None
        self._called = torch.compile(self._wrapped) if job.compiled else self._wrapped
        self._own_convolutions = job.device.type == "cpu" and not job.compiled
        self._scaler = torch.amp.GradScaler(
            job.device.type, enabled=job.recipe.precision == "float16"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs besides the model's weights."""
        average = {} if self.average is None else self.average.state_dict()
        return {
            "optimizer": self.optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "average": average,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.optimizer.load_state_dict(dict(state["optimizer"]))
        self._scaler.load_state_dict(dict(state["scaler"]))
        if self.average is not None:
            self.average.load_state_dict(state["average"])

    @contextlib.contextmanager
    def best_weights(self) -> Iterator[None]:
        """Let the model hold, inside the block, the weights worth validating and saving."""
        with (
            contextlib.nullcontext()
            if self.average is None
            else self.average.applied(self.job.model)
        ):
            yield

    def step(self, batch: Batch, *, step: int, rate: float) -> dict[str, float]:
        """Take step number `step` (from 0) at learning rate `rate`.

        Every arch of the step sees every part of the batch; the gradients of all these passes
        are averaged, over the processes too.

        Args:
            batch: this process's share.
            step: finished steps.
            rate: learning rate.

        Returns:
            The step's losses, means over its passes: `loss`, `heatmap`, `pull`, `push` and, where
            there is a teacher, `distilled`.

        Raises:
            TrainingDivergedError: the loss or the gradient is NaN or infinite; the optimizer has
                not moved the weights (batch-norm statistics may be spoilt).
        """
        job = self.job
        job.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        archs = job.sampler.archs(step)
        batch = batch.to(job.device, non_blocking=True)
        parts = batch.split(job.recipe.accumulate)
        sums: dict[str, Tensor] = {}
        with self._seeded(step):
            for number, part in enumerate(parts):
                is_last = number == len(parts) - 1
                for name, value in self._part(part, archs, is_last=is_last).items():
                    sums[name] = sums[name] + value if name in sums else value
        passes = len(parts) * len(archs)
        self.world.average_buffers(job.model)
        scale = self._scaler.get_scale()
        self._scaler.unscale_(self.optimizer)
        norm = _gradient_norm(job.model, limit=job.recipe.grad_clip)
        losses = {name: value / passes for name, value in sums.items()}
        figures = self._means({**losses, "gradient": norm})
        where = f"step {step + 1} (arch {', '.join(arch.key for arch in archs)})"
        _require_finite("loss", figures["loss"], where=where)
        norm_value = figures.pop("gradient")
        if not self._scaler.is_enabled() or scale < 1:
            _require_finite("gradient", norm_value, where=where)
        self._update(scale)
        return figures

    def _part(self, part: Batch, archs: Sequence[Arch], *, is_last: bool) -> dict[str, Tensor]:
        """Run every arch on one part of a batch, forward and backward; return summed losses."""
        job, recipe = self.job, self.job.recipe
        images = normalize(part.images, job.space.pixel_mean, job.space.pixel_std)
        images = images.contiguous(memory_format=torch.channels_last)
        weight = recipe.heatmap_weight(archs[0].resolution)
        with self._running():
            asked = job.teacher if recipe.distillation else None
            teacher = None if asked is None else asked(images)
        sums: dict[str, Tensor] = {}
        for number, arch in enumerate(archs):
            with self._synchronised(is_last and number == len(archs) - 1):
                with self._running():
                    outputs = list(job.forward(self._called, images, arch))
                loss = pose_loss(
                    outputs,
                    part.heatmaps,
                    part.masks,
                    part.tags,
                    with_tags=recipe.tags,
                    heatmap_weight=weight,
                )
                total = loss.total
                losses = {"heatmap": loss.heatmap, "pull": loss.pull, "push": loss.push}
                if teacher is not None:
                    distilled = distillation_loss(
                        outputs,
                        teacher,
                        part.masks,
                        part.tags,
                        with_tags=recipe.tags,
                        heatmap_weight=weight,
                    )
                    losses["distilled"] = recipe.distillation * distilled.total
                    total = total + losses["distilled"]
                with others_alive(among_others=True):
                    self._scaler.scale(total / (len(archs) * recipe.accumulate)).backward()
            if number == 0 and job.learns_from_first:
                teacher = [output.detach() for output in outputs]
            for name, value in {"loss": total, **losses}.items():
                sums[name] = sums.get(name, 0) + value.detach()
        return sums

    def _update(self, scale: float) -> None:
        """Move the weights by the gradients at hand.

        In float16 a step whose scaled gradient overflows is passed over and the scale halved, as
        it must be now and then; a scale below 1 shows that no scale would help.

        Args:
            scale: that the gradients had.
        """
        self._scaler.step(self.optimizer)
        self._scaler.update()
        if self.average is not None and self._scaler.get_scale() >= scale:
            self.average.update(self.job.model)

    def _means(self, scalars: Mapping[str, Tensor]) -> dict[str, float]:
        """Read several scalars in one transfer; their means over the processes."""
        values = self.world.mean(torch.stack(list(scalars.values())))
        return dict(zip(scalars, values.tolist(), strict=True))

    @contextlib.contextmanager
    def _seeded(self, step: int) -> Iterator[None]:
        """Let what a network draws by itself, as dropout does, follow from seed, step and rank."""
        rng = np.random.default_rng([_DRAWN, self.job.seed, step, self.world.rank])
        device = self.job.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(int(rng.integers(2**63)))
            yield

    def _synchronised(self, wanted: bool) -> contextlib.AbstractContextManager[None]:
        """Keep gradients on this process in all but a step's last pass."""
        if wanted or not isinstance(self._wrapped, DistributedDataParallel):
            return contextlib.nullcontext()
        return self._wrapped.no_sync()

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        """Run networks in the recipe's precision, with our convolutions where torch's are slow."""
        own = self._own_convolutions
        precision = self.job.recipe.autocast(self.job.device)
        with precision, fast_pointwise(own), fast_depthwise(own):
            yield


def _gradient_norm(model: nn.Module, *, limit: float | None) -> Tensor:
    """Return the norm of the whole gradient, after scaling it down to `limit` if that is given."""
    parameters = [p for p in model.parameters() if p.grad is not None]
    if limit is not None:
        return nn.utils.clip_grad_norm_(parameters, limit)
    return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])


def _require_finite(what: str, value: float, *, where: str) -> None:
    if value - value != 0:  # NaN and the infinities
        raise TrainingDivergedError(f"the {what} became {value} in {where}")
