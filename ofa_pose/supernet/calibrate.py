"""Batch-norm re-calibration: a subnet's statistics are its own, not the supernet's average."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ofa_pose.errors import DataError


@torch.no_grad()
def recalibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Reset every batch norm's running statistics and average them anew, in place.

    Likewise those of an instance norm that keeps some.

    Cumulative average over the batches, each weighted by its number of pictures, so that the
    last, smaller batch of a size has no more say than its pictures; no gradients. Nothing of the
    old statistics remains. The network is left in eval mode.

    Args:
        network: a plain network, such as `Supernet.extract` returns.
        batches: `(N, 3, H, W)` normalised images without augmentation, on the network's device,
            at the arch's resolution.

    Raises:
        DataError: there is no batch, or one is no tensor of images alone.
    """
    if isinstance(batches, Tensor):
        raise DataError("re-calibration takes several batches, such as [images], not one tensor")
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._NormBase)]  # noqa: SLF001
    momenta = [norm.momentum for norm in norms]
    network.eval()
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
        seen = 0
        for batch in batches:
            if not isinstance(batch, Tensor):
                raise DataError(
                    f"re-calibration takes batches of images, and one is a {type(batch).__name__}; "
                    "from a loader of pairs take (images for images, _ in loader)"
                )
            if not len(batch):
                continue
            seen += len(batch)
            for norm in norms:
                norm.momentum = len(batch) / seen  # 1 at first: the batch replaces the reset values
            network(batch)
        if not seen and norms:
            raise DataError("batch-norm re-calibration needs at least one batch of images")
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        network.eval()
