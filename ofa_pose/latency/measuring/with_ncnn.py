"""ncnn: the results of the units are asked for one after the other."""

from __future__ import annotations

import importlib
import time
from typing import Any

import numpy as np

from .errors import MeasureError
from .kit import Task
from .runner import pictures


class Ncnn:
    """ncnn on the processor; the results of the units are asked for one after the other.

    An extractor computes what is asked for and was not computed yet, so the time of asking for a
    unit's result, when those before it are there, is the unit's. A kit holds no weights for ncnn:
    they read as zeros, whose products take as long as any others.
    """

    def __init__(self, model: bytes, task: Task, threads: int) -> None:
        ncnn: Any = importlib.import_module("ncnn")  # its classes are made in C++
        self._net = ncnn.Net()
        self._net.opt.num_threads = threads
        self._net.opt.use_vulkan_compute = False
        for half in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
            setattr(self._net.opt, f"use_{half}", False)
        if self._net.load_param_mem(model.decode()) or self._net.load_model(
            ncnn.DataReaderFromEmpty()
        ):
            raise MeasureError("ncnn cannot read the network")
        self._inputs = [ncnn.Mat(picture[0]).clone() for picture in pictures(task)]
        # Asked for in this order; only what leaves the network is unpacked to the plain layout.
        last = set(task.outputs)
        self._asked = [(unit, int(unit not in last)) for unit, _ in task.units]
        self._outputs = task.outputs
        self._by_unit = task.by_unit
        self._times: list[list[float]] = []

    def run(self) -> None:
        """Run once."""
        extractor = self._net.create_extractor()
        for number, picture in enumerate(self._inputs):
            extractor.input(f"in{number}", picture)
        if not self._by_unit:
            for name in self._outputs:
                extractor.extract(name)
            return
        times = []
        for unit, packed in self._asked:
            start = time.perf_counter()
            extractor.extract(unit, packed)
            times.append(1e3 * (time.perf_counter() - start))
        self._times.append(times)

    def unit_times(self) -> np.ndarray:
        """Times in ms `(runs, units)`."""
        return np.array(self._times)
