"""`ofa-pose latency`: ls, predict and adapt, and what each refuses."""

import csv
import json
import math
import shlex
from pathlib import Path

import numpy as np
import pytest

import ofa_pose as op
from ofa_pose.cli._latency_tables import search_hint
from ofa_pose.cli._searching import Target
from ofa_pose.cost import LatencyTable
from ofa_pose.errors import UsageError


@pytest.fixture
def toy():
    return op.load_space("toy")


@pytest.fixture
def tables(toy, latency_table, tmp_path, monkeypatch):
    """A folder in OFA_POSE_PATH with the tables `desk` (1 ms a unit) and `lap` (2 ms)."""
    folder = tmp_path / "tables"
    for name, time in (("desk", 1.0), ("lap", 2.0)):
        latency_table(toy, lambda spec, time=time: time, name=name).save(folder)
    monkeypatch.setenv("OFA_POSE_PATH", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def test_ls(command, tables):
    outcome = command("latency", "ls")
    assert outcome.code == 0
    assert outcome.out.splitlines()[0].split()[:3] == ["name", "device", "runtime"]
    assert "not validated" in outcome.out
    document = json.loads(command("latency", "ls", "--json").out)
    found = {table["name"]: table for table in document}
    assert {"desk", "lap"} <= found.keys()
    assert found["desk"]["date"] == "2026-11-23"
    assert found["desk"]["units"] == len(LatencyTable.load("desk").rows)


def test_ls_goes_on_past_a_damaged_table(command, tables):
    (tables / "desk.csv").write_text("key\n")
    outcome = command("latency", "ls", "--json")
    assert outcome.code == 0
    assert "lap" in [table["name"] for table in json.loads(outcome.out)]
    assert "warning: " in outcome.err
    assert "desk.csv: the columns are 'key'" in outcome.err


def test_predict_one_network(command, tables):
    line = ["latency", "predict", "--space", "toy", "--arch", "smallest"]
    outcome = command(*line, "--table", "desk", "--table", "lap")
    assert outcome.code == 0
    assert "desk: 10.000 ms for one picture; desk has not been compared" in outcome.out
    assert "lap: 20.000 ms" in outcome.out
    document = json.loads(command(*line, "--table", tables / "lap.yaml", "--json").out)
    (table,) = document["tables"]
    assert table["latency_ms"] == 20
    assert [unit["name"] for unit in table["units"]][:2] == ["stem", "stage1.0"]
    assert {unit["latency_ms"] for unit in table["units"]} == {2.0}


def test_predict_a_space(command, toy, tables):
    line = ["latency", "predict", "--space", "toy", "--table", "desk", "--out", "all.csv"]
    outcome = command(*line)
    assert outcome.code == 0
    assert "toy: 64 archs" in outcome.out
    with open("all.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 64
    for row in rows[::9]:
        arch = toy[int(row["index"])]
        assert [int(row[name]) for name in arch] == list(arch.values())
        assert int(row["params"]) == op.count(toy, arch).params
        assert float(row["latency:desk"]) == 10
    refused = command(*line)
    assert (refused.code, "all.csv exists; use --force" in refused.err) == (2, True)
    document = json.loads(command(*line, "--force", "--json").out)
    assert document["archs"] == 64
    assert document["tables"][0]["latency_ms"]["median"] == 10


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--table", "desk"], "give a TIER.yaml, or --space NAME"),
        (["--table", "dask", "--space", "toy"], "did you mean 'desk'?; known: "),
        (["--table", "desk", "--space", "toy", "--arch", "largest", "--out", "x.csv"], "--out is"),
        (["--table", "desk", "--space", "toy", "T.yaml"], "it has its own space"),
    ],
)
def test_predictions_that_are_refused(command, tables, options, expected):
    outcome = command("latency", "predict", *options)
    assert outcome.code == 2
    assert expected in outcome.err


@pytest.mark.parametrize("option", ["--networks", "--seed"])
@pytest.mark.parametrize(
    ("line", "purpose"),
    [
        (("validate", "--table", "desk", "--tier", "S.yaml"), "it is for random networks"),
        (
            ("build", "--space", "toy", "--runtime", "torch", "--name", "x", "--no-validate"),
            "it is for the validation",
        ),
    ],
)
def test_what_chooses_networks_that_are_not_measured_is_refused(command, option, line, purpose):
    outcome = command("latency", *line, option, "5")
    assert outcome.code == 2
    assert f"{option} would change nothing: {purpose}" in outcome.err


