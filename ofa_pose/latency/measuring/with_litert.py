"""LiteRT: only whole networks can be timed."""

from __future__ import annotations

import numpy as np

from .errors import MeasureError
from .kit import Task


class LiteRt:
    """LiteRT with its XNNPACK delegate; it tells nothing of the inside of a network."""

    def __init__(self, model: bytes, task: Task, threads: int) -> None:
        from ai_edge_litert.interpreter import (  # pyright: ignore[reportMissingImports]
            Interpreter,
        )

        self._interpreter = Interpreter(model_content=model, num_threads=threads)
        self._interpreter.allocate_tensors()
        rng = np.random.default_rng(0)
        for entry in self._interpreter.get_input_details():
            picture = rng.standard_normal(tuple(entry["shape"]), dtype=np.float32)
            self._interpreter.set_tensor(entry["index"], picture)

    def run(self) -> None:
        """Run once."""
        self._interpreter.invoke()

    def unit_times(self) -> np.ndarray:
        """Not to be had.

        Raises:
            MeasureError: always.
        """
        raise MeasureError("litert does not time the parts of a network")
