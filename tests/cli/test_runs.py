"""train, search, finetune, eval and data synth on the toy space: files, refusals, resuming."""

import csv
import html
import json
import re
import sys

import pandas as pd
import pytest
import yaml

from ofa_pose import load_space
from ofa_pose.export import load_tier
from ofa_pose.space import uniform_archs
from ofa_pose.supernet import load_weights

TRAIN = ["train", "--space", "toy", "--synthetic", 8, "--batch-size", 2, "--workers", 0]
QUICK_VALIDATION = ["--val-scenes", 2, "--validations", 1]
SEARCH = ["search", "--evaluations", 6, "--scenes", 2, "--calibration-scenes", 2]
# Exact MACs of the smallest toy network by hand: 32 px; stem 4 -> 2; stages 4, 8, 16, 8 channels,
# expanded twice, 3 x 3; deconvolutions 8, 4, 2, 4 x 4; heads 5 x 5, for 28 and 14 maps.
SMALLEST_MACS = sum(
    [
        16**2 * (27 * 4 + 9 * 4 + 4 * 2),  # stem, at 16 x 16 cells
        16**2 * 2 * 4 + 8**2 * (9 * 4 + 4 * 4),  # stages: expand, then depthwise and project
        8**2 * 4 * 8 + 4**2 * (9 * 8 + 8 * 8),
        4**2 * 8 * 16 + 2**2 * (9 * 16 + 16 * 16),
        2**2 * 16 * 32 + 2**2 * (9 * 32 + 32 * 8),
        2**2 * (8 + 16) * 8 * 4**2,  # deconvolutions, at their inputs' size
        4**2 * (8 + 8) * 4 * 4**2,
        8**2 * (4 + 4) * 2 * 4**2,
        8**2 * 2 * (25 * 4 + 4 * 28),  # heads: two separable convolutions each
        16**2 * 2 * (25 * 2 + 2 * 14),
    ]
)


def text(arguments):
    return [str(argument) for argument in arguments]


def rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def names_in(folder):
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_train_writes_a_run_folder(trained):
    names = names_in(trained)
    assert names == {
        "config.yaml", "log.txt", "metrics.csv", "checkpoint.pt", "checkpoint.previous.pt",
        "best.safetensors", "last.safetensors",
    }  # fmt: skip
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert config["space"] == "toy"
    assert config["recipe"]["steps"] == 2
    assert config["recipe"]["batch_size"] == 2
    assert [row["step"] for row in rows(trained / "metrics.csv")][-1] == "2"
    assert load_weights(trained / "best.safetensors")[1]["space"] == "toy"


def test_search_writes_a_run_folder(searched):
    names = names_in(searched)
    # 0.25M is a tier of the space and takes its name, S; the other is named as it was written.
    assert names == {
        "config.yaml", "log.txt", "metrics.csv",
        "archive.csv", "archive.jsonl", "front.csv", "front.png",
        "baseline.csv", "baseline.jsonl", "report.html", "reported",
        "S.yaml", "S.safetensors", "9k-params.yaml", "9k-params.safetensors",
    }  # fmt: skip
    archive = rows(searched / "archive.csv")
    assert len(archive) == len({row["index"] for row in archive}) == 6
    assert all(
        int(row["cost.macs_exact"]) <= 250_000 or int(row["cost.params"]) <= 9_000
        for row in archive
    )
    assert rows(searched / "metrics.csv")[-1]["evaluations"] == "6"
    assert {"generation", "AP.mean", "best.S", "best.9k-params"} <= rows(searched / "metrics.csv")[
        0
    ].keys()
    tier = yaml.safe_load((searched / "S.yaml").read_text())
    assert tier["costs"]["macs"]["exact"] <= 250_000
    assert set(tier["scores"]) == {"search", "report"}
    assert (searched / "front.png").read_bytes().startswith(b"\x89PNG")


