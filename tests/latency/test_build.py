"""A kit that is measured on this machine leaves the process as it was."""

from pathlib import Path

import torch

from ofa_pose.cost import CostTable
from ofa_pose.latency.build import Effort, make_kit, reference_entry, run_kit
from ofa_pose.latency.kit import shuffled, whole_entries
from ofa_pose.latency.runtimes import get_runtime


def test_torch_has_its_threads_back(toy: CostTable, tmp_path: Path) -> None:
    runtime = get_runtime("torch")
    entries = whole_entries(toy, [toy.space.smallest], role="fit", rounds=1)
    entries = shuffled([*entries, reference_entry([toy], fit=2)], seed=0)
    make_kit(tmp_path, entries, [toy], runtime, effort=Effort(runs=1))
    threads: list[int] = []

    def see(*_: object) -> None:
        threads.append(torch.get_num_threads())

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        run_kit(tmp_path, runtime, threads=1, progress=see)
        assert threads == [1]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
