"""The two files of a table: every kind of damage is one line that says what and where."""

import pytest
import yaml

import ofa_pose as op
from ofa_pose.cost import LatencyTable
from ofa_pose.cost.latency_files import read_info
from ofa_pose.errors import LatencyError, OfaPoseError


@pytest.fixture
def saved(latency_table, tmp_path):
    """The YAML of a table that lies in `tmp_path`."""
    return latency_table(op.load_space("toy"), lambda spec: 1.0, name="mine").save(tmp_path)


def edit(path, **changes):
    document = {**yaml.safe_load(path.read_text()), **changes}
    text = yaml.safe_dump({key: value for key, value in document.items() if value is not None})
    path.write_text(text)


def fault_of(path):
    with pytest.raises(LatencyError) as caught:
        LatencyTable.load(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"format": 2}, "latency table format 2; this version of ofa_pose reads format 1"),
        ({"format": None}, "latency table format None"),
        ({"thread": 1}, "unknown key 'thread'; did you mean 'threads'?"),
        ({"device": None}, "device: this key is missing"),
        ({"threads": 0}, "threads: "),
        ({"threads": None}, "threads is missing, and the table was measured"),
        ({"date": "yesterday"}, "date: "),
        ({"name": "yours"}, "'yours' is declared in a file called mine.yaml"),
        ({"model": {"intercept_ms": float("nan")}}, "model.intercept_ms: a finite number"),
        ({"model": {"kinds": {"stem": {"scale": 0}}}}, "model.kinds.stem.scale: "),
        (
            {"model": {"kinds": {"inverted_residuals": {"scale": 2.0}}}},
            "model.kinds: the table holds no units of kind 'inverted_residuals'; did you mean "
            "'inverted_residual'?",
        ),
        ({"spaces": [{"name": "toy"}]}, "spaces[0].hash: this key is missing"),
        ({"validation": {"mape": 0.1}}, "validation.networks: this key is missing"),
        ({"rows_sha256": "0" * 64}, "is not the file that mine.yaml was written with"),
    ],
)
def test_what_the_yaml_may_not_hold(saved, changes, expected):
    edit(saved, **changes)
    assert expected in fault_of(saved)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is empty; a latency table is a mapping"),
        ("a: [", "is not YAML: line"),
        ("format: 1\nformat: 1\n", "this key stands twice"),
        ("- 1\n", "is a list; a latency table is a mapping"),
    ],
)
def test_what_is_no_table(saved, text, expected):
    saved.write_text(text)
    assert expected in fault_of(saved)


HEADER = "key,median_ms,min_ms,iqr_ms,runs\n"
KEY = "stem:3x48x48:4:k3:s2:h4"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is cut off"),
        ("key,ms\n", "the columns are 'key,ms', expected 'key,median_ms,min_ms,iqr_ms,runs'"),
        (HEADER, "holds no units"),
        (f"{HEADER}{KEY},1.0,1.0,0.0,5", "is cut off: its last line has no end"),
        (f"{HEADER}{KEY},0.0,1.0,0.0,5\n", f"line 2: unit {KEY}: median_ms is a positive"),
        (f"{HEADER}{KEY},-1,1.0,0.0,5\n", "median_ms is a positive number of milliseconds"),
        (f"{HEADER}{KEY},nan,1.0,0.0,5\n", "median_ms is a positive number of milliseconds"),
        (f"{HEADER}{KEY},1.0,inf,0.0,5\n", "min_ms is a positive number of milliseconds"),
        (f"{HEADER}{KEY},1.0,1.0,-1,5\n", "iqr_ms is 0 or more"),
        (f"{HEADER}{KEY},1.0,1.0,0.0,-5\n", "runs is 0 or more"),
        (f"{HEADER}{KEY},fast,1.0,0.0,5\n", "line 2: could not convert"),
        (f"{HEADER}{KEY},1.0,1.0\n", "line 2: 3 cells, expected 5"),
        (f"{HEADER}stem,1.0,1.0,0.0,5\n", "line 2: 'stem' is no unit's key"),
        (f"{HEADER}{KEY},1,1,0,5\n{KEY},1,1,0,5\n", f"line 3: unit {KEY} stands twice"),
    ],
)
def test_what_the_csv_may_not_hold(saved, text, expected):
    saved.with_suffix(".csv").write_text(text)
    assert expected in fault_of(saved)


def test_missing_and_binary_files(saved, tmp_path):
    assert "cannot read" in fault_of(tmp_path / "none.yaml")
    saved.with_suffix(".csv").write_bytes(b"\xff\xfe")
    assert "is not UTF-8 text" in fault_of(saved)
    saved.with_suffix(".csv").unlink()
    assert "cannot read" in fault_of(saved)


def test_an_edited_csv_is_refused_until_its_sum_is_left_out(saved):
    path = saved.with_suffix(".csv")
    path.write_text(path.read_text().replace("1.0,1.0", "2.0,1.0", 1))
    assert "delete rows_sha256" in fault_of(saved)
    edit(saved, rows_sha256=None)
    assert {row.median_ms for row in LatencyTable.load(saved).rows.values()} == {1.0, 2.0}


def test_line_ends_of_another_system_are_read(saved):
    path = saved.with_suffix(".csv")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert LatencyTable.load(saved).rows


def test_a_write_that_fails_leaves_the_old_table(saved, latency_table, tmp_path, full_disk):
    before = saved.read_bytes(), saved.with_suffix(".csv").read_bytes()
    larger = latency_table(op.load_space("litepose"), lambda spec: 2.0, name="mine")
    with full_disk(), pytest.raises(OfaPoseError, match="cannot write"):
        larger.save(tmp_path)
    assert (saved.read_bytes(), saved.with_suffix(".csv").read_bytes()) == before


def test_what_the_yaml_says_comes_back(saved):
    info = read_info(saved)
    assert (info.threads, info.layout, info.adapted, info.validation) == (1, "NCHW", None, None)
    assert [space.name for space in info.spaces] == ["toy"]
