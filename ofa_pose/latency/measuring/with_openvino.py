"""OpenVINO: its performance counters time every operation."""

from __future__ import annotations

import numpy as np

from .errors import MeasureError
from .kit import Task
from .runner import pictures


class OpenVino:
    """OpenVINO on the processor; its performance counters time every operation."""

    def __init__(self, model: bytes, task: Task, threads: int) -> None:
        import openvino  # pyright: ignore[reportMissingImports]

        core = openvino.Core()
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": "f32",
            "PERF_COUNT": task.by_unit,
        }
        compiled = core.compile_model(core.read_model(model), "CPU", settings)
        self._request = compiled.create_infer_request()
        self._inputs = dict(enumerate(pictures(task)))
        self._units = [name for name, _ in task.units]
        self._by_unit = task.by_unit
        self._times: list[list[float]] = []

    def run(self) -> None:
        """Run once."""
        self._request.infer(self._inputs)
        if self._by_unit:
            times = dict.fromkeys(self._units, 0.0)
            for operation in self._request.profiling_info:
                spent = 1e3 * operation.real_time.total_seconds()
                if spent:
                    times[self._unit_of(operation.node_name)] += spent
            self._times.append([times[unit] for unit in self._units])

    def _unit_of(self, operation: str) -> str:
        """Its unit: a conversion of layout is called after what it stands between."""
        named = [(operation.find(f"{unit}/"), unit) for unit in self._units]
        found = [(place, -len(unit), unit) for place, unit in named if place >= 0]
        if not found:
            raise MeasureError(f"the operation {operation!r} belongs to no unit")
        return min(found)[2]

    def unit_times(self) -> np.ndarray:
        """Times in ms `(runs, units)`."""
        return np.array(self._times)