def test_missing_units_and_interpolation(command, tables):
    line = ["latency", "predict", "--table", "desk", "--space", "litepose-lite0"]
    outcome = command(*line, "--arch", "smallest")
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)
    assert "latency table 'desk' misses 14 of 14 units: " in outcome.err
    refused = command(*line, "--arch", "smallest", "--interpolate")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "cannot be interpolated" in refused.err


def test_tables_stay_whatever_is_forced(command, tables):
    before = (tables / "desk.csv").read_bytes()
    line = ["latency", "predict", "--table", "desk", "--space", "toy", "--force", "--out"]
    for name, expected in (
        (tables / "desk.csv", "this command reads"),
        (tables / "desk.yaml", "this command reads"),
        (tables, "is a folder"),
    ):
        outcome = command(*line, name)
        assert (outcome.code, outcome.err.count("\n")) == (2, 1)
        assert expected in outcome.err
    assert (tables / "desk.csv").read_bytes() == before


def test_points_stay(command, toy, tables, tmp_path):
    points = tmp_path / "phone.csv"
    write_points(points, toy, count=6)
    before = points.read_bytes()
    line = ["latency", "adapt", "--from", "desk", "--points", points, "--space", "toy"]
    outcome = command(*line, "--name", "phone", "--out", tmp_path)
    assert (outcome.code, "this command reads" in outcome.err) == (2, True)
    assert points.read_bytes() == before


def write_points(path, space, *, count):
    rng = np.random.default_rng(0)
    table = LatencyTable.load("desk")
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["arch", "latency_ms"])
        for index in rng.permutation(len(space))[:count].tolist():
            writer.writerow([space[index].key, 3 * table.predict(space, space[index])])


def test_adapt(command, toy, tables, tmp_path):
    write_points(tmp_path / "points.csv", toy, count=6)
    line = ["latency", "adapt", "--from", "desk", "--points", "points.csv", "--space", "toy"]
    outcome = command(*line, "--name", "phone", "--describe", "my phone")
    assert outcome.code == 0, outcome.err
    assert "leave-one-out error: 0.0% on average" in outcome.out
    # The weights in the box are of another space than the points, and than the table.
    assert "no point is of" not in outcome.out
    assert "next: ofa-pose search --supernet FILE --budget 30ms@phone" in outcome.out
    document = json.loads(command("latency", "ls", "--json").out)
    phone = next(table for table in document if table["name"] == "phone")
    assert phone["adapted"]["table"] == "desk"
    assert phone["device"] == "my phone"
    predicted = command("latency", "predict", "--table", "phone", "--space", "toy")
    assert "was adapted from desk to 6 networks and not measured" in predicted.out
    assert "warning: latency table phone was adapted from desk" in predicted.err
    again = command(*line, "--name", "phone")
    assert again.code == 2
    assert "exists; give --force" in again.err
    document = json.loads(command(*line, "--name", "phone", "--force", "--json").out)
    assert len(document["points"]) == 6
    assert document["few_points"] is False


def test_few_points_are_told(command, toy, tables, tmp_path):
    write_points(tmp_path / "points.csv", toy, count=3)
    line = ["latency", "adapt", "--from", "desk", "--points", "points.csv", "--space", "toy"]
    outcome = command(*line, "--name", "phone")
    assert outcome.code == 0
    assert "warning: 3 networks are few" in outcome.err


def adapted_by(command, folder, times):
    """Adapt `desk` to these times by arch; return the command line and what came of it."""
    rows = [f"{key},{time}" for key, time in times.items()]
    (folder / "points.csv").write_text("\n".join(["arch,latency_ms", *rows]) + "\n")
    line = ["latency", "adapt", "--from", "desk", "--points", "points.csv", "--space", "toy"]
    line += ["--name", "phone"]
    outcome = command(*line)
    assert outcome.code == 0, outcome.err
    return line, outcome


