"""A tier's network from bytes to maps, and the files made of it compared with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ofa_pose.converters.told import told
from ofa_pose.errors import WeightsError
from ofa_pose.export.check import compare_outputs
from ofa_pose.export.tier import Tier
from ofa_pose.models import fold_batch_norms

TOLERANCE = 1e-4
"""Largest difference to PyTorch's outputs that is let pass, in the unit of `compare_outputs`."""

Run = Callable[[np.ndarray], Sequence[np.ndarray]]
"""Runs a file: `(N, 3, H, W)` float32 of 0 to 255 in, outputs as the network has them out."""


class RawNetwork(nn.Module):
    """A tier's network for deployment: batch norms folded, the normalisation inside.

    Maps `(N, 3, H, W)` float32, RGB of 0 to 255, to a tuple of the plan's outputs.

    Args:
        tier: saved, with its weights.
        fold: whether batch norms are folded; what files are compared with has them.

    Attributes:
        outputs: names of the plan's outputs.
        resolution: side in pixels that it was made for.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, tier: Tier, *, fold: bool = True) -> None:
        super().__init__()
        self.network = tier.build()
        if fold:
            fold_batch_norms(self.network)
        self.outputs = self.network.plan.outputs
        self.resolution = tier.resolution
        for name, values in (("mean", tier.space.pixel_mean), ("std", tier.space.pixel_std)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1))
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the plan's outputs, in its order."""
        return tuple(self.network((images - self.mean) / self.std))


@torch.no_grad()
def difference_to(
    network: RawNetwork, run: Run, *, runtime: str, sizes: Iterable[tuple[int, int, int]]
) -> float:
    """Return the largest difference of a file's outputs, on random pictures.

    Args:
        network: that the file has to equal.
        run: runs the file.
        runtime: its name, for messages.
        sizes: pictures, height and width of every comparison.

    Raises:
        ConversionError: the runtime cannot run it.
        WeightsError: it gives something else than PyTorch.
    """
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for pictures, height, width in sizes:
        images = 255 * torch.rand(pictures, 3, height, width, generator=generator)
        with told(runtime):
            found = [torch.from_numpy(np.asarray(output)) for output in run(images.numpy())]
        try:
            worst = max(worst, compare_outputs(found, network(images), tolerance=TOLERANCE))
        except WeightsError as error:
            raise WeightsError(f"{runtime} against PyTorch: {error}") from None
    return worst
