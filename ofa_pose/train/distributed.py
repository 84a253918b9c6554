"""Several processes that train one model, as `torchrun` starts them; alone, nothing changes."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ofa_pose.errors import OfaPoseError, RecipeError, UsageError
from ofa_pose.runs import RunFolder

T = TypeVar("T")

_PATIENCE = datetime.timedelta(minutes=30)  # a validation on rank 0 alone may take this long


@dataclass(frozen=True)
class World:
    """The processes of a training and which of them this one is.

    Attributes:
        rank: this process's number, from 0; 0 writes the run folder.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> World:
        """Return the world of the process group, or that of one process if there is none."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def share(self, batch_size: int) -> slice:
        """Return which rows of every batch are this process's.

        Raises:
            RecipeError: the batch does not divide among the processes.
        """
        if batch_size % self.size:
            raise RecipeError(
                f"a batch of {batch_size} does not divide among {self.size} processes; choose a "
                "--batch-size that does"
            )
        rows = batch_size // self.size
        return slice(self.rank * rows, (self.rank + 1) * rows)

    def wrap(self, model: nn.Module, *, skips_layers: bool) -> nn.Module:
        """Return `model` so that gradients are averaged over the processes.

        Every process gets the weights of rank 0. Batch norm measures each process's share by
        itself; `average_buffers` brings the statistics together.

        Args:
            model: on its device already.
            skips_layers: whether some steps leave layers out (a supernet of elastic depth).
        """
        if self.size == 1:
            return model
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)
        return DistributedDataParallel(
            model, broadcast_buffers=False, find_unused_parameters=skips_layers
        )

    def average_buffers(self, model: nn.Module) -> None:
        """Average batch norm's statistics over the processes, in place."""
        if self.size == 1:
            return
        buffers = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
        flat = torch.cat([buffer.flatten() for buffer in buffers])
        flat = self.mean(flat)
        parts = flat.split([buffer.numel() for buffer in buffers])
        for buffer, part in zip(buffers, parts, strict=True):
            buffer.copy_(part.view_as(buffer))

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of a tensor over the processes, the same on each."""
        if self.size > 1:
            dist.all_reduce(values)
            values /= self.size
        return values

    def agree(self, seconds: float, stop: bool) -> tuple[float, bool]:
        """Return the mean of `seconds` over the processes and whether any wants to stop."""
        if self.size == 1:
            return seconds, stop
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        both = torch.tensor([seconds, float(stop)], dtype=torch.float64, device=device)
        seconds, wishes = self.mean(both).tolist()
        return seconds, wishes > 0

    def led(self, act: Callable[[], T]) -> T:
        """Let rank 0 alone act; return on every process what it returned there.

        Raises:
            OfaPoseError: what rank 0 raised, on every process.
        """
        if self.size == 1:
            return act()
        outcome: list[Any] = [None]
        if self.leads:
            try:
                outcome = [act()]
            except OfaPoseError as error:
                outcome = [error]
        dist.broadcast_object_list(outcome, src=0)
        if isinstance(outcome[0], OfaPoseError):
            raise outcome[0]
        return outcome[0]

    def open_run(self, path: str | Path, **options: Any) -> RunFolder:
        """Open a run folder on rank 0 (`RunFolder.open`); the others get one they never write."""
        opened: list[RunFolder] = []

        def act() -> tuple[bool, dict[str, Any]]:
            opened.append(RunFolder.open(path, **options))
            return opened[0].resumed, dict(opened[0].config)

        resumed, config = self.led(act)
        return opened[0] if opened else RunFolder.seen(path, config=config, resumed=resumed)


@contextlib.contextmanager
def joined(device: str) -> Iterator[tuple[World, str]]:
    """Join the processes that `torchrun` started, and leave them at the end.

    Args:
        device: as asked for; a bare `cuda` becomes this process's own GPU.

    Yields:
        The world and this process's device. Without `torchrun`, one process and `device`.

    Raises:
        UsageError: the processes cannot find each other, or one GPU was asked for by number.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield World(), device
        return
    kind, _, number = device.partition(":")
    if number:
        raise UsageError(f"--device {device}: several processes need --device {kind}, one GPU each")
    if kind == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    try:
        dist.init_process_group("nccl" if kind == "cuda" else "gloo", timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"the processes that torchrun started cannot meet: {reason}") from error
    try:
        yield World.current(), device
    finally:
        dist.destroy_process_group()
