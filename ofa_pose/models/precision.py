"""How many bits a network computes in: all 32, or 16 where autocast finds that safe."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from ofa_pose.errors import UsageError, suggest

Precision = Literal["float32", "bfloat16", "float16"]
"""`float16` is for GPUs only."""


def check_precision(precision: str, device: str | torch.device) -> None:
    """Refuse what is no precision, and one that a device is not made for.

    Args:
        precision: a `Precision`.
        device: such as `cpu` or `cuda:1`.

    Raises:
        UsageError: no such precision, or `float16` on the CPU.
    """
    known = get_args(Precision)
    if precision not in known:
        raise UsageError(f"unknown precision {precision!r}{suggest(precision, known)}")
    if precision == "float16" and torch.device(device).type == "cpu":
        raise UsageError("precision float16 is for GPUs; on a CPU take bfloat16 or float32")


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Return the block in which a network on `device` runs in a precision."""
    dtype = None if precision == "float32" else getattr(torch, precision)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)
