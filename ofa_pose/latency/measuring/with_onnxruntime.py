"""onnxruntime: its profiler times every operation."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import numpy as np

from .kit import Task
from .onnx_graph import operations_to_units, read_onnx_graph
from .runner import pictures


class OnnxRuntime:
    """onnxruntime on the processor; its profiler times every operation."""

    def __init__(self, model: bytes, task: Task, threads: int) -> None:
        # From 1.29 on it sends telemetry, and warns where HOME cannot be written.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._units = [name for name, _ in task.units]
        self._folder = None
        if task.by_unit:
            self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            optimized = Path(self._folder.name) / "optimized.onnx"
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(self._folder.name) / "profile")
            options.optimized_model_filepath = str(optimized)
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        names = [entry.name for entry in self._session.get_inputs()]
        self._inputs = dict(zip(names, pictures(task), strict=True))
        self._runs = 0
        if task.by_unit:
            graph = read_onnx_graph(Path(options.optimized_model_filepath).read_bytes())
            self._unit_of = operations_to_units(graph, self._units)

    def run(self) -> None:
        """Run once."""
        self._session.run(None, self._inputs)
        self._runs += 1

    def unit_times(self) -> np.ndarray:
        """Times in ms `(runs, units)`; ends the profile."""
        events = json.loads(Path(self._session.end_profiling()).read_text())
        if self._folder is not None:
            self._folder.cleanup()
        times: dict[str, list[float]] = {}
        for event in events:
            name = event["name"].removesuffix("_kernel_time")
            if event.get("cat") == "Node" and name != event["name"]:
                times.setdefault(name, []).append(event["dur"] / 1e3)
        sums = np.zeros((self._runs, len(self._units)))
        for name, durations in times.items():
            sums[:, self._units.index(self._unit_of[name])] += durations
        return sums
