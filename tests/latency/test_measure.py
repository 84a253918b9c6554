"""The measuring: what is done is not done again, machines are not mixed, operations find units."""

import dataclasses
import json
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from ofa_pose.latency.measuring import protocol
from ofa_pose.latency.measuring.errors import MeasureError
from ofa_pose.latency.measuring.kit import Kit, Task
from ofa_pose.latency.measuring.machine import fastest_core, this_machine
from ofa_pose.latency.measuring.onnx_graph import operations_to_units, read_onnx_graph
from ofa_pose.latency.measuring.protocol import _around, _times, measure
from ofa_pose.latency.measuring.with_onnxruntime import OnnxRuntime
from ofa_pose.latency.results import read_results
from ofa_pose.latency.to_onnx import OnnxExporter
from ofa_pose.models import plan


def _measured(kit: Kit) -> list[Task]:
    return [task for task in kit.tasks if task.rounds]


def test_every_network_has_its_turn_once_a_round(kit, pretended, toy):
    steps = []
    path = kit.folder / "results.csv"
    measure(kit, path, prepare=pretended, progress=lambda done, total: steps.append((done, total)))
    reference, *measured = pretended.prepared
    assert reference.startswith("reference-")
    assert sorted(measured) == sorted([task.name for task in _measured(kit)] * 2)
    assert steps[-1] == (2 * len(_measured(kit)),) * 2
    results = read_results(path)
    assert {row.key for row in results.units()} == {spec.key for spec in toy.specs_of_all}
    assert len(results.networks("fit")) == 3


def test_what_was_measured_is_not_measured_again(kit, pretended):
    path = kit.folder / "results.csv"

    def stop(done, total):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(kit, path, prepare=pretended, progress=stop)
    whole = path.read_text()
    path.write_text(whole[:-20])  # the last step was cut off in the middle of a line
    first = list(pretended.prepared)
    pretended.prepared.clear()
    measure(kit, path, prepare=pretended)
    assert len(first) == 1 + 5
    # Only what was cut off is measured again, once the reference is there.
    assert pretended.prepared[1] == first[-1]
    rows = [row for row in read_results(path).rows]
    steps = [(row.network, row.round, row.unit) for row in rows]
    assert len(steps) == len(set(steps))
    assert len({(network, turn) for network, turn, _ in steps}) == 2 * len(_measured(kit))
    pretended.prepared.clear()
    measure(kit, path, prepare=pretended)
    assert len(pretended.prepared) == 1  # the reference


@pytest.mark.parametrize("damage", [b"\0\0\0\n", b"\n", b"a,b,c\n", b"x" * 99])
def test_what_a_power_cut_left_is_cut_off(kit, pretended, damage):
    path = kit.folder / "results.csv"
    measure(kit, path, prepare=pretended)
    whole = path.read_bytes()
    path.write_bytes(whole + damage)
    measure(kit, path, prepare=pretended)
    assert path.read_bytes() == whole


def test_a_hole_in_the_middle_is_measured_again(kit, pretended):
    path = kit.folder / "results.csv"
    measure(kit, path, prepare=pretended)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:20] + lines[22:]))  # rows of two steps stand together
    measure(kit, path, prepare=pretended)
    rows = [line.split(",")[1:5] for line in path.read_text().splitlines()[2:]]
    assert sorted(rows) == sorted(line.split(",")[1:5] for line in lines[2:])


def test_a_row_of_another_machine_is_not_thrown_away(kit, pretended):
    path = kit.folder / "results.csv"
    measure(kit, path, prepare=pretended)
    lines = path.read_text().splitlines(keepends=True)
    other = "deadbeef" + lines[-1][8:]
    path.write_text("".join([*lines, other]))
    with pytest.raises(MeasureError, match="another machine"):
        measure(kit, path, prepare=pretended)
    assert path.read_text().endswith(other)


