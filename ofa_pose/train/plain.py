"""Plain values: what a checkpoint can hold and be read back from without running any code."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ofa_pose.errors import OfaPoseError

_PLAIN = (str, int, float, bool, type(None))


def plain(value: Any) -> Any:
    """Return nested values with numpy's numbers, texts and arrays as Python's own.

    What is of neither is returned as it is.
    """
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if type(value) is tuple:
        return tuple(plain(item) for item in value)
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return value


def check_plain(value: Any, *, name: str) -> None:
    """Refuse nested values that could be saved but not be read again.

    Args:
        value: mappings, lists and tuples of plain values and tensors.
        name: of the whole, for the message.

    Raises:
        OfaPoseError: `torch.load(weights_only=True)` would refuse one of them, which is named.
    """
    for path, leaf in _leaves(value, name):
        if type(leaf) in _PLAIN or isinstance(leaf, Tensor) or _comes_back(leaf):
            continue
        kind = f"{type(leaf).__module__}.{type(leaf).__qualname__}"
        raise OfaPoseError(
            f"{path} is a {kind}, which a checkpoint cannot hold; give plain Python values"
        )


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield f"a key of {path}", key
            yield from _leaves(item, f"{path}.{key}")
    elif type(value) in (list, tuple):
        for number, item in enumerate(value):
            yield from _leaves(item, f"{path}[{number}]")
    else:
        yield path, value


def _comes_back(leaf: Any) -> bool:
    """Whether torch reads a value of some other type without unpickling code."""
    stream = io.BytesIO()
    try:
        torch.save(leaf, stream)
        stream.seek(0)
        torch.load(stream, weights_only=True)
    except Exception:  # noqa: BLE001 - pickles of any type may fail in any way
        return False
    return True