def test_a_further_budget_is_read_off_a_finished_search(command, trained, searched, tmp_path):
    folder = tmp_path / "run"
    line = ["search", "--evaluations", 14, "--scenes", 2, "--calibration-scenes", 2]
    line += ["--supernet", trained, "--out", folder]
    assert command(*line, "--budget", "0.25M").code == 0
    before = rows(folder / "archive.csv")
    outcome = command(*line, "--resume", "--budget", "0.5M")
    assert outcome.code == 0, outcome.err
    after = rows(folder / "archive.csv")
    assert after[: len(before)] == before
    added = after[len(before) :]
    # Of 14 evaluations the second of two tiers has seven, unless fewer are worth it.
    assert 0 < len(added) <= 7
    assert {row["tier"] for row in added} == {"0.5M"}
    assert {"S.yaml", "0.5M.yaml"} <= names_in(folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["budgets"] == {"S": "250k", "0.5M": "500k"}
    again = command(*line, "--resume")
    assert (again.code, rows(folder / "archive.csv")) == (0, after)
    # The commands that lead here, and not the one that found nothing left to do.
    config = yaml.safe_load((folder / "config.yaml").read_text())
    common = f"--supernet {trained} --evaluations 14 --scenes 2 --calibration-scenes 2"
    assert config["commands"] == [
        f"ofa-pose search --budget 0.25M {common} --out {folder}",
        f"ofa-pose search --budget 0.5M {common} --out {folder} --resume",
    ]
    assert html.escape(config["commands"][1]) in (folder / "report.html").read_text()


def test_the_uniformly_scaled_networks_stand_beside_the_winners(command, trained, tmp_path):
    folder = tmp_path / "run"
    line = [*SEARCH, "--supernet", trained, "--budget", "1M", "--out", folder]
    without = command(*line, "--no-baseline")
    assert without.code == 0, without.err
    assert "AP uniform" not in without.out
    archive = (folder / "archive.csv").read_bytes()
    outcome = command(*line, "--resume", "--baseline", "--json")
    assert outcome.code == 0, outcome.err
    found = {tuple(arch.values()) for arch in uniform_archs(load_space("toy"))}
    names = load_space("toy").largest.keys()
    assert {tuple(int(row[n]) for n in names) for row in rows(folder / "baseline.csv")} == found
    assert (folder / "archive.csv").read_bytes() == archive
    (uniform,) = json.loads(outcome.out)["uniform"].values()
    assert tuple(uniform["arch"].values()) in found


def test_a_resumed_search_keeps_what_it_was_asked_for(command, trained, tmp_path):
    line = ["search", "--scenes", 2, "--calibration-scenes", 2, "--supernet", trained]
    line += ["--budget", "0.25M", "--no-baseline", "--seed", 3, "--canvas", 64]
    assert command(*line, "--out", tmp_path / "run", "--evaluations", 5).code == 0
    outcome = command("search", "--resume", "--out", tmp_path / "run", "--json")
    assert outcome.code == 0, outcome.err
    document = json.loads(outcome.out)
    assert document["evaluations"] == 5
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (config["evaluations"], config["seed"], config["baseline"]) == (5, 3, False)
    assert not (tmp_path / "run" / "baseline.csv").exists()
    again = command("search", "--resume", "--out", tmp_path / "run", "--seed", 4)
    assert "seed was 3 and is now 4" in again.err
    # Untrained networks find nobody: every AP is 0, and none of the next best is shown worse.
    assert len(document["ties"]["S"]) == 3
    assert document["notes"][-1].startswith("all archs score alike")


@pytest.mark.parametrize("strategy", ["aging", "nsga2"])
def test_search_takes_a_strategy(command, trained, tmp_path, strategy):
    line = [*SEARCH, "--supernet", trained, "--budget", "0.25M", "--out", tmp_path / "run"]
    outcome = command(*line, "--strategy", strategy, "--no-predictor")
    assert outcome.code == 0, outcome.err
    assert "predictor" not in outcome.out
    refused = command(*line, "--strategy", "agin", "--force")
    assert refused.code == 2
    assert "unknown strategy 'agin'; did you mean 'aging'?" in refused.err


def test_search_prints_a_table_or_json(command, trained, tmp_path):
    line = [*SEARCH, "--supernet", trained, "--budget", "0.25M", "--out", tmp_path / "run"]
    outcome = command(*line)
    assert outcome.code == 0
    assert outcome.out.splitlines()[0].split()[:2] == ["tier", "budget"]
    assert outcome.out.splitlines()[1].split()[:2] == ["S", "250k"]
    assert "synthetic" in outcome.out
    assert "synthetic" in outcome.err
    document = json.loads(command(*line, "--force", "--json").out)
    assert document["synthetic_scenes"] is True
    assert document["evaluations"] == 6
    assert document["tiers"][0]["costs"]["macs_exact"] <= 250_000


def test_search_under_a_latency(command, trained, tmp_path, latency_table, monkeypatch):
    toy = load_space("toy")
    for name, speed in (("phone", 20.0), ("watch", 5.0)):
        table = latency_table(toy, lambda spec, v=speed: spec.in_shapes[0][1] / v, name=name)
        table.save(tmp_path / "tables")
    monkeypatch.setenv("OFA_POSE_PATH", str(tmp_path / "tables"))
    folder = tmp_path / "run"
    budget = ["--budget", "6ms@phone,9k params", "--latency", "watch", "--axis", "latency:watch"]
    outcome = command(*SEARCH, "--supernet", trained, *budget, "--out", folder, "--json")
    assert outcome.code == 0, outcome.err
    costs = json.loads(outcome.out)["tiers"][0]["costs"]
    assert costs["latency_ms"]["watch"] == pytest.approx(4 * costs["latency_ms"]["phone"])
    for row in rows(folder / "archive.csv"):
        assert float(row["cost.latency:phone"]) <= 6
        assert int(row["cost.params"]) <= 9_000
    assert "cost.latency:watch" in rows(folder / "front.csv")[0]
    tier = load_tier(folder / "6ms-phone-9k-params.yaml")
    assert tier.budget == "6ms@phone,9k params"
    assert tier.costs.latency_ms == costs["latency_ms"]
    predicted = command("latency", "predict", tier.path, "--table", "phone", "--json")
    assert json.loads(predicted.out)["tables"][0]["latency_ms"] == costs["latency_ms"]["phone"]
    shown = command(*SEARCH, "--supernet", trained, *budget, "--out", folder, "--resume")
    assert "ms phone  ms watch" in shown.out
    for said in (shown.out, (folder / "report.html").read_text()):
        for name in ("phone", "watch"):
            assert f"{name} has not been compared with measured networks" in said


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--budget", "3ms@phone"], "unknown latency table 'phone'; "),
        (["--budget", "1M", "--latency", "phone"], "unknown latency table 'phone'; "),
        (["--budget", "1M", "--axis", "latency:phone"], "unknown cost in --axis 'latency:phone'"),
        (["--budget", "1M,2M"], "bounds macs_exact twice"),
        (["--budget", "30ms"], "30ms@x86-onnxruntime"),
    ],
)
def test_latencies_that_are_refused(command, trained, tmp_path, options, expected):
    outcome = command(*SEARCH, "--supernet", trained, *options, "--out", tmp_path / "run")
    assert outcome.code == 2
    assert expected in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_same_seed_same_search(command, searched, trained, tmp_path):
    budgets = ["--budget", "0.25M", "--budget", "9k params"]
    outcome = command(*SEARCH, "--supernet", trained, *budgets, "--out", tmp_path / "again")
    assert outcome.code == 0
    for name in ("archive.csv", "front.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (searched / name).read_bytes()


@pytest.mark.parametrize("workers", ["0", "two"])
def test_workers_that_cannot_be_leave_no_folder(command, trained, tmp_path, workers):
    line = [*SEARCH, "--supernet", trained, "--out", tmp_path / "run", "--workers", workers]
    outcome = command(*line)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "workers are a number above 0" in outcome.err
    assert not (tmp_path / "run").exists()


def test_infeasible_budget_is_refused_before_anything_is_written(command, trained, tmp_path):
    outcome = command(*SEARCH, "--supernet", trained, "--budget", "1k", "--out", tmp_path / "run")
    assert outcome.code == 2
    assert f"{SMALLEST_MACS / 1000}k" in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_budget_above_the_largest_says_so_and_goes_on(command, trained, tmp_path):
    outcome = command(*SEARCH, "--supernet", trained, "--budget", "1G", "--out", tmp_path / "run")
    assert outcome.code == 0
    assert "excludes no arch" in outcome.err


@pytest.mark.parametrize("verb", ["train", "search"])
def test_a_taken_folder_needs_resume_or_force(command, verb, trained, searched):
    line = {
        "train": [*TRAIN, "--steps", 2, "--out", trained],
        "search": [*SEARCH, "--supernet", trained, "--out", searched],
    }[verb]
    before = contents(trained) | contents(searched)
    outcome = command(*line)
    assert outcome.code == 2
    assert "--resume" in outcome.err
    assert "--force" in outcome.err
    after = contents(trained) | contents(searched)
    assert after == before


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_run_of_another_command_is_not_replaced(command, searched, force):
    before = contents(searched)
    outcome = command(*TRAIN, "--steps", 2, "--out", searched, *force)
    assert (outcome.code, "holds what `search` has made (" in outcome.err) == (2, True)
    assert contents(searched) == before


def test_resume_of_another_run_is_refused(command, trained):
    outcome = command(*TRAIN, *QUICK_VALIDATION, "--steps", 3, "--resume", "--out", trained)
    assert outcome.code == 2
    assert "recipe.steps was 2 and is now 3" in outcome.err


def test_offspring_are_the_archs_of_a_later_generation(command, trained, tmp_path):
    line = ["search", "--supernet", trained, "--evaluations", 30, "--scenes", 2, "--out", tmp_path]
    line += ["--calibration-scenes", 2, "--budget", "1M", "--no-baseline", "--finalists", 0]
    outcome = command(*line, "--population", 4, "--offspring", 5, "--workers", 1, "--force")
    assert outcome.code == 0, outcome.err
    generations = pd.read_csv(tmp_path / "archive.csv")["generation"].to_list()
    later = [generations.count(number) for number in range(1, max(generations) + 1)]
    assert len(later) > 1
    assert set(later[:-1]) == {5}


def test_finetune_then_eval(command, searched, tmp_path):
    line = ["finetune", searched / "S.yaml", "--synthetic", 4, "--steps", 2, "--batch-size", 2]
    out = tmp_path / "tuned"
    outcome = command(*line, "--val-scenes", 2, "--workers", 0, "--out", out, "--json")
    assert outcome.code == 0, outcome.err
    document = json.loads(outcome.out)
    assert document["steps"] == 2
    assert set(document["scores"]) == {"inherited", "finetuned"}
    assert document["validations"] == 2  # 10 are asked for, but there are only 2 steps
    scores = yaml.safe_load((out / "S.yaml").read_text())["scores"]
    assert scores["finetuned"] == {"AP": document["best_AP"], "best_of_validations": 2}
    before = yaml.safe_load((searched / "S.yaml").read_text())["scores"]
    assert scores["inherited"] == document["scores"]["inherited"] == before["report"]
    assert before["report"].keys() >= {"AP", "AR"}
    assert "parts" not in before["search"]
    told = command(*line, "--val-scenes", 2, "--workers", 0, "--out", out, "--resume").out
    assert f"AP {document['best_AP']:.3f}, best of 2 validations, after step" in told
    assert f"finetuned {document['best_AP']:.3f} (best of 2 validations))" in told
    assert f"other scenes) {before['report']['AP']:.3f}," in told
    scores = command("eval", out / "S.yaml", "--synthetic", 2, "--json")
    assert scores.code == 0, scores.err
    assert set(json.loads(scores.out)["scores"]) >= {"AP", "AP50", "AP75", "AR"}
    assert "S: 32 px" in command("eval", out / "S.yaml", "--synthetic", 2).out


def test_one_plain_network(command, tmp_path):
    out = tmp_path / "plain"
    outcome = command(*TRAIN, "--arch", "largest", "--steps", 1, "--out", out, *QUICK_VALIDATION)
    assert outcome.code == 0, outcome.err
    assert yaml.safe_load((out / "largest.yaml").read_text())["created_by"] == "ofa-pose train"
    assert "(AP: trained 0.000 (of one validation))" in outcome.out
    again = command(
        *TRAIN, "--arch", "smallest", "--init", out / "best.safetensors", "--steps", 1,
        "--out", tmp_path / "other",
    )  # fmt: skip
    assert again.code == 1
    assert "is of arch" in again.err


def test_tensorboard(command, tmp_path):
    pytest.importorskip("tensorboard")
    out = tmp_path / "run"
    line = [*TRAIN, "--arch", "smallest", "--steps", 2, *QUICK_VALIDATION, "--out", out]
    outcome = command(*line, "--tensorboard")
    assert outcome.code == 0, outcome.err
    (file,) = (out / "tensorboard").iterdir()
    assert file.name.startswith("events.out.tfevents.")
    assert command(*line, "--resume").code == 0  # with or without it, it is the same run
    assert command(*line, "--force").code == 0
    assert not file.exists()


@pytest.mark.parametrize("verb", ["train", "finetune"])
def test_tensorboard_that_is_not_installed(command, verb, searched, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    line = {
        "train": TRAIN,
        "finetune": ["finetune", searched / "S.yaml", "--synthetic", 2],
    }[verb]
    outcome = command(*line, "--steps", 1, "--out", tmp_path / "run", "--tensorboard")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1), outcome.err
    assert "pip install 'ofa-pose[tensorboard]'" in outcome.err
    assert not (tmp_path / "run").exists()


def test_data_synth_is_what_data_takes(command, tmp_path):
    folder = tmp_path / "people"
    for split in ("train", "val"):
        made = command("data", "synth", folder, "--count", 3, "--size", 64, "--split", split)
        assert made.code == 0, made.err
        assert (folder / f"{split}.png").read_bytes().startswith(b"\x89PNG")
        assert re.search(r"wrote 3 scenes to .*, [\d.e+]+ a second;", made.out)
    assert command("data", "synth", folder, "--count", 3).code == 2
    line = ["train", "--space", "toy", "--data", folder, "--mosaic", 2, "--batch-size", 2]
    outcome = command(*line, "--workers", 0, "--steps", 1, "--out", tmp_path / "run", "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["best_AP"] is not None  # validated on split val by itself


def test_archs_race_under_a_latency(command, trained, latency_table, tmp_path):
    toy = load_space("toy")
    table = latency_table(toy, lambda spec: spec.in_shapes[0][1] / 100, name="phone")
    budget = f"3.5ms@{table.save(tmp_path)}"
    out = tmp_path / "run"
    line = ["search", "--racing", "--scenes", 32, "--calibration-scenes", 2, "--evaluations", 3]
    done = command(*line, "--supernet", trained, "--budget", budget, "--out", out)
    assert done.code == 0, done.err
    assert "archs race over 16, 32 scenes" in done.err
    assert len(list((out / "race").iterdir())) >= 3
    found = rows(out / "archive.csv")
    assert len(found) == 3
    assert all(float(row["cost.latency:phone"]) <= 3.5 for row in found)


def test_a_search_does_not_go_on_with_other_labels(command, trained, tmp_path):
    data = tmp_path / "data"
    assert command("data", "synth", data, "--count", 12, "--size", 64, "--split", "val").code == 0
    line = ["search", "--scenes", 3, "--calibration-scenes", 2, "--supernet", trained]
    line += ["--data", data, "--budget", "0.25M", "--out", tmp_path / "run"]
    assert command(*line, "--evaluations", 2).code == 0
    path = data / "annotations" / "val.json"
    document = json.loads(path.read_text())
    for person in document["annotations"]:
        person["keypoints"][0] += 20
    path.write_text(json.dumps(document))
    again = command("search", "--resume", "--evaluations", 4, "--out", tmp_path / "run")
    assert again.code != 0
    assert "cannot resume" in again.err
    assert "pictures.search was" in again.err
