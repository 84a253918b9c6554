"""A space small enough to be measured in a test, and a runtime that only pretends to run."""

import time
from pathlib import Path

import numpy as np
import pytest

from ofa_pose.catalog import load_space
from ofa_pose.cost import CostTable
from ofa_pose.latency.build import Effort, build_entries, make_kit
from ofa_pose.latency.measuring.kit import Kit, Task
from ofa_pose.latency.runtimes import get_runtime


@pytest.fixture(scope="session")
def toy() -> CostTable:
    return CostTable(load_space("toy"))


class Pretended:
    """A runner whose units take 2 ms each, and that remembers which networks were prepared."""

    prepared: list[str] = []  # noqa: RUF012 - emptied by the fixture

    def __init__(self, model: bytes, task: Task, threads: int) -> None:
        self.prepared.append(task.name)
        self.units, self.runs = len(task.units), 0

    def run(self) -> None:
        self.runs += 1
        time.sleep(0.0002)

    def unit_times(self) -> np.ndarray:
        return np.full((self.runs, self.units), 2.0)


@pytest.fixture
def pretended() -> type[Pretended]:
    Pretended.prepared.clear()
    return Pretended


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kit"


@pytest.fixture
def kit(toy, folder) -> Kit:
    torch = get_runtime("torch")
    effort = Effort(rounds=2, runs=2, fit=3)
    make_kit(folder, build_entries([toy], torch, effort=effort), [toy], torch, effort=effort)
    return Kit.load(folder)
