"""Several processes that train one model, as `torchrun` starts them; alone, nothing changes."""

from __future__ import annotations

import contextlib
import datetime
import inspect
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ofa_pose.errors import DataError, OfaPoseError, RecipeError, UsageError
from ofa_pose.evaluate.shard import Failure, Shard
from ofa_pose.models import check_device
from ofa_pose.runs import RunFolder

T = TypeVar("T")

# What torch calls the option that every forward pass begins with rank 0's buffers; the name has
# changed.
_BUFFERS = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")
    if name in inspect.signature(DistributedDataParallel).parameters
)

_LOG = logging.getLogger(__name__)

_LIBRARIES = ("gloo", "NCCL", "Connection", "process group")  # in messages of a failed collective
_PATIENCE = datetime.timedelta(minutes=30)  # how far one process may lag behind the others


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
        shard = Shard.of_process_group()
        return cls(shard.rank, shard.size)

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def share(self, batch_size: int, *, parts: int = 1) -> slice:
        """Return which rows of every batch are this process's.

        Args:
            batch_size: images a step, over all processes.
            parts: that each share is run in.

        Raises:
            RecipeError: the batch does not divide among the processes and their parts.
        """
        if batch_size % (self.size * parts):
            among = f"{self.size} processes" + f" of {parts} parts each" * (parts > 1)
            raise RecipeError(
                f"a batch of {batch_size} does not divide among {among}; choose a --batch-size "
                "that does"
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
        keep_own: dict[str, Any] = {_BUFFERS: False}
        return DistributedDataParallel(model, find_unused_parameters=skips_layers, **keep_own)

    def average_buffers(self, model: nn.Module) -> None:
        """Average batch norm's statistics over the processes, in place."""
        if self.size == 1:
            return
        buffers = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
        if not buffers:
            return
        flat = torch.cat([buffer.flatten() for buffer in buffers])
        flat = self.mean(flat)
        parts = flat.split([buffer.numel() for buffer in buffers])
        for buffer, part in zip(buffers, parts, strict=True):
            buffer.copy_(part.view_as(buffer))

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of a tensor over the processes, the same on each.

        Raises:
            OfaPoseError: another process has died.
        """
        if self.size == 1:
            return values
        total = values.clone()
        with others_alive():
            dist.all_reduce(total)
        return total / self.size

    def mean_of(self, value: float) -> float:
        """Return the mean of a number over the processes."""
        if self.size == 1:
            return value
        return float(self.mean(torch.tensor(value, dtype=torch.float64, device=_device())))

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Return for each flag whether it is set on any process."""
        if self.size == 1:
            return flags
        means = self.mean(torch.tensor(flags, dtype=torch.float32, device=_device()))
        return tuple(mean > 0 for mean in means.tolist())

    def agree_on_scenes(self, images: int, fingerprint: str) -> None:
        """Check that every process has the same scenes in the same order.

        Raises:
            DataError: on every process; it tells how many each has.
        """
        if self.size == 1:
            return
        found: list[Any] = [None] * self.size
        with others_alive():
            dist.all_gather_object(found, (images, fingerprint))
        if len(set(found)) > 1:
            counts = ", ".join(f"{count} on rank {rank}" for rank, (count, _) in enumerate(found))
            raise DataError(
                f"the processes do not have the same scenes ({counts}): are all copies of the "
                "data set whole, and alike?"
            )

    def led(self, act: Callable[[], T]) -> T:
        """Let rank 0 alone act; return on every process what it returned there.

        Whatever is raised on rank 0 stops the others too, at once and not when they lose patience.

        Raises:
            OfaPoseError: what rank 0 raised; on the others, an error of the same kind.
        """
        if self.size == 1:
            return act()
        if not self.leads:
            return self._broadcast(None)
        try:
            result = act()
        except BaseException as error:
            with contextlib.suppress(OfaPoseError):  # the first error tells more
                self._broadcast(Failure.of(error))
            raise
        return self._broadcast(result)

    def _broadcast(self, own: Any) -> Any:
        """Return what rank 0 gives; the others raise if that is a failure."""
        told = [own]
        with others_alive():
            dist.broadcast_object_list(told, src=0)
        if isinstance(told[0], Failure) and not self.leads:
            raise told[0].error("rank 0")
        return told[0]

    def open_run(self, path: str | Path, **options: Any) -> RunFolder:
        """Open a run folder on rank 0 (`RunFolder.open`); the others get one they never write."""
        opened: list[RunFolder] = []

        def act() -> tuple[bool, dict[str, Any]]:
            opened.append(RunFolder.open(path, **options))
            return opened[0].resumed, dict(opened[0].config)

        resumed, config = self.led(act)
        return opened[0] if opened else RunFolder.seen(path, config=config, resumed=resumed)


def _device() -> str:
    """Return where the process group's tensors must lie."""
    return "cuda" if dist.get_backend() == "nccl" else "cpu"


@contextlib.contextmanager
def others_alive(*, among_others: bool = False) -> Iterator[None]:
    """Turn the failure of a collective into one line; mostly it means that a process is gone.

    Args:
        among_others: whether more than collectives is done inside the block, and may fail.

    Raises:
        OfaPoseError: a collective failed.
    """
    try:
        yield
    except RuntimeError as error:
        own = isinstance(error, torch.OutOfMemoryError) or "CUDA error" in str(error)
        if own or (among_others and not any(name in str(error) for name in _LIBRARIES)):
            raise
        raise OfaPoseError(
            f"an exchange with the other processes failed ({_said(error)}); if one of them has "
            "stopped, what it says above or below is the reason"
        ) from error


def _said(error: RuntimeError) -> str:
    """Return what the library says of a failure: NCCL's last error, else its first line."""
    message = str(error)
    last = " ".join(message.partition("Last error:")[2].split())
    if last:
        return f"NCCL: {last}"
    return next(iter(message.splitlines()), type(error).__name__)


@contextlib.contextmanager
def joined(device: str) -> Iterator[tuple[World, str]]:
    """Join the processes that `torchrun` started, and leave them at the end.

    Args:
        device: as asked for; a bare `cuda` becomes this process's own GPU.

    Yields:
        The world and this process's device. Without `torchrun`, one process and `device`.

    Raises:
        UsageError: the processes cannot find each other, one GPU was asked for by number, or
            there are fewer GPUs than processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield World(), device
        return
    kind, _, number = device.partition(":")
    if number:
        raise UsageError(f"--device {device}: several processes need --device {kind}, one GPU each")
    if kind == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        check_device(device)
        torch.cuda.set_device(device)
    elif torch.cuda.is_available() and os.environ.get("RANK") == "0":
        _LOG.warning("training on the %s though there are GPUs; --device cuda uses them", kind)
    with _settings_of_many():
        try:
            dist.init_process_group("nccl" if kind == "cuda" else "gloo", timeout=_PATIENCE)
        except (RuntimeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise UsageError(
                f"the processes that torchrun started cannot meet: {reason}"
            ) from error
        try:
            yield World.current(), device
        except BaseException:
            # NCCL would wait here for processes that wait for this one: its end must come first,
            # of which torchrun tells the others.
            if kind != "cuda":
                dist.destroy_process_group()
            raise
        dist.destroy_process_group()


@contextlib.contextmanager
def _settings_of_many() -> Iterator[None]:
    """Set inside the block what one of several processes on a machine needs."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)  # or each process would start a thread for every core
    try:
        with warnings.catch_warnings():
            # Depthwise weights in channels_last have strides that the reduction copies: slower by
            # nothing that can be measured here.
            warnings.filterwarnings(
                "ignore", message="Grad strides do not match bucket view strides"
            )
            yield
    finally:
        cv2.setNumThreads(threads)
