"""Latency tables: sums by hand, one arch against all archs, units that are missing."""

import logging
from dataclasses import replace

import numpy as np
import pytest

import ofa_pose as op
from ofa_pose.cost import LatencyTable, UnitLatency
from ofa_pose.errors import CostError, LatencyError, UnknownNameError
from ofa_pose.models import UnitSpec

# A network of `toy` has 10 units: stem, four blocks, three deconvolutions, two heads.
UNITS, BLOCKS = 10, 4


@pytest.fixture(scope="module")
def toy():
    return op.load_space("toy")


def pixels(spec):
    """A time that differs between units."""
    return spec.in_shapes[0][1] * spec.out_channels * 1e-3


def test_a_network_is_the_sum_of_its_units(toy, latency_table):
    plain = latency_table(toy, lambda spec: 1.0)
    assert plain.predict(toy, toy.largest) == UNITS
    model = {"intercept_ms": 0.5, "kinds": {"inverted_residual": {"scale": 2.0, "each_ms": 0.25}}}
    fitted = latency_table(toy, lambda spec: 1.0, **model)
    expected = 0.5 + BLOCKS * 2.25 + (UNITS - BLOCKS)
    assert fitted.predict(toy, toy.smallest) == expected
    stem = UnitSpec("stem", ((3, 48, 48),), 4, 3, 2, 4)
    assert fitted.contribution(stem) == 1.0


def test_all_archs_equal_one_by_one_to_the_last_digit(toy, latency_table):
    table = latency_table(toy, lambda spec: 1 / 3 + pixels(spec), intercept_ms=0.1)
    costs = op.CostTable(toy, latencies=[table])
    latencies = costs["latency:made-up"]
    assert latencies.dtype == np.float64
    assert latencies.tolist() == [table.predict(toy, arch) for arch in toy]


@pytest.mark.slow
def test_a_thousand_archs_of_a_large_space_equal_one_by_one(latency_table):
    space = op.load_space("litepose-xs")
    table = latency_table(space, lambda spec: 1 / 3 + pixels(spec), intercept_ms=0.1)
    costs = op.CostTable(space).arrays(latencies=[table])
    for index in np.random.default_rng(0).integers(len(space), size=1000).tolist():
        arch = space[index]
        cost = op.count(space, arch)
        counted = [*cost.macs.values(), cost.params, cost.peak_memory, table.predict(space, arch)]
        assert [costs[name][index] for name in costs] == counted


def test_elastic_depth(latency_table):
    toy = op.load_space("toy")
    stages = [dict(stage) for stage in toy.network["stages"]]
    stages[1]["blocks"] = "depth2"
    space = op.SearchSpace(
        name="deep",
        family="litepose",
        choices=(*toy.choices, op.Choice("depth2", (3, 1))),
        network={**toy.network, "stages": stages},
    )
    table = latency_table(space, lambda spec: 1.0)
    latencies = op.CostTable(space, latencies=[table])["latency:made-up"]
    assert latencies[space.index(space.largest)] == UNITS + 2
    assert latencies[space.index(space.smallest)] == UNITS


def test_missing_units_are_named(toy, latency_table):
    table = latency_table(toy, pixels)
    heads = {key: row for key, row in table.rows.items() if key.startswith("fusion_head")}
    rest = replace(table, rows={key: row for key, row in table.rows.items() if key not in heads})
    network = [key for key in heads if key.startswith("fusion_head:4x12x12")]
    assert network
    with pytest.raises(LatencyError) as caught:
        rest.predict(toy, toy.largest)
    assert "misses 2 of 10 units: fusion_head:4x12x12+8x12x12:28:k5:s1" in str(caught.value)
    assert "covers the spaces (and joints): toy (crowdpose)" in str(caught.value)
    with pytest.raises(LatencyError, match=rf"misses {len(heads)} of .* and {len(heads) - 3} more"):
        op.CostTable(toy, latencies=[rest])["latency:made-up"]


def test_interpolation_says_how_many_units(latency_table, caplog):
    space = op.load_space("litepose-lite0")
    table = latency_table(space, pixels)
    keys = sorted(table.rows)
    rest = replace(table, rows={key: table.rows[key] for key in keys[::2]})
    with caplog.at_level(logging.WARNING):
        guess = rest.predict(space, space.largest, interpolate=True)
    missing = rest.missing(op.CostTable(space).specs(space.largest).values())
    assert f"made-up: {len(missing)} of " in caplog.text
    assert guess == pytest.approx(table.predict(space, space.largest), rel=0.05)
    full = table.predict(space, space.largest, interpolate=True)
    assert full == table.predict(space, space.largest)  # nothing is missing: nothing is estimated


