"""Who is compared with the winners at the end of a search."""

import json
import shutil

import pytest

import ofa_pose as op
from ofa_pose.cli._reporting import finalists_of
from ofa_pose.errors import WeightsError
from ofa_pose.evaluate import SubnetEvaluator


@pytest.fixture(scope="module")
def result():
    return op.search(
        op.load_space("toy"),
        lambda arch: {"AP": sum(arch.values()) / 1000},
        budgets={"S": "0.25M", "L": "1M"},
        evaluations=20,
    )


def test_the_next_best_within_each_budget(result):
    finals = finalists_of(result, 3)
    for name, limit in (("S", 250_000), ("L", 1_000_000)):
        inside = [row for row in result.archive if row.costs["macs_exact"] <= limit]
        scores = sorted((row.score("AP") for row in inside), reverse=True)
        assert result.tiers[name].scores["AP"] == scores[0]
        assert [row.score("AP") for row in finals[name]] == scores[1:4]
        assert result.tiers[name].arch not in {row.arch for row in finals[name]}
    assert finalists_of(result, 0) == {"S": [], "L": []}


def test_what_was_reported_is_not_scored_again(searched, command, tmp_path, monkeypatch):
    run = shutil.copytree(searched, tmp_path / "run")
    first = json.loads(command("search", "--resume", "--out", run, "--json").out)
    (lost, *_), scored = sorted((run / "reported").iterdir()), []
    lost.unlink()
    evaluate = SubnetEvaluator.scored
    monkeypatch.setattr(
        SubnetEvaluator, "scored", lambda self, arch: scored.append(arch) or evaluate(self, arch)
    )
    again = command("search", "--resume", "--out", run, "--json", "--workers", 1)
    assert again.code == 0, again.err
    assert [arch.space for arch in scored] == ["toy"]
    assert lost.exists()
    assert json.loads(again.out) == first


def test_of_few_scenes_no_interval_is_told(searched, command, tmp_path):
    """Two scenes are reported on: too few for an interval, or to tell archs apart."""
    run = shutil.copytree(searched, tmp_path / "run")
    line = ["search", "--resume", "--out", run]
    first = command(*line)
    assert first.code == 0, first.err
    assert "(not known)" in first.out
    assert "cannot be told from the winner on the report scenes as too few show people" in first.out
    assert "did better than" not in first.out
    assert "nan" not in first.out.lower()
    told = json.loads(command(*line, "--json").out, parse_constant=fail)
    assert all(
        "AP_low" not in scores for tier in told["tiers"] for scores in tier["scores"].values()
    )
    assert all(told["ties"].values())
    rows = (run / "archive.csv").read_text(encoding="utf-8")
    assert "nan" not in rows.lower()
    json.loads(
        "[" + ",".join((run / "archive.jsonl").read_text().splitlines()) + "]", parse_constant=fail
    )


def fail(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


@pytest.mark.parametrize("fails", ["others", "winners"])
def test_only_a_winner_must_be_scored(searched, command, tmp_path, monkeypatch, fails):
    run = shutil.copytree(searched, tmp_path / "run")
    line = ["search", "--resume", "--out", run, "--json", "--workers", 1]
    whole = json.loads(command(*line).out)
    winners = [tier["arch"] for tier in whole["tiers"]]
    kept = {name for name, row in whole["uniform"].items() if row["arch"] in winners}
    assert kept < whole["uniform"].keys()
    shutil.rmtree(run / "reported")
    evaluate = SubnetEvaluator.scored

    def scored(self, arch):
        if (dict(arch) in winners) == (fails == "winners"):
            raise WeightsError("the maps are NaN")
        return evaluate(self, arch)

    monkeypatch.setattr(SubnetEvaluator, "scored", scored)
    again = command(*line)
    if fails == "winners":
        assert again.code == 1
        assert again.err.splitlines()[-1].endswith("the maps are NaN")
        return
    assert again.code == 0, again.err
    assert "is not reported, as it cannot be scored: the maps are NaN" in again.err
    told = json.loads(again.out)
    assert told["uniform"].keys() == kept
    assert told["tiers"] == whole["tiers"]
    assert (run / "report.html").is_file()