def test_seconds_for_milliseconds_are_noticed(command, toy, tables, tmp_path):
    table = LatencyTable.load("desk")
    archs = [toy.smallest, toy[len(toy) // 2], toy.largest]
    seconds = {arch.key: table.predict(toy, arch) / 1000 for arch in archs}
    _, outcome = adapted_by(command, tmp_path, seconds)
    assert "the points are 0.001 times what desk says: a table is of milliseconds; " in outcome.err
    assert "are these seconds?" in outcome.err
    assert "next:" not in outcome.out


def test_points_that_make_no_sense_suggest_no_search(command, toy, tables, tmp_path):
    times = {toy.largest.key: 20, toy.smallest.key: 900, toy[len(toy) // 2].key: 109}
    line, outcome = adapted_by(command, tmp_path, times)
    assert "the points do not fit desk: " in outcome.err
    assert "more than 25%; no search by this table is to be trusted" in outcome.err
    inverted = f"{toy.smallest.key} is given 900 ms and {toy.largest.key}, larger"
    assert inverted in outcome.err
    assert "next:" not in outcome.out
    document = json.loads(command(*line, "--force", "--json").out)
    assert [inverted in fault for fault in document["faults"]] == [True, False]


def test_a_smaller_network_that_is_slower_suggests_no_search(command, toy, tables, tmp_path):
    """Times that fit within a quarter, and still cannot all be right."""
    times = {toy.largest.key: 27, toy.smallest.key: 33, toy[len(toy) // 2].key: 30}
    _, outcome = adapted_by(command, tmp_path, times)
    assert "at least one of the two is wrong" in outcome.err
    assert "do not fit" not in outcome.err
    assert "next:" not in outcome.out


@pytest.mark.parametrize("measured", [["litepose-xs"], ["litepose-xs", "litepose-lite0"]])
def test_a_search_is_suggested_where_points_are(command, tables, measured):
    """The last space's points, each three times as slow as on x86, say what its budget may be."""
    x86 = LatencyTable.load("x86-onnxruntime")
    times = {}
    lines = ["space,arch,latency_ms"]
    for name in measured:
        space = op.load_space(name)
        archs = (space.smallest, space[len(space) // 2], space.largest)
        times = {arch.key: 3 * x86.predict(space, arch) for arch in archs}
        lines += [f"{name},{key},{time}" for key, time in times.items()]
    with open("points.csv", "w") as stream:
        stream.write("\n".join(lines) + "\n")
    line = ["latency", "adapt", "--from", "x86-onnxruntime", "--points", "points.csv"]
    outcome = command(*line, "--name", "phone")
    assert outcome.code == 0, outcome.err
    middle = math.ceil(sorted(times.values())[1])
    weights = "" if "litepose-lite0" in measured else "--supernet FILE "
    search = f"next: ofa-pose search {weights}--budget {middle}ms@phone"
    assert outcome.out.splitlines()[-1] == search
    assert ("no point is of litepose-lite0: " in outcome.out) == bool(weights)


def test_an_adapted_table_never_takes_a_measured_one_s_name(command, toy, tables, tmp_path):
    write_points(tmp_path / "points.csv", toy, count=6)
    line = ["latency", "adapt", "--from", "desk", "--points", "points.csv", "--space", "toy"]
    outcome = command(*line, "--name", "lap", "--force")
    assert outcome.code == 2
    assert "'lap' is a table that was measured" in outcome.err


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("predictors/latency", ["--budget", "5ms@lap"]),
        ("plain", ["--budget", "5ms@plain/lap.yaml"]),
        ("my tables", ["--budget", "5ms@my tables/lap.yaml"]),
        ("a, b", ["--latency", "a, b/lap.yaml", "--budget", "5ms@lap"]),
    ],
)
def test_a_suggested_search_can_be_given_as_it_is(
    command, toy, latency_table, tmp_path, monkeypatch, folder, words
):
    monkeypatch.chdir(tmp_path)
    latency_table(toy, lambda spec: 0.1, name="lap").save(folder)
    hint = shlex.split(search_hint(Path(folder) / "lap.yaml", "toy", milliseconds=5.0))
    assert hint == ["ofa-pose", "search", "--supernet", "FILE", *words]
    table = dict(zip(words[::2], words[1::2], strict=True))
    options = {"supernet": None, "skeleton": None, "interpolate": False, "resume": False}
    latencies = [table["--latency"]] if "--latency" in table else []
    # All of the budget is found; what is missing are weights.
    with pytest.raises(UsageError, match="no weights for space 'toy' are in the box"):
        Target.resolve([table["--budget"]], space="toy", latencies=latencies, out=None, **options)
