"""A list that data workers read without copying it, however long it is."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

import numpy as np

from ofa_pose.data.scene import place_in

T = TypeVar("T")


class PackedList(Generic[T]):
    """Plain values, each pickled, one after the other in one array of bytes.

    A list of dictionaries takes several times the memory, and a forked process copies all of it
    little by little, as looking at a Python object writes to it (its reference count). An array
    stays shared, and goes to other processes in one piece.

    Args:
        items: numbers, texts, lists and dictionaries; what is read is a copy.
    """

    def __init__(self, items: Iterable[T]) -> None:
        pieces = [pickle.dumps(item, pickle.HIGHEST_PROTOCOL) for item in items]
        self._ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
        self._bytes = np.frombuffer(b"".join(pieces), np.uint8)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> T:
        index = place_in(self, index)
        start = self._ends[index - 1] if index else 0
        return pickle.loads(self._bytes[start : self._ends[index]].tobytes())

    def __iter__(self) -> Iterator[T]:
        return (self[index] for index in range(len(self)))
