"""PyTorch itself as a runtime: a plain network, its units timed as they are called."""

from __future__ import annotations

import json
import time

import numpy as np
import torch

from ofa_pose.latency.kit import network_inputs
from ofa_pose.latency.measuring.kit import Task
from ofa_pose.models import NetworkPlan, Unit, UnitSpec


def to_torch(plan: NetworkPlan) -> bytes:
    """Return the plan as JSON: the modules are built where they are run."""
    units = [(unit.name, unit.spec.key, unit.inputs) for unit in plan.units]
    return json.dumps({"units": units, "outputs": plan.outputs}).encode()


class TorchRunner:
    """Eager PyTorch on the processor, in the layout channels-last, without gradients.

    It sets torch's number of threads, as each run must find it; `run_kit` restores it.
    """

    def __init__(self, model: bytes, task: Task, threads: int) -> None:
        torch.set_num_threads(threads)
        document = json.loads(model)
        self._units = tuple(
            Unit(name, UnitSpec.parse(key), tuple(inputs))
            for name, key, inputs in document["units"]
        )
        layout = torch.channels_last
        self._modules = [
            unit.spec.build().eval().to(memory_format=layout)  # pyright: ignore[reportCallIssue]
            for unit in self._units
        ]
        plan = NetworkPlan(self._units, task.outputs)
        self._inputs = {
            name: torch.zeros(1, *shape).to(memory_format=layout)
            for name, shape in network_inputs(plan).items()
        }
        self._times: list[list[float]] = []

    def run(self) -> None:
        """Run once."""
        values = dict(self._inputs)
        times = []
        with torch.inference_mode():
            for unit, module in zip(self._units, self._modules, strict=True):
                start = time.perf_counter()
                values[unit.name] = module(*(values[name] for name in unit.inputs))
                times.append(1e3 * (time.perf_counter() - start))
        self._times.append(times)

    def unit_times(self) -> np.ndarray:
        """Times in ms `(runs, units)`."""
        return np.array(self._times)
