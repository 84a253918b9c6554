"""A space small enough to be measured in a test, and a runtime that only pretends to run."""

import time
from pathlib import Path

import numpy as np
import pytest

from ofa_pose.catalog import load_space
from ofa_pose.cost import CostTable
from ofa_pose.latency.measuring.kit import Task


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
