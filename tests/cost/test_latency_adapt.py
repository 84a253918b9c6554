"""From a full table of one device and a few networks on another to a table of the other."""

import numpy as np
import pytest

import ofa_pose as op
from ofa_pose.cost import LatencyTable
from ofa_pose.cost.counting import unit_cost
from ofa_pose.cost.latency_adapt import adapt
from ofa_pose.cost.latency_errors import error_figures
from ofa_pose.cost.latency_points import LatencyPoint, read_points
from ofa_pose.errors import LatencyError


@pytest.fixture(scope="module")
def space():
    return op.load_space("litepose-lite0")


def here(spec):
    cost = unit_cost(spec)
    return cost.macs["exact"] / 20e6 + cost.peak_memory / 40e6 + 0.01


def there(spec):
    """Five times slower to move, twice to compute, and slow at transposed convolutions."""
    cost = unit_cost(spec)
    slow = 2.0 if spec.kind == "fusion_deconv" else 1.0
    return slow * cost.macs["exact"] / 10e6 + cost.peak_memory / 8e6 + 0.1


def points_of(table, space, *, count, seed=0, noise=0.0):
    rng = np.random.default_rng(seed)
    archs = [space.sample(rng) for _ in range(count)]
    return [
        LatencyPoint(space, arch, table.predict(space, arch) * rng.normal(1, noise))
        for arch in archs
    ]


def test_one_factor_is_found_exactly(space, latency_table):
    base = latency_table(space, here, intercept_ms=0.5)
    scaled = latency_table(space, lambda spec: 3 * here(spec), intercept_ms=1.5)
    found = adapt(base, points_of(scaled, space, count=3), name="other")
    assert found.error.mape < 1e-4
    assert found.one_factor.mape < 1e-6
    arch = space.largest
    assert found.table.predict(space, arch) == pytest.approx(scaled.predict(space, arch), rel=1e-4)
    assert found.few


