"""A kit that is measured on this machine leaves the process as it was."""

from pathlib import Path
from typing import Any

import pytest
import torch

from ofa_pose.cost import CostTable
from ofa_pose.errors import LatencyError, RunFolderError, UsageError
from ofa_pose.latency import build_table, write_bundle
from ofa_pose.latency.build import Effort, build_entries, make_kit, reference_entry, run_kit
from ofa_pose.latency.kit import shuffled, whole_entries
from ofa_pose.latency.measuring.journal import locked
from ofa_pose.latency.runtimes import get_runtime


def test_torch_has_its_threads_back(toy: CostTable, tmp_path: Path) -> None:
    runtime = get_runtime("torch")
    entries = whole_entries(toy, [toy.space.smallest], role="fit", rounds=1)
    entries = shuffled([*entries, reference_entry([toy])], seed=0)
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


@pytest.mark.parametrize("fit", [1, 2, 30])
def test_every_build_has_the_reference_that_a_validation_has(toy: CostTable, fit: int) -> None:
    entries = build_entries([toy], get_runtime("torch"), effort=Effort(fit=fit))
    references = [entry.task.key for entry in entries if entry.task.role == "reference"]
    assert references == [reference_entry([toy]).task.key]


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"runs": 2.5}, {"fit": -1}])
def test_an_effort_is_whole_numbers(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(wrong))} must be a whole number"):
        Effort(**wrong)


def test_a_folder_may_be_a_text(toy: CostTable, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(RunFolderError, match="is not empty and no measurement"):
        build_table([toy], runtime="torch", name="mine", work=str(tmp_path))
    with pytest.raises(RunFolderError, match="is not empty"):
        write_bundle(str(tmp_path), [toy], runtime="onnxruntime")


def test_force_deletes_nothing_that_another_process_measures(
    toy: CostTable, tmp_path: Path
) -> None:
    pytest.importorskip("fcntl")
    for name in ("run.json", "results.csv"):
        (tmp_path / name).write_text("{}")
    with locked(tmp_path), pytest.raises(LatencyError, match="another process is measuring into"):
        build_table([toy], runtime="torch", name="mine", work=tmp_path, force=True)
    assert (tmp_path / "results.csv").exists()
