"""How much memory a training step holds, told before the system ends the process for it."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from ofa_pose.train.job import Job

_LOG = logging.getLogger(__name__)

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
_HALF = 0.5  # of float32's bytes, where autocast computes in 16 bits


def kept_bytes(
    network: nn.Module, forward: Callable[[nn.Module, Tensor], Any], *, resolution: int
) -> int | None:
    """Return the bytes of feature maps that one picture's forward pass keeps for the backward.

    Computes nothing: the network is copied without its values (PyTorch's `meta` device), and what
    autograd saves is added up, each storage once, weights left out. Gradients and what the
    kernels need for themselves come on top, a third or so more.

    Args:
        network: in any mode, on any device; left alone.
        forward: runs a network on `(1, 3, R, R)`.
        resolution: R, pixels.

    Returns:
        None where that does not work, such as for an operation that needs values.
    """
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[_identity(storage)] = storage
        return tensor

    try:
        hollow = _copy(network).to("meta").train()
        with torch.enable_grad(), saved_tensors_hooks(keep, lambda tensor: tensor):
            _outputs = forward(hollow, torch.empty(1, 3, resolution, resolution, device="meta"))
    except Exception as error:  # noqa: BLE001 - a network of anybody's; this is only a forecast
        _LOG.debug("no forecast of the memory of a step: %s", error)
        return None
    own = {_identity(tensor.untyped_storage()) for tensor in hollow.state_dict().values()}
    return sum(storage.nbytes() for key, storage in kept.items() if key not in own)


def free_bytes(device: torch.device) -> int | None:
    """Return the memory that a process can still have on a device; None where that is not told.

    On a CPU it is what Linux says is available, or what a container may still take, if less.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu":
        return None
    found = [value for value in (_available(), _left_in_container()) if value is not None]
    return min(found, default=None)


def check_memory(job: Job, *, processes: int = 1) -> None:
    """Warn where the feature maps of a step alone take more memory than is free.

    Args:
        job: the training; its model may be anywhere.
        processes: that share a batch; on a CPU they share the memory, too.
    """
    arch, recipe = job.sampler.largest, job.recipe
    free = free_bytes(job.device)
    if free is None:
        return
    picture = kept_bytes(
        job.model,
        lambda model, images: job.forward(model, images, arch),
        resolution=arch.resolution,
    )
    if picture is None:
        return
    if recipe.precision != "float32":
        picture *= _HALF
    shared = 1 if job.device.type == "cpu" else processes
    pictures = recipe.batch_size / (recipe.accumulate * shared)
    if picture * pictures <= free:
        return
    _LOG.warning(
        "a step of %g pictures at %d px keeps %.1f GiB of feature maps, and more beside, but %.1f "
        "GiB are free: the system may end the run; a smaller --batch-size takes less, or --set "
        "accumulate=N, which runs a batch in N parts",
        pictures,
        arch.resolution,
        picture * pictures / 2**30,
        free / 2**30,
    )


def rehearse(job: Job, *, pictures: int) -> None:
    """Run the largest arch of a training once, forward and backward, and throw the result away.

    On a GPU, so that one with too little memory says so in the first second, not when that arch
    is first drawn.

    Args:
        job: the training; its model, on its device already, is left alone.
        pictures: of one part of one process's share of a batch.
    """
    arch = job.sampler.largest
    model = _copy(job.model).train()
    images = torch.zeros(pictures, 3, arch.resolution, arch.resolution, device=job.device)
    images = images.contiguous(memory_format=torch.channels_last)
    with job.recipe.autocast(job.device):
        outputs = job.forward(model, images, arch)
    torch.stack([output.float().sum() for output in outputs]).sum().backward()


def _copy(network: nn.Module) -> nn.Module:
    """Copy a network without its hooks, whose owner wants to hear of real passes only."""
    copied = copy.deepcopy(network)
    for module in copied.modules():
        module._forward_pre_hooks.clear()  # noqa: SLF001
        module._forward_hooks.clear()  # noqa: SLF001
    return copied


def _identity(storage: torch.UntypedStorage) -> int:
    # Storages without values have no address to tell them apart by.
    return storage._cdata  # noqa: SLF001


def _available() -> int | None:
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    sizes = (line.split() for line in lines if line.startswith("MemAvailable:"))
    return next((int(size[1]) << 10 for size in sizes), None)


def _left_in_container() -> int | None:
    """Return what a container's limit leaves; files in memory give way, so they do not count."""
    try:
        most = (_CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = int((_CGROUP / "memory.current").read_text(encoding="ascii"))
        lines = (_CGROUP / "memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    if most == "max":
        return None
    parts = dict(line.split() for line in lines)
    files = int(parts.get("inactive_file", 0)) + int(parts.get("active_file", 0))
    return max(0, int(most) - used + files)