def test_one_factor_is_kept_where_it_predicts_better(space, latency_table):
    base = latency_table(space, here)
    slower = latency_table(space, lambda spec: 3 * here(spec))
    archs = [space.smallest, space[len(space) // 2], space.largest]
    off = [1.05, 0.95, 1.05]  # noise that a factor for each kind of unit would follow
    points = [
        LatencyPoint(space, arch, slower.predict(space, arch) * noise)
        for arch, noise in zip(archs, off, strict=True)
    ]
    found = adapt(base, points, name="other")
    assert found.plain
    assert found.error == found.one_factor
    assert found.error.mape < found.fitted.mape
    # Of relative errors the least squares: the sum of 1 / noise over that of its square.
    factor = 3 * (2 / 1.05 + 1 / 0.95) / (2 / 1.05**2 + 1 / 0.95**2)
    assert found.factor == pytest.approx(factor, rel=1e-6)
    for arch in (space.smallest, space[123], space.largest):
        expected = factor * base.predict(space, arch)
        assert found.table.predict(space, arch) == pytest.approx(expected, rel=1e-6)


def test_what_was_validated_is_the_other_device(space):
    base = LatencyTable.load("x86-onnxruntime")
    assert any(covered.validation for covered in base.info.spaces)
    info = adapt(base, points_of(base, space, count=3), name="other").table.info
    assert info.validation is None
    assert [covered.name for covered in info.spaces] == [one.name for one in base.info.spaces]
    assert not any(covered.validation for covered in info.spaces)


def test_another_balance_is_learnt_and_the_error_is_honest(space, latency_table):
    base = latency_table(space, here)
    truth = latency_table(space, there, intercept_ms=2.0)
    found = adapt(base, points_of(truth, space, count=12, noise=0.02), name="other")
    costs = op.CostTable(space)
    actual = np.abs(found.table.predict_all(costs) / truth.predict_all(costs) - 1).mean()
    factor = found.one_factor.mape
    assert actual < 0.03 < factor
    assert actual / 2 < found.error.mape < factor
    assert not found.few


def test_left_out_predictions_do_not_see_their_own_point(space, latency_table):
    base = latency_table(space, here)
    points = points_of(latency_table(space, there), space, count=6)
    before = adapt(base, points, name="other").predicted[2]
    wrong = LatencyPoint(space, points[2].arch, points[2].latency_ms * 1.03)
    found = adapt(base, [*points[:2], wrong, *points[3:]], name="other")
    assert not found.plain
    assert found.predicted[2] == pytest.approx(before, rel=1e-9)
    errors = [
        abs(predicted / point.latency_ms - 1)
        for point, predicted in zip(found.points, found.predicted, strict=True)
    ]
    assert errors[2] == pytest.approx(abs(before / wrong.latency_ms - 1), rel=1e-9)
    assert found.error.largest == pytest.approx(max(errors), rel=1e-9)


def test_a_smaller_network_that_took_longer_is_found(space, latency_table):
    base = latency_table(space, here)
    middle = space[len(space) // 2]
    times = {space.smallest: 30.0, middle: 20.0, space.largest: 19.0}  # 20 and 19 differ by noise
    points = [LatencyPoint(space, arch, time) for arch, time in times.items()]
    found = adapt(base, points, name="other").inversions
    assert [(one.latency_ms, other.latency_ms) for one, other in found] == [(30, 19), (30, 20)]
    assert not adapt(base, points_of(base, space, count=6), name="other").inversions


def test_an_adapted_table_says_so(space, latency_table, tmp_path):
    base = latency_table(space, here, name="desk")
    found = adapt(base, points_of(base, space, count=4), name="phone", device="a phone")
    loaded = LatencyTable.load(found.table.save(tmp_path))
    adapted = loaded.info.adapted
    assert adapted is not None
    assert (adapted.table, adapted.points, loaded.info.device) == ("desk", 4, "a phone")
    assert adapted.leave_one_out == found.error
    assert {row.runs for row in loaded.rows.values()} == {0}
    assert loaded.rows.keys() == base.rows.keys()
    assert "no unit was measured on this device" in loaded.info.method
    with pytest.raises(LatencyError, match="'phone' was itself adapted.*'desk'"):
        adapt(loaded, found.points, name="next")


def test_what_is_refused(space, latency_table):
    base = latency_table(space, here)
    points = points_of(base, space, count=3)
    with pytest.raises(LatencyError, match="2 networks were given; at least 3"):
        adapt(base, points[:2], name="other")
    with pytest.raises(LatencyError, match="give the new one another name"):
        adapt(base, points, name="made-up")
    with pytest.raises(LatencyError, match="cannot be a table's name"):
        adapt(base, points, name="my phone")
    toy = op.load_space("toy")
    with pytest.raises(LatencyError, match="misses 10 of 10 units"):
        adapt(base, [*points, LatencyPoint(toy, toy.largest, 1.0)], name="other")


def test_points_from_a_file(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("space,arch,latency_ms\nlitepose-xs,XS,109\nlitepose,S,420\n")
    points = read_points(path)
    assert [(point.space.name, point.latency_ms) for point in points] == [
        ("litepose-xs", 109.0), ("litepose", 420.0),
    ]  # fmt: skip
    path.write_text("latency_ms,arch\n5,smallest\n")
    assert read_points(path, space="toy")[0].arch == op.load_space("toy").smallest


def test_a_space_is_read_once_however_long_the_file(tmp_path, monkeypatch):
    toy, loaded = op.load_space("toy"), []
    path = tmp_path / "points.csv"
    path.write_text("arch,latency_ms\n" + "".join(f"{arch.key},1\n" for arch in toy))
    monkeypatch.setattr(
        "ofa_pose.cost.latency_points.load_space", lambda name: loaded.append(name) or toy
    )
    assert len(read_points(path, space="toy")) == 64
    assert loaded == ["toy"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("arch,ms\n", "has no column latency_ms"),
        ("arch,latency_ms\nlargest,0\n", "line 2: latency_ms is a positive number"),
        ("arch,latency_ms\nlargest,-3\n", "line 2: latency_ms is a positive number"),
        ("arch,latency_ms\nlargest,nan\n", "line 2: latency_ms is a positive number"),
        ("arch,latency_ms\nlargest,inf\n", "line 2: latency_ms is a positive number"),
        ("arch,latency_ms\nlargest,1e-7\n", "milliseconds, from 1e-06 to 1e.09, not 1e-07"),
        ("arch,latency_ms\nlargest,1e300\n", "milliseconds, from 1e-06 to 1e.09, not 1e.300"),
        (f"arch,latency_ms\n{'9' * 5000},5\n", "line 2: a cell has 5,000 letters"),
        (f"arch,latency_ms\n{'x' * 200_000},5\n", "cannot be read as CSV: field larger"),
        (f"{'x' * 200_000},latency_ms\n", "cannot be read as CSV: field larger"),
        ("arch,latency_ms\nlargest\n", "line 2: latency_ms is a positive number"),
        ("arch,latency_ms\nlargest,fast\n", "line 2: latency_ms is a number .* not 'fast'$"),
        ('arch,latency_ms\nlargest,"109,5"\n', "such as 109.5, not '109,5'; decimals take a point"),
        ("arch;latency_ms\nlargest;109,5\n", "commas stand between columns, not semicolons"),
        ("arch,latency_ms\nhuge,3\n", "line 2: unknown arch .*; a key does too"),
        ("arch,latency_ms\nlargest,109,5\n", "line 2: has more cells .* decimals take a point"),
        ("arch,latency_ms\nlargest,3\nlargest,4\n", "line 3: .* stands twice"),
        ("space,arch,latency_ms\nnone,largest,3\n", "line 2: unknown search space"),
    ],
)
def test_points_that_are_refused(tmp_path, text, expected):
    path = tmp_path / "points.csv"
    path.write_text(text)
    with pytest.raises(LatencyError, match=expected):
        read_points(path, space="toy")


def test_points_from_a_spreadsheet_have_a_byte_order_mark(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("space,arch,latency_ms\ntoy,largest,3\n", encoding="utf-8-sig")
    assert read_points(path)[0].latency_ms == 3.0


def test_points_without_a_space(tmp_path):
    (tmp_path / "points.csv").write_text("arch,latency_ms\nlargest,3\n")
    with pytest.raises(LatencyError, match="line 2: no space is given"):
        read_points(tmp_path / "points.csv")
    with pytest.raises(LatencyError, match="cannot read"):
        read_points(tmp_path / "none.csv")


def test_error_figures_by_hand():
    figures = error_figures([11.0, 18.0, 45.0], [10.0, 20.0, 30.0])
    assert figures.mape == pytest.approx((0.1 + 0.1 + 0.5) / 3)
    assert figures.largest == pytest.approx(0.5)
    assert figures.spearman == pytest.approx(1.0)
    assert error_figures([3.0, 1.0, 2.0], [1.0, 2.0, 3.0]).spearman == pytest.approx(-0.5)
    assert error_figures([1.0], [2.0]).spearman is None
    for guess, truth in (([1.0], [1.0, 2.0]), ([], []), ([float("nan")], [1.0]), ([1.0], [0.0])):
        with pytest.raises(LatencyError):
            error_figures(guess, truth)
