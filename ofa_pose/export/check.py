"""Whether two networks compute the same, before one is handed out in place of the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ofa_pose.errors import WeightsError

_SEED = 0  # of the pictures


@torch.no_grad()
def check_same_outputs(
    network: nn.Module,
    reference: Callable[[Tensor], Sequence[Tensor]],
    *,
    resolution: int,
    tolerance: float = 1e-5,
) -> float:
    """Compare outputs on two random pictures, in the modes that both are in.

    Args:
        network: what is handed out, such as `supernet.extract(arch)`.
        reference: what it must equal, such as `lambda images: supernet(images, arch)`; on the
            same device.
        resolution: side of the pictures in pixels.
        tolerance: largest difference allowed, as a fraction of the reference's largest output
            (of 1 if that is smaller).

    Returns:
        The largest difference found, in that unit.

    Raises:
        WeightsError: they differ by more, in the number of outputs, or in an output's shape.
    """
    parameter = next(network.parameters(), torch.empty(0))
    generator = torch.Generator().manual_seed(_SEED)
    images = torch.randn(2, 3, resolution, resolution, generator=generator).to(parameter.device)
    return compare_outputs(network(images), reference(images), tolerance=tolerance)


def compare_outputs(ours: Sequence[Tensor], theirs: Sequence[Tensor], *, tolerance: float) -> float:
    """Return the largest difference of two networks' outputs for the same pictures.

    Args:
        ours: one tensor an output.
        theirs: the reference's.
        tolerance: largest difference allowed, as a fraction of the reference's largest output
            (of 1 if that is smaller); what is returned is in that unit.

    Raises:
        WeightsError: they differ by more, in the number of outputs, or in an output's shape.
    """
    shapes = [[tuple(output.shape) for output in outputs] for outputs in (ours, theirs)]
    if shapes[0] != shapes[1]:
        raise WeightsError(f"outputs have the shapes {shapes[0]}, the reference's {shapes[1]}")
    worst = 0.0
    for number, (own, other) in enumerate(zip(ours, theirs, strict=True)):
        unit = max(1.0, float(other.abs().max()))
        difference = float((own - other).abs().max()) / unit
        if not difference <= tolerance:  # so that NaN is refused too
            raise WeightsError(
                f"output {number} differs from the reference's by {difference:.2g} of its range, "
                f"more than {tolerance:g}"
            )
        worst = max(worst, difference)
    return worst
