"""Estimates of units that were not measured, on times whose law is known."""

import numpy as np
import pytest

import ofa_pose as op
from ofa_pose.cost import UnitLatency
from ofa_pose.cost.counting import unit_cost
from ofa_pose.cost.latency_interpolation import LEAST_RELATIVES, Interpolator
from ofa_pose.errors import LatencyError


@pytest.fixture(scope="module")
def specs():
    return op.CostTable(op.load_space("litepose-lite0")).specs_of_all


def roofline(spec):
    """Computing at 20 GMACs/s, moving at 4 GB/s, and 20 us to begin."""
    cost = unit_cost(spec)
    return cost.macs["exact"] / 20e6 + cost.peak_memory / 4e6 + 0.02


def measured(specs, *, noise, seed=0):
    rng = np.random.default_rng(seed)
    times = [roofline(spec) * rng.normal(1, noise) for spec in specs]
    return [
        UnitLatency(spec.key, time, time, 0.0, 9) for spec, time in zip(specs, times, strict=True)
    ]


def test_units_left_out_are_estimated_and_the_error_is_known(specs):
    out = np.random.default_rng(1).permutation(len(specs)) < len(specs) // 5
    known = [spec for spec, left in zip(specs, out, strict=True) if not left]
    wanted = [spec for spec, left in zip(specs, out, strict=True) if left]
    interpolator = Interpolator(measured(known, noise=0.03))
    rows = interpolator.rows(wanted)
    assert [row.key for row in rows] == [spec.key for spec in wanted]
    assert {row.runs for row in rows} == {0}
    truth = np.array([roofline(spec) for spec in wanted])
    errors = np.abs(np.array([row.median_ms for row in rows]) / truth - 1)
    assert errors.mean() < 0.03
    claimed = interpolator.left_out_error(wanted)
    assert errors.mean() / 2 < claimed < 0.06  # the claim holds the noise of what is left out, too


def test_a_resolution_that_was_never_measured(specs):
    sizes = {spec.in_shapes[0][1] for spec in specs if spec.kind == "stem"}
    assert 320 in sizes
    known = [spec for spec in specs if spec.in_shapes[0][1] * _shrunk(spec) != 320]
    wanted = [spec for spec in specs if spec.in_shapes[0][1] * _shrunk(spec) == 320]
    rows = Interpolator(measured(known, noise=0.0)).rows(wanted)
    errors = [
        abs(row.median_ms / roofline(spec) - 1) for row, spec in zip(rows, wanted, strict=True)
    ]
    assert np.mean(errors) < 0.05


def _shrunk(spec):
    """By how much a unit's input is smaller than a picture of 320, where it can be told."""
    size = spec.in_shapes[0][1]
    return 320 // size if size in (320, 160, 80, 40, 20) else 0


def test_too_few_relatives(specs):
    stems = [spec for spec in specs if spec.kind == "stem"]
    rows = measured(stems[: LEAST_RELATIVES - 1], noise=0.0)
    with pytest.raises(LatencyError, match="only 7 units of their kind.*at least 8"):
        Interpolator(rows).rows(stems[-1:])


def test_a_cost_table_estimates_what_its_tables_miss(specs, caplog):
    info = op.LatencyTable.load("x86-onnxruntime").info.model_copy(update={"name": "part"})
    rows = measured([spec for spec in specs if spec.in_shapes[0][0] != 24], noise=0.0)
    part = op.LatencyTable.of(info, rows)
    space = op.load_space("litepose-lite0")
    with pytest.raises(LatencyError, match="misses"):
        op.CostTable(space, latencies=[part])["latency:part"]
    found = op.CostTable(space, latencies=[part], interpolate=True)["latency:part"]
    assert "units interpolated" in caplog.text
    one_by_one = part.predict(space, space[7], interpolate=True)
    assert found[7] == pytest.approx(one_by_one, rel=1e-9)
