"""A validation on a machine on which every unit takes exactly what the table says of it."""

import importlib
import math
from dataclasses import replace

import numpy as np
import pytest

from ofa_pose.catalog import catalog_folder, load_space
from ofa_pose.cost import CostTable, LatencyTable, TableInfo
from ofa_pose.errors import LatencyError
from ofa_pose.latency import validate
from ofa_pose.latency.build import describe, reference_entry
from ofa_pose.latency.measuring.journal import WHOLE
from ofa_pose.latency.measuring.kit import KIT
from ofa_pose.latency.measuring.machine import this_machine
from ofa_pose.latency.results import Results, Row
from ofa_pose.latency.runtimes import get_runtime


def unit_ms(spec) -> float:
    """A thousand values that a unit reads take 1 ms."""
    return sum(map(math.prod, spec.in_shapes)) / 1000


def network_ms(network) -> float:
    return sum(unit_ms(unit.spec) for unit in network.units)


@pytest.fixture
def grown(tmp_path, monkeypatch):
    """The space toy with pictures so large that its networks are not the small ones of both."""
    text = (catalog_folder("search_spaces") / "toy.yaml").read_text()
    text = text.replace("name: toy", "name: grown").replace("[48, 32]", "[144, 128]")
    (tmp_path / "grown.yaml").write_text(text)
    monkeypatch.setenv("OFA_POSE_PATH", str(tmp_path))
    return CostTable(load_space("grown"))


@pytest.fixture
def table(toy, grown, latency_table) -> LatencyTable:
    """Of both spaces, with the time that the reference network of both takes."""
    both = [latency_table(costs.space, unit_ms) for costs in (toy, grown)]
    rows = {key: row for one in both for key, row in one.rows.items()}
    document = both[0].info.document()
    document["spaces"] = [describe(toy), describe(grown)]
    document["reference_ms"] = network_ms(reference_entry([toy, grown]).plan)
    return LatencyTable.of(TableInfo.model_validate(document), list(rows.values()))


@pytest.fixture
def exact_machine(monkeypatch):
    """Every network takes the sum of its units, in every round; `slower` times as much."""
    kits, speed = {}, {"slower": 1.0}

    def make_kit(work, entries, costs, runtime, **_):
        kits[work] = entries

    def run_kit(work, runtime, **_):
        (reference,) = [entry for entry in kits[work] if entry.task.role == "reference"]
        base = network_ms(reference.plan)
        rows = []
        for entry in kits[work]:
            share = network_ms(entry.plan) / base
            rows += [
                Row(entry.task.name, turn, WHOLE, entry.task.key, 5, share, share, 0.0,
                    base * speed["slower"])
                for turn in range(entry.task.rounds)
            ]  # fmt: skip
        return Results({}, this_machine("torch", threads=1), (), tuple(rows))

    module = importlib.import_module("ofa_pose.latency.validate")
    monkeypatch.setattr(module, "make_kit", make_kit)
    monkeypatch.setattr(module, "run_kit", run_kit)
    monkeypatch.setattr(module, "runtime_here", lambda table: (get_runtime("torch"), 1))
    return speed


@pytest.mark.parametrize("names", [("toy", "grown"), ("grown", "toy"), ("toy",), ("grown",)])
def test_some_of_a_table_s_spaces_are_compared_with_its_own_reference(
    toy, grown, table, exact_machine, tmp_path, names
):
    exact_machine["slower"] = 1.25
    chosen = [{"toy": toy, "grown": grown}[name] for name in names]
    found = validate(table, chosen, work=tmp_path / "work", networks=5)
    assert len(found.measured) == 5 * len(names)
    assert found.measured == pytest.approx(found.predicted)
    assert found.plain == pytest.approx(found.predicted)
    assert found.reference_drift == pytest.approx(0.25)


def test_a_space_that_has_changed_is_told_and_the_machine_as_it_is_now(
    toy, grown, table, exact_machine, tmp_path, caplog
):
    """Without the table's reference network a machine slower by a quarter is an error of 1/5."""
    exact_machine["slower"] = 1.25
    spaces = [describe(toy), {**describe(grown), "hash": "0" * 16}]
    info = table.info.model_validate({**table.info.document(), "spaces": spaces})
    found = validate(replace(table, info=info), [toy], work=tmp_path / "work", networks=5)
    assert found.measured == pytest.approx(1.25 * found.predicted)
    assert found.reference_drift is None
    assert "the space grown that made-up was built for is not here as it was" in caplog.text


def test_a_measurement_relative_to_another_network_is_not_gone_on_with(
    toy, grown, table, exact_machine, tmp_path, kit
):
    held = kit.reference.key
    assert (kit.folder / KIT).is_file()
    wanted = reference_entry([toy, grown]).task.key
    assert held != wanted
    with pytest.raises(LatencyError, match=f"relative to {held}, not to {wanted}; give another"):
        validate(table, [toy], work=kit.folder, networks=5)


def test_a_measurement_by_another_runtime_is_not_gone_on_with(
    toy, table, exact_machine, kit, monkeypatch
):
    module = importlib.import_module("ofa_pose.latency.validate")
    monkeypatch.setattr(module, "runtime_here", lambda table: (get_runtime("ncnn"), 1))
    assert kit.document["runtime"] == "torch"
    with pytest.raises(LatencyError, match="by torch, not by ncnn; give another --work"):
        validate(table, [toy], work=kit.folder, networks=5)


def test_missing_units_are_told_before_anything_is_measured(toy, table, tmp_path, monkeypatch):
    module = importlib.import_module("ofa_pose.latency.validate")
    monkeypatch.setattr(module, "runtime_here", lambda table: (get_runtime("torch"), 1))
    units = {spec.key for spec in toy.specs_of_all}
    lacking = LatencyTable.of(
        table.info, [row for key, row in table.rows.items() if key not in units]
    )
    with pytest.raises(LatencyError, match="misses"):
        validate(lacking, [toy], work=tmp_path / "work", networks=5)
    assert not (tmp_path / "work").exists()


def test_the_grown_space_s_own_reference_is_another(toy, grown):
    """What these tests rest on: each choice of spaces has another reference network."""
    chosen = ([toy], [grown], [toy, grown])
    times = [network_ms(reference_entry(costs).plan) for costs in chosen]
    assert len(set(times)) == 3
    assert np.all(np.isfinite(times))
