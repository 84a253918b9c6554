"""Whether this machine has the device that is asked for."""

from __future__ import annotations

import torch

from ofa_pose.errors import UsageError


def check_device(device: str | torch.device) -> None:
    """Refuse a device that this machine does not have.

    Raises:
        UsageError: it is no device, or not here.
    """
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise UsageError(f"device {device} cannot be used here: {reason}") from error