def test_saved_and_loaded(toy, latency_table, tmp_path, monkeypatch):
    table = latency_table(toy, pixels, name="mine", intercept_ms=0.25)
    path = table.save(tmp_path / "predictors" / "latency")
    for name in (path, str(path), path.with_suffix(".csv")):
        loaded = LatencyTable.load(name)
        assert loaded.rows == table.rows
        assert loaded.info.model == table.info.model
    monkeypatch.setenv("OFA_POSE_PATH", str(tmp_path))
    assert LatencyTable.load("mine").predict(toy, toy.largest) == table.predict(toy, toy.largest)
    assert op.CostTable(toy)["latency:mine"].shape == (len(toy),)


def test_an_unknown_table_is_refused_with_those_there_are(
    toy, latency_table, tmp_path, monkeypatch
):
    for name in ("mine", "yours"):
        latency_table(toy, pixels, name=name).save(tmp_path)
    monkeypatch.setenv("OFA_POSE_PATH", str(tmp_path))
    with pytest.raises(UnknownNameError, match=r"'mind'; did you mean 'mine'\?; known: .*yours"):
        op.CostTable(toy)["latency:mind"]
    where = r"; looked for in \./predictors/latency, OFA_POSE_PATH \(%s\) and the package's own"
    with pytest.raises(UnknownNameError, match=where % tmp_path):
        LatencyTable.load("mind")
    monkeypatch.delenv("OFA_POSE_PATH")
    with pytest.raises(UnknownNameError, match=where % "not set"):
        LatencyTable.load("mind")
    with pytest.raises(CostError, match="unknown cost 'latenci'"):
        op.CostTable(toy)["latenci"]


def test_two_rows_of_one_unit_are_refused(toy, latency_table):
    table = latency_table(toy, pixels)
    row = next(iter(table.rows.values()))
    with pytest.raises(LatencyError, match="stands twice"):
        LatencyTable.of(table.info, [row, row])
    with pytest.raises(LatencyError, match="the row of unit other is of"):
        LatencyTable(table.info, {"other": row})


def test_a_table_that_predicts_no_time_is_refused(toy, latency_table):
    table = latency_table(toy, lambda spec: 1.0, intercept_ms=-float(UNITS))
    with pytest.raises(LatencyError, match=f"'made-up' predicts 0 ms .* of {len(toy):,} archs"):
        _ = op.CostTable(toy, latencies=[table])["latency:made-up"]
    with pytest.raises(LatencyError, match="'made-up' predicts 0 ms for arch"):
        table.predict(toy, toy.largest)
    times = np.array([latency_table(toy, pixels).predict(toy, arch) for arch in toy])
    middle = float(np.median(times)) + 1e-6
    some = latency_table(toy, pixels, intercept_ms=-middle)
    wrong = int((times < middle).sum())
    assert 0 < wrong < len(toy)
    with pytest.raises(LatencyError, match=f"0 ms or less for {wrong:,} of {len(toy):,} archs"):
        _ = op.CostTable(toy, latencies=[some])["latency:made-up"]


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_times_are_refused(value):
    with pytest.raises(LatencyError, match="median_ms is a positive number"):
        UnitLatency("stem:3x8x8:4:k3:s2:h4", value, 1.0, 0.0, 5)
    with pytest.raises(LatencyError, match="min_ms is a positive number"):
        UnitLatency("stem:3x8x8:4:k3:s2:h4", 1.0, value, 0.0, 5)


def test_a_space_in_one_call_as_a_frame(toy, latency_table):
    table = latency_table(toy, pixels)
    frame = op.CostTable(toy).frame(latencies=[table])
    assert list(frame.columns) == [
        "macs_exact", "macs_paper", "macs_thop", "params", "peak_memory", "latency:made-up",
    ]  # fmt: skip
    assert frame.shape == (64, 6)
    row = frame.iloc[toy.index(toy.smallest)]
    assert row["params"] == op.count(toy, toy.smallest).params
    assert row["latency:made-up"] == table.predict(toy, toy.smallest)


def test_tables_may_be_named_and_one_needs_no_list() -> None:
    space = op.load_space("litepose-lite0")
    table = LatencyTable.load("x86-onnxruntime")
    named = op.CostTable(space, latencies=["x86-onnxruntime"])
    assert named.latencies == {"x86-onnxruntime": table}
    for costs in (op.CostTable(space, latencies=table), op.CostTable(space)):  # pyright: ignore
        arrays = costs.arrays(latencies="x86-onnxruntime")
        np.testing.assert_array_equal(
            arrays["latency:x86-onnxruntime"], named["latency:x86-onnxruntime"]
        )