_SLOWLY = """
import sys, time
from pathlib import Path
import numpy as np
from ofa_pose.latency.measuring.kit import Kit
from ofa_pose.latency.measuring.protocol import measure

class Slow:
    def __init__(self, model, task, threads):
        print(task.name, flush=True)
        self.units, self.runs = len(task.units), 0
    def run(self):
        self.runs += 1
        time.sleep(0.005)
    def unit_times(self):
        return np.full((self.runs, self.units), 5.0 / self.units)

folder = Path(sys.argv[1])
measure(Kit.load(folder), folder / "results.csv", prepare=Slow)
"""


def test_killed_and_started_again_it_measures_no_unit_twice(kit):
    command = [sys.executable, "-c", _SLOWLY, str(kit.folder)]
    path = kit.folder / "results.csv"
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while not path.exists() or path.read_text().count(",*,") < 4:  # four steps are done
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    started, _ = process.communicate()
    finished = path.read_text().count(",*,")
    second = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    # Each of the two prepares the reference first; the step that was cut off is done again.
    assert finished <= len(started.split()) - 1 <= finished + 1
    assert len(second) - 1 == 2 * len(_measured(kit)) - finished
    rows = [(row.network, row.round, row.unit) for row in read_results(path).rows]
    assert (
        len(rows)
        == len(set(rows))
        == 2 * sum(1 + len(task.units) * task.by_unit for task in _measured(kit))
    )


@pytest.mark.parametrize(
    "change", [{"processor": "another"}, {"version": "0.1"}, {"host": "00000000"}], ids=str
)
def test_another_machine_does_not_go_on(kit, pretended, monkeypatch, change):
    measure(kit, kit.folder / "results.csv", prepare=pretended)
    here = this_machine("torch", threads=1)
    monkeypatch.setattr(
        protocol, "this_machine", lambda *_, **__: dataclasses.replace(here, **change)
    )
    with pytest.raises(MeasureError, match="two machines"):
        measure(kit, kit.folder / "results.csv", prepare=pretended)


def test_another_number_of_threads_does_not_go_on(kit, pretended):
    measure(kit, kit.folder / "results.csv", prepare=pretended)
    with pytest.raises(MeasureError, match="on 1 thread, this is .* on 2 threads"):
        measure(kit, kit.folder / "results.csv", threads=2, prepare=pretended)


def test_more_threads_than_processors_are_refused(kit, pretended):
    with pytest.raises(MeasureError, match=r"100000 threads are more than the \d+ processor"):
        measure(kit, kit.folder / "results.csv", threads=100_000, prepare=pretended)


def test_results_of_another_kit_are_refused(kit, pretended):
    measure(kit, kit.folder / "results.csv", prepare=pretended)
    document = json.loads((kit.folder / "kit.json").read_text())
    (kit.folder / "kit.json").write_text(json.dumps({**document, "runs": 7}))
    with pytest.raises(MeasureError, match="another kit"):
        measure(Kit.load(kit.folder), kit.folder / "results.csv", prepare=pretended)


@pytest.mark.parametrize(
    ("facts", "core"),
    [
        # An Intel hybrid: its last cores are the slow ones.
        ({(0, "cpufreq/cpuinfo_max_freq"): "5000", (1, "cpufreq/cpuinfo_max_freq"): "5000",
          (2, "cpufreq/cpuinfo_max_freq"): "3800"}, 1),
        # An ARM board: its first core is a small one.
        ({(0, "cpu_capacity"): "446", (1, "cpu_capacity"): "1024", (2, "cpu_capacity"): "446"}, 1),
        # Nothing is told.
        ({}, 2),
    ],
)  # fmt: skip
def test_one_thread_stays_on_a_core_of_the_fastest_kind(tmp_path, facts, core):
    for (number, name), text in facts.items():
        path = tmp_path / f"cpu{number}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    assert fastest_core({0, 1, 2}, tmp_path) == core


