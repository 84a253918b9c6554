"""Modules sent to other processes in a few blocks of memory, not tensor by tensor."""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

_ALIGNED = 64
"""Bytes that a tensor's place in a block is a multiple of, as torch places single tensors."""

_MOVING = threading.Lock()
"""A pool's processes are each sent what they need by a thread of its own."""


def in_blocks(module: nn.Module) -> nn.Module:
    """Return what pickles and is copied as the module would be, but with few tensors.

    Processes share the memory of the tensors they are sent. Each takes an open file until the
    receiver has it, so that a supernet of 679 tensors does not reach two processes where 1,024
    files may be open, as is common. Here all tensors of one type take one.

    For this the module's parameters and buffers are moved into one block of memory for each type.
    They stay the same objects with the same values, and lie there already when the module is sent
    to the next process. The result is for pickling alone: it cannot be run.

    Args:
        module: on a CPU.
    """
    tensors = _tensors(module)
    with _MOVING:
        blocks = {dtype: _block(group) for dtype, group in _by_type(tensors).items()}
    memo: dict[int, Any] = {id(tensor): _Part(blocks[tensor.dtype], tensor) for tensor in tensors}
    return copy.deepcopy(module, memo)


class _Part:
    """Stands for a tensor of a block, and is unpickled as one."""

    def __init__(self, block: Tensor, tensor: Tensor) -> None:
        place = tensor.shape, tensor.stride(), tensor.storage_offset()
        learns = tensor.requires_grad if isinstance(tensor, nn.Parameter) else None
        self._made_of = block, place, learns

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, self._made_of


def _made(block: Tensor, place: tuple[Any, ...], learns: bool | None) -> Tensor:
    tensor = block.as_strided(*place)
    return tensor if learns is None else nn.Parameter(tensor, requires_grad=learns)


def _tensors(module: nn.Module) -> list[Tensor]:
    """Return the parameters and buffers, but for those that a block could not give back."""
    tensors = [*module.parameters(), *module.buffers()]
    return [
        tensor for tensor in tensors if type(tensor) in (nn.Parameter, Tensor) and _dense(tensor)
    ]


def _dense(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and (
        tensor.is_contiguous()
        or (tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last))
    )


def _by_type(tensors: Sequence[Tensor]) -> dict[torch.dtype, list[Tensor]]:
    groups: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault(tensor.dtype, []).append(tensor)
    return groups


@torch.no_grad()
def _block(tensors: Sequence[Tensor]) -> Tensor:
    """Return the memory that tensors of one type lie in, after moving them there if need be."""
    storages = {tensor.untyped_storage().data_ptr() for tensor in tensors}
    if len(storages) > 1:
        step = max(1, _ALIGNED // tensors[0].element_size())
        room = [-(-tensor.numel() // step) * step for tensor in tensors]
        block = tensors[0].new_empty(sum(room))
        start = 0
        for tensor, size in zip(tensors, room, strict=True):
            moved = block.as_strided(tensor.shape, tensor.stride(), start)
            tensor.data = moved.copy_(tensor)
            start += size
    first = tensors[0]
    return first.new_empty(0).set_(first.untyped_storage())
