"""Networks of a search, on a machine whose units take what the table says, and a quarter more."""

import importlib
import math

import pytest

from ofa_pose.catalog import catalog_folder, load_space
from ofa_pose.cost import CostTable, LatencyTable, TableInfo
from ofa_pose.errors import LatencyError
from ofa_pose.latency import time_networks
from ofa_pose.latency.build import describe, reference_entry
from ofa_pose.latency.measuring.journal import WHOLE
from ofa_pose.latency.measuring.machine import this_machine
from ofa_pose.latency.results import Results, Row
from ofa_pose.latency.runtimes import get_runtime

SLOWER = 1.25


def unit_ms(spec) -> float:
    """A thousand values that a unit reads take 1 ms."""
    return sum(map(math.prod, spec.in_shapes)) / 1000


def network_ms(network) -> float:
    return sum(unit_ms(unit.spec) for unit in network.units)


@pytest.fixture
def own(tmp_path) -> CostTable:
    """A space that no folder of the catalogue knows."""
    text = (catalog_folder("search_spaces") / "toy.yaml").read_text()
    path = tmp_path / "own.yaml"
    path.write_text(text.replace("name: toy", "name: own").replace("[48, 32]", "[144, 128]"))
    return CostTable(load_space(path))


@pytest.fixture
def table(own, latency_table) -> LatencyTable:
    made = latency_table(own.space, unit_ms)
    document = made.info.document()
    document["reference_ms"] = network_ms(reference_entry([own]).plan)
    return LatencyTable.of(TableInfo.model_validate(document), list(made.rows.values()))


@pytest.fixture(autouse=True)
def _slower_machine(monkeypatch):
    """Every network takes the sum of its units, and longer by a quarter."""
    kits = {}

    def make_kit(work, entries, costs, runtime, **_):
        kits[work] = entries

    def run_kit(work, runtime, **_):
        (reference,) = [entry for entry in kits[work] if entry.task.role == "reference"]
        base = network_ms(reference.plan)
        rows = [
            Row(entry.task.name, turn, WHOLE, entry.task.key, 5, share, share, 0.0, SLOWER * base)
            for entry in kits[work]
            for share in [network_ms(entry.plan) / base]
            for turn in range(entry.task.rounds)
        ]
        return Results({}, this_machine("torch", threads=1), (), tuple(rows))

    measuring = importlib.import_module("ofa_pose.latency.validate")
    monkeypatch.setattr(measuring, "make_kit", make_kit)
    monkeypatch.setattr(measuring, "run_kit", run_kit)
    module = importlib.import_module("ofa_pose.latency.winners")
    monkeypatch.setattr(module, "runtime_here", lambda table: (get_runtime("torch"), 1))


def test_networks_are_compared_with_the_reference_of_the_space_that_they_bring(
    own, table, tmp_path
):
    archs = [own.space.smallest, own.space.largest]
    found = time_networks(table, [(own, arch) for arch in archs], work=tmp_path / "work")
    assert [one.measured_ms for one in found] == pytest.approx([one.predicted_ms for one in found])
    assert found[0].predicted_ms == pytest.approx(table.predict(own.space, archs[0]))


def test_where_the_table_s_space_has_changed_times_are_the_machine_s_own(
    own, table, tmp_path, monkeypatch, caplog
):
    """The space that has its name by now has another reference network."""
    text = (tmp_path / "own.yaml").read_text().replace("[144, 128]", "[144]")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "own.yaml").write_text(text)
    monkeypatch.setenv("OFA_POSE_PATH", str(tmp_path / "folder"))
    now = CostTable(load_space("own"))
    assert describe(now)["hash"] != describe(own)["hash"]
    (one,) = time_networks(table, [(now, now.space.largest)], work=tmp_path / "work")
    assert one.measured_ms == pytest.approx(SLOWER * one.predicted_ms)
    assert "the space own that made-up was built for is not here as it was" in caplog.text


def test_a_measurement_by_another_runtime_is_not_gone_on_with(kit, table, own, monkeypatch):
    module = importlib.import_module("ofa_pose.latency.winners")
    monkeypatch.setattr(module, "runtime_here", lambda table: (get_runtime("ncnn"), 1))
    assert kit.document["runtime"] == "torch"
    with pytest.raises(LatencyError, match="by torch, not by ncnn; give another --work"):
        time_networks(table, [(own, own.space.smallest)], work=kit.folder)
