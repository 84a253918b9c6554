"""A SHA-256 over nested plain values and tensors, whatever file they are written to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor


def digest(value: Any) -> str:
    """Return the SHA-256 of mappings, lists, tensors and plain values as 64 hex digits.

    Order, names, types, shapes and every bit of a tensor count; where it lies in memory, its
    strides and its device do not.
    """
    sha256 = hashlib.sha256()
    for part in _parts(value):
        sha256.update(part)
    return sha256.hexdigest()


def _parts(value: Any) -> Iterator[Any]:
    """Yield the bytes (or flat arrays of bytes) that tell `value` from any other."""
    if isinstance(value, Tensor):
        yield f"{value.dtype}{tuple(value.shape)}".encode()
        yield value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    elif isinstance(value, Mapping):
        yield f"{{{len(value)}".encode()
        for key, item in value.items():
            yield from _parts(key)
            yield from _parts(item)
    elif isinstance(value, list | tuple):
        yield f"[{len(value)}".encode()
        for item in value:
            yield from _parts(item)
    else:
        yield f"{type(value).__name__} {value!r};".encode()