@pytest.mark.parametrize(
    ("content", "message"), [("{", "not JSON"), ('{"format": 2}', "has format 2, not 1")]
)
def test_a_damaged_kit_is_refused(folder, content, message):
    folder.mkdir()
    (folder / "kit.json").write_text(content)
    with pytest.raises(MeasureError, match=message):
        Kit.load(folder)


def test_runs_that_lost_the_processor_are_repeated():
    class Interrupted:
        runs = 0

        def run(self):
            self.runs += 1
            if self.runs in {3, 5}:  # 2 runs of warming up, then the 1st and the 3rd that count
                time.sleep(0.05)
            end = time.perf_counter() + 0.01
            while time.perf_counter() < end:
                pass

    class Steady:
        def run(self):
            end = time.perf_counter() + 0.01
            while time.perf_counter() < end:
                pass

    times, reference_ms = _times(Interrupted(), Steady(), _task(), runs=4, threads=1)  # pyright: ignore[reportArgumentType]
    assert len(times) >= 4  # more where this machine was busy
    assert times.max() < 4  # an interrupted run takes six times the reference
    assert reference_ms >= 10


def test_a_slow_moment_of_the_machine_is_divided_away(monkeypatch):
    now = 0.0
    clock = SimpleNamespace(perf_counter=lambda: now, thread_time=lambda: now)
    monkeypatch.setattr(protocol, "time", clock)

    class Slowing:
        """5 ms a run, and from the seventh run of either on 10 ms."""

        runs = 0

        def run(self):
            nonlocal now
            type(self).runs += 1
            now += 0.005 if self.runs < 7 else 0.01

    class Pace(Slowing):
        runs = 2

    times, _ = _times(Slowing(), Pace(), _task(), runs=8, threads=1)  # pyright: ignore[reportArgumentType]
    assert np.median(times) == pytest.approx(1, abs=0.01)


def test_an_interrupted_run_of_the_reference_is_left_out():
    paces = [(10.0, 0.0), (50.0, 0.8), (12.0, 0.0), (14.0, 0.0)]
    assert _around(paces).tolist() == [10.0, 12.0, 13.0]


def _task() -> Task:
    return Task("fit-0000", "fit", "toy/1", ((3, 8, 8),), (("stem", "key"),), ("stem",))


def test_a_graph_is_read_without_the_package_onnx(toy):
    model = OnnxExporter()(plan(toy.space, toy.space.largest))
    expected = [
        (node.name, tuple(node.input), tuple(node.output))
        for node in onnx.load_from_string(model).graph.node
    ]
    assert read_onnx_graph(model) == expected
    assert len(expected) > 20


def test_conversions_of_layout_belong_to_the_unit_that_reads():
    operations = [
        ("stem/conv", ("input",), ("a",)),
        ("reorder_1", ("a",), ("b",)),
        ("reorder_2", ("b",), ("c",)),
        ("deconv/conv", ("c",), ("d",)),
        ("head/conv", ("d",), ("e",)),
        ("reorder_3", ("e",), ("out",)),
    ]
    assert operations_to_units(operations, ["stem", "deconv", "head"]) == {
        "stem/conv": "stem",
        "reorder_1": "deconv",
        "reorder_2": "deconv",
        "deconv/conv": "deconv",
        "head/conv": "head",
        "reorder_3": "head",
    }


def test_an_operation_of_no_unit_is_told():
    with pytest.raises(MeasureError, match="'lost'"):
        operations_to_units([("lost", ("x",), ("y",))], ["stem"])


def test_the_time_of_the_units_is_the_time_of_the_network(toy):
    """With onnxruntime, of one network: the profiled operations make up nearly all of a run."""
    space = toy.space
    network = plan(space, space.largest)
    units = tuple((unit.name, unit.spec.key) for unit in network.units)
    task = Task("cover-0000", "cover", "", ((3, 48, 48),), units, network.outputs)
    runner = OnnxRuntime(OnnxExporter()(network), task, 1)
    for _ in range(20):
        runner.run()
    times = runner.unit_times()
    assert times.shape == (20, len(units))
    assert (np.median(times, axis=0) > 0).all()
