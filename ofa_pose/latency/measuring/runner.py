"""What a runtime has to offer: a network that is ready to run."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import numpy as np

from .kit import Task


class Runner(Protocol):
    """A network that is ready to run."""

    def run(self) -> None:
        """Run the whole network once."""
        ...

    def unit_times(self) -> np.ndarray:
        """Every unit's time in every run so far, in ms, `(runs, units)`; of a `by_unit` task."""
        ...


Prepare = Callable[[bytes, Task, int], Runner]
"""A runtime: (model, task, threads) to a runner."""


def pictures(task: Task) -> list[np.ndarray]:
    """Inputs of a network, `(1, C, H, W)` each; to be read only."""
    return list(_noise(task.inputs))


@lru_cache(maxsize=8)
def _noise(shapes: tuple[tuple[int, ...], ...]) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    return tuple(rng.standard_normal((1, *shape), dtype=np.float32) for shape in shapes)
