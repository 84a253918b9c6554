"""`latency build`, `bundle` and `import` as a user meets them, on the smallest space."""

import datetime
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ofa_pose.catalog import catalog_folder, load_space
from ofa_pose.cost import CostTable, LatencyTable, TableInfo, UnitLatency
from ofa_pose.cost.latency_schema import CoveredSpace, RuntimeSection
from ofa_pose.export import make_tier, save_tier
from ofa_pose.latency import Timed
from ofa_pose.latency.build import describe
from ofa_pose.models import build
from ofa_pose.skeleton import load_skeleton
from ofa_pose.space import SearchSpace

BUILD = ("latency", "build", "--space", "toy", "--runtime", "torch", "--name", "here")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OFA_POSE_PATH", raising=False)


@pytest.fixture
def built(command) -> dict:
    outcome = command(*BUILD, "--rounds", "1", "--no-validate", "--json")
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


def write_table_of_another_machine(space: SearchSpace) -> None:
    """Write the table `here-torch`, whose units take 1 ms each."""
    costs = CostTable(space)
    info = TableInfo(
        name="here-torch",
        device="a board",
        processor="Z80",
        runtime=RuntimeSection(name="torch", version="1"),
        threads=1,
        date=datetime.date(2026, 1, 1),
        method="by hand",
        spaces=(CoveredSpace.model_validate(describe(costs)),),
    )
    rows = [UnitLatency(spec.key, 1.0, 1.0, 0.0, 1) for spec in costs.specs_of_all]
    LatencyTable.of(info, rows).save("predictors/latency")


def test_a_built_table_is_found_by_its_name(command, built):
    assert built["name"] == "here-torch"
    table = LatencyTable.load("here-torch")
    assert table.info.spaces[0].name == "toy"
    assert table.info.threads == 1
    outcome = command(
        "latency", "predict", "--table", "here-torch", "--space", "toy", "--arch", "largest"
    )
    assert outcome.code == 0, outcome.err


def test_building_again_measures_nothing(command, built):
    before = Path("runs/latency-here-torch/results.csv").read_bytes()
    assert command(*BUILD, "--rounds", "1", "--no-validate").code == 0
    assert Path("runs/latency-here-torch/results.csv").read_bytes() == before


def test_other_options_do_not_go_on(command, built):
    outcome = command(*BUILD, "--rounds", "2", "--no-validate")
    assert outcome.code == 2
    assert "holds another measurement (rounds 1, not 2)" in outcome.err
    assert outcome.err.count("\n") <= 2


def test_validation_is_printed_and_kept(command):
    outcome = command(*BUILD, "--rounds", "1", "--networks", "4")
    assert outcome.code == 0, outcome.err
    for line in ("table here-torch", "plain sum of units", "measured twice"):
        assert line in outcome.out
    info = LatencyTable.load("here-torch").info
    assert info.validation is not None
    assert info.validation.networks == 4
    assert info.validation.plain_sum is not None
    assert info.validation.noise_floor is not None
    assert f"here-torch is off by {info.validation.mape:.1%} on average" in outcome.out
    assert "toy: its 64 archs take " in outcome.out
    good = info.validation.mape <= 0.25
    assert ("next: ofa-pose search --supernet FILE --budget " in outcome.out) == good
    busy = info.validation.noise_floor.mape > 0.05
    assert ("the machine was busy" in outcome.err) == busy


def test_a_table_of_another_machine_keeps_its_name(command, built):
    path = Path("predictors/latency/here-torch.yaml")
    lines = path.read_text().splitlines()
    path.write_text(
        "\n".join("processor: Z80" if line.startswith("processor:") else line for line in lines)
    )
    outcome = command(*BUILD, "--rounds", "1", "--no-validate")
    assert outcome.code == 2
    assert "Z80" in outcome.err
    outcome = command("latency", "validate", "--table", "here-torch")
    assert outcome.code == 1
    assert "was measured on Z80" in outcome.err


def test_an_unknown_runtime_names_the_known(command):
    outcome = command("latency", "build", "--space", "toy", "--runtime", "tvm", "--name", "x")
    assert outcome.code == 2
    assert "unknown runtime 'tvm'" in outcome.err
    for name in ("torch", "onnxruntime", "ncnn", "openvino", "litert"):
        assert name in outcome.err


@pytest.mark.parametrize(
    ("runtime", "extra"),
    [("onnxruntime", "onnx"), ("ncnn", "ncnn"), ("openvino", "openvino"), ("litert", "litert")],
)
def test_a_missing_runtime_names_its_extra(command, monkeypatch, runtime, extra):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None)
    outcome = command("latency", "build", "--space", "toy", "--runtime", runtime, "--name", "x")
    assert outcome.code == 2
    assert f"pip install 'ofa-pose[{extra}]'" in outcome.err
    assert "Traceback" not in outcome.err


def test_no_bundle_for_torch(command):
    outcome = command("latency", "bundle", "--space", "toy", "--runtime", "torch", "--out", "b")
    assert outcome.code == 2
    assert "onnxruntime, ncnn, litert" in outcome.err


def test_import_makes_the_table_that_build_makes(command, built):
    table = Path("predictors/latency/here-torch.csv").read_bytes()
    results = "runs/latency-here-torch/results.csv"
    outcome = command("latency", "import", results, "--name", "there", "--describe", "a board")
    assert outcome.code == 0, outcome.err
    assert Path("predictors/latency/there-torch.csv").read_bytes() == table
    assert LatencyTable.load("there-torch").info.device == "a board"


def test_unfinished_results_are_told(command, built):
    results = Path("runs/latency-here-torch/results.csv")
    results.write_text("".join(results.read_text().splitlines(keepends=True)[:30]))
    outcome = command("latency", "import", results, "--name", "there")
    assert outcome.code == 1
    assert "not finished" in outcome.err
    assert "start measure.py (or `ofa-pose latency build`) again on the device" in outcome.err
    assert outcome.err.endswith("and then copy results.csv here again\n")


def test_the_networks_of_a_search_are_measured_beside_their_budget(command, built):
    space = load_space("toy")
    tiers = [("S", space.smallest, "0.001ms@here-torch,1G"), ("L", space.largest, "1G")]
    for name, arch, budget in tiers:
        tier = make_tier(name, space, arch, budget=budget)
        save_tier("found", tier, build(space, arch))
    chosen = ("--tier", "found/S.yaml", "--tier", "found/L.yaml")
    outcome = command("latency", "validate", "--table", "here-torch", *chosen, "--json")
    assert outcome.code == 0, outcome.err
    small, large = json.loads(outcome.out)
    assert (small["tier"], small["budget_ms"], large["budget_ms"]) == ("S", 0.001, None)
    table = LatencyTable.load("here-torch")
    assert large["predicted_ms"] == table.predict(space, space.largest)
    assert 0 < small["measured_ms"] < 100
    shown = command("latency", "validate", "--table", "here-torch", *chosen)
    assert "ms allowed" in shown.out
    over = r"^S is over its budget: [\d.e+]+ ms, [\d.]+% more than 0.001 ms$"
    assert re.search(over, shown.out, re.MULTILINE)
    assert (small["within_budget"], large["within_budget"]) == (False, None)
    refused = command("latency", "validate", "--table", "here-torch", *chosen, "--space", "toy")
    assert refused.code == 2
    assert "a tier has its own space" in refused.err


def test_a_known_table_keeps_its_name(command, built):
    results = "runs/latency-here-torch/results.csv"
    known = Path("predictors/latency/here-torch.yaml")
    lines = known.read_text().splitlines()
    known.write_text("\n".join("threads: 4" if x.startswith("threads:") else x for x in lines))
    for out in ("predictors/latency", "elsewhere"):  # in its folder, and known by its name
        refused = command("latency", "import", results, "--name", "here", "--out", out)
        assert refused.code == 2
        assert "threads 4" in refused.err
        assert "give another --name" in refused.err
    assert not Path("elsewhere/here-torch.yaml").exists()
    assert command("latency", "import", results, "--name", "here", "--force").code == 0


def test_more_networks_to_validate_on_keep_the_table(command):
    few = command(*BUILD, "--rounds", "1", "--networks", "3")
    assert few.code == 0, few.err
    validated = Path("predictors/latency/here-torch.yaml").read_text()
    results = Path("runs/latency-here-torch/results.csv").read_bytes()
    more = command(*BUILD, "--rounds", "1", "--networks", "4")
    assert more.code == 0, more.err
    assert "networks: 3" in validated
    assert "networks: 4" in Path("predictors/latency/here-torch.yaml").read_text()
    assert Path("runs/latency-here-torch/results.csv").read_bytes() == results


@pytest.mark.parametrize("verb", ["build", "import"])
def test_a_name_is_refused_before_anything_is_measured(command, verb):
    lines = {"build": (*BUILD[:-1], "my laptop"), "import": ("latency", "import", "x.csv")}
    name = () if verb == "build" else ("--name", "my laptop")
    refused = command(*lines[verb], *name)
    assert refused.code == 2
    assert "such as my-laptop" in refused.err
    assert not Path("runs").exists()


RESULTS = Path("runs/latency-here-torch/results.csv")


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_table_of_other_spaces_keeps_its_name(command, built):
    known = Path("predictors/latency/here-torch.yaml")
    rewrite(known, load_space("toy").hash, "f" * 16)
    imported = ("latency", "import", RESULTS, "--name", "here")
    for line in (imported, (*BUILD, "--rounds", "1", "--no-validate")):
        refused = command(*line)
        assert refused.code == 2
        assert f"covers toy {'f' * 16}" in refused.err
        assert "--force to replace" in refused.err
    assert command(*imported, "--force").code == 0
    assert load_space("toy").hash in known.read_text()


def test_a_description_is_kept(command, built):
    imported = ("latency", "import", RESULTS, "--name", "there")
    assert command(*imported, "--describe", "a board").code == 0
    assert command(*imported).code == 0
    assert LatencyTable.load("there-torch").info.device == "a board"
    assert command(*imported, "--describe", "a box").code == 0
    assert LatencyTable.load("there-torch").info.device == "a box"


@pytest.mark.parametrize("network", ["toy/1-2-x", "toy/32-2", "other/1", "toy/7-7-7"])
def test_networks_that_are_none_are_refused(command, built, network):
    line = next(line for line in RESULTS.read_text().splitlines() if ",fit-" in line)
    rewrite(RESULTS, line.split(",")[4], network)
    refused = command("latency", "import", RESULTS, "--name", "there")
    assert refused.code == 1
    assert f"{RESULTS}: {network!r} is no network" in refused.err
    assert refused.err.count("\n") == 1


def test_results_of_no_space_are_refused(command, built):
    about = json.loads(RESULTS.read_text().splitlines()[0].removeprefix("# "))["spaces"]
    rewrite(RESULTS, json.dumps(about), "[]")
    refused = command("latency", "import", RESULTS, "--name", "there")
    assert refused.code == 1
    assert f"{RESULTS}, line 1: damaged: it names no space" in refused.err


def test_results_of_an_own_space_need_the_space(command, built):
    rewrite(RESULTS, '"name": "toy"', '"name": "mine"')
    refused = command("latency", "import", RESULTS, "--name", "there")
    assert refused.code == 1
    assert "unknown search space 'mine'" in refused.err
    assert "give a space of your own with --space" in refused.err
    assert refused.err.count("\n") == 1


@pytest.mark.parametrize("content", ['{"x":', "[]", ""])
def test_a_damaged_note_of_the_run_is_told(command, content):
    work = Path("runs/latency-here-torch")
    work.mkdir(parents=True)
    (work / "run.json").write_text(content)
    refused = command(*BUILD, "--no-validate")
    assert refused.code == 2
    assert "run.json is damaged; give --force" in refused.err
    assert "another --work" in refused.err


def test_a_kill_while_the_note_was_written_is_no_other_measurement(command):
    work = Path("runs/latency-here-torch")
    work.mkdir(parents=True)
    (work / ".run~abcd1234.json").write_text("{")
    assert command(*BUILD, "--rounds", "1", "--no-validate").code == 0


def test_a_folder_that_cannot_be_written_is_told_before_measuring(command):
    Path("taken").write_text("a file")
    for out in ("taken", "taken/below"):
        refused = command(*BUILD, "--out", out)
        assert refused.code == 2
        assert f"cannot write --out {out}" in refused.err
    assert not Path("runs").exists()


def test_the_error_on_the_networks_it_was_fitted_to_is_told(command, built, monkeypatch):
    fit = built["fit"]
    assert fit["networks"] == 24
    assert 0 < fit["mape"] <= fit["largest"]
    imported = ("latency", "import", RESULTS, "--name", "there")
    outcome = command(*imported)
    assert f"error on 24 whole networks: {fit['mape']:.1%} on average" in outcome.out
    assert "these are the networks that it was fitted to" in outcome.out
    monkeypatch.setattr("ofa_pose.latency.fit._BOUNDS", (0.99, 1.01))
    held = command(*imported, "--json")
    assert "stands at the bound" in held.err
    assert "where the device has PyTorch" in held.err
    assert json.loads(held.out)["fit"]["scales_at_bound"]
    assert "next:" not in command(*imported).out


@pytest.mark.parametrize(("bound", "suggested"), [(1e6, True), (0.0, False)])
def test_a_search_is_suggested_by_a_table_that_is_not_far_off(
    command, built, monkeypatch, bound, suggested
):
    monkeypatch.setattr("ofa_pose.cli._latency_verdicts.POOR", bound)
    monkeypatch.setattr("ofa_pose.latency.fit.held_at_bounds", lambda model: {})
    imported = command("latency", "import", RESULTS, "--name", "there")
    times = LatencyTable.load("there-torch").predict_all(CostTable(load_space("toy")))
    told = f"toy: its 64 archs take {min(times):.3g} to {max(times):.3g} ms by this table"
    assert told in imported.out
    assert ("next: ofa-pose search --supernet FILE --budget " in imported.out) == suggested
    assert ("no search by it is to be trusted; measure again" in imported.err) != suggested


def test_a_restless_device_is_told_of_after_an_import(command):
    built = command(*BUILD, "--rounds", "2", "--no-validate", "--json")
    twice = json.loads(built.out)["fit"]["twice"]["mape"]
    lines = RESULTS.read_text().splitlines()
    for number, line in enumerate(lines):
        cells = line.split(",")
        if cells[1].startswith("fit-") and cells[2] == "1":  # the second round, twice as slow
            lines[number] = ",".join([*cells[:6], str(2 * float(cells[6])), *cells[7:]])
    RESULTS.write_text("\n".join(lines) + "\n")
    imported = command("latency", "import", RESULTS, "--name", "there", "--json")
    worse = json.loads(imported.out)["fit"]["twice"]["mape"]
    assert worse > twice
    assert f"measured twice differ by {100 * worse:.1f} % on average, more than 5 %" in imported.err


@pytest.mark.parametrize(
    ("options", "again"), [((), "the same command goes"), (("--force",), "without --force goes")]
)
def test_an_interrupted_build_says_how_to_go_on(command, monkeypatch, options, again):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("ofa_pose.latency.build_table", stop)
    outcome = command(*BUILD, *options)
    assert outcome.code == 130
    assert "interrupted; what was measured is kept, " in outcome.err
    assert again in outcome.err


def test_what_was_begun_with_force_goes_on_without_it(command, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("ofa_pose.latency.build.run_kit", stop)
    write_table_of_another_machine(load_space("toy"))
    refused = command(*BUILD, "--no-validate")
    assert refused.code == 2
    assert "Z80" in refused.err
    stopped = command(*BUILD, "--no-validate", "--force")
    assert "the same command without --force goes on from it" in stopped.err
    kit = Path("runs/latency-here-torch/kit.json")
    made = kit.stat().st_ino
    assert command(*BUILD, "--no-validate").code == 130
    assert kit.stat().st_ino == made
    assert LatencyTable.load("here-torch").info.processor == "Z80"


@pytest.mark.parametrize(
    ("options", "again"), [((), "the same command goes"), (("--force",), "without --force goes")]
)
def test_a_build_whose_runtime_fails_names_the_network_and_how_to_go_on(
    command, monkeypatch, options, again
):
    def fail(*_):
        raise RuntimeError("no kernel")

    monkeypatch.setattr("ofa_pose.latency.with_torch.TorchRunner.run", fail)
    outcome = command(*BUILD, *options)
    assert outcome.code == 1
    (told,) = [line for line in outcome.err.splitlines() if "error: " in line]
    assert re.search(r"torch failed at the network [a-z]+-\d+ \(toy/[\d-]+\): RuntimeError: ", told)
    assert "; what was measured is kept, " in told
    assert again in told


def test_a_validation_keeps_what_was_measured_in_its_own_folder_alone(command, built, monkeypatch):
    def fail(*_):
        raise RuntimeError("no kernel")

    monkeypatch.setattr("ofa_pose.latency.with_torch.TorchRunner.run", fail)
    line = ("latency", "validate", "--table", "here-torch", "--networks", "3")
    for options, kept in (((), False), (("--work", "w"), True)):
        outcome = command(*line, *options)
        assert outcome.code == 1
        assert "torch failed at the network " in outcome.err
        assert ("what was measured is kept, the same command" in outcome.err) == kept


def test_a_bundle_names_the_runtimes_it_is_for(command):
    shown = command("latency", "bundle", "--help").out
    assert "onnxruntime, ncnn or litert" in shown
    assert "torch." not in shown


def test_a_space_given_twice_is_measured_once(command):
    outcome = command(*BUILD, "--space", "toy", "--rounds", "1", "--no-validate", "--json")
    assert outcome.code == 0, outcome.err
    document = json.loads(outcome.out)
    assert [space["name"] for space in document["spaces"]] == ["toy"]
    assert document["fit"]["networks"] == 24


def test_two_spaces_of_one_name_are_refused(command):
    text = (catalog_folder("search_spaces") / "toy.yaml").read_text()
    Path("own").mkdir()
    Path("own/toy.yaml").write_text(text.replace("[48, 32]", "[64, 32]"))
    line = ("latency", "bundle", "--runtime", "onnxruntime", "--out", "b", "--space", "toy")
    refused = command(*line, "--space", "own/toy.yaml")
    assert refused.code == 2
    assert "two different spaces called 'toy'" in refused.err
    assert not Path("b").exists()


def test_tiers_are_compared_with_the_reference_of_the_table(command):
    """Its space is in a file that nobody looks for, and the tier carries it."""
    text = (catalog_folder("search_spaces") / "toy.yaml").read_text()
    Path("own.yaml").write_text(text.replace("name: toy", "name: own"))
    line = ("latency", "build", "--space", "own.yaml", "--runtime", "torch", "--name", "here")
    done = command(*line, "--skeleton", "coco", "--rounds", "1", "--no-validate")
    assert done.code == 0, done.err
    space, coco = load_space("own.yaml"), load_skeleton("coco")
    assert space.skeleton != "coco"
    tier = make_tier("S", space, space.smallest, skeleton=coco)
    save_tier("found", tier, build(space, space.smallest, skeleton=coco))
    line = ("latency", "validate", "--table", "here-torch", "--tier", "found/S.yaml")
    outcome = command(*line)
    assert outcome.code == 0, outcome.err
    assert "is not here as it was" not in outcome.err


def test_a_table_for_joints_of_ones_own_can_be_imported_and_validated(command, tmp_path, no_home):
    """Their file is no part of a bundle's results, so it is given again."""
    five = Path(__file__).parents[2] / "examples" / "five_joints.yaml"
    folder = tmp_path / "bundle"
    line = ["latency", "bundle", "--space", "toy", "--runtime", "onnxruntime", "--rounds", 1]
    bundled = command(*line, "--skeleton", five, "--out", folder)
    assert bundled.code == 0
    assert f"ofa-pose latency import {folder / 'results.csv'} --name DEVICE" in bundled.out
    done = subprocess.run(
        [sys.executable, folder / "measure.py"],
        env=no_home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    line = ["latency", "import", folder / "results.csv", "--name", "pi", "--out", tmp_path]
    refused = command(*line)
    assert refused.code != 0
    assert "give their file with --skeleton" in refused.err
    assert command(*line, "--skeleton", five).code == 0
    assert (tmp_path / "pi-onnxruntime.csv").exists()


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        (4.32, "S is over its budget: 4.32 ms, 8.0% more than 4 ms"),
        (4.0, "none takes more than its budget under here-torch"),
    ],
)
def test_a_network_is_said_to_be_within_its_budget_or_not(
    command, built, monkeypatch, measured, expected
):
    space = load_space("toy")
    tier = make_tier("S", space, space.smallest, budget="4ms@here-torch")
    save_tier("found", tier, build(space, space.smallest))
    monkeypatch.setattr("ofa_pose.latency.time_networks", lambda *_, **__: [Timed(measured, 4.0)])
    line = ("latency", "validate", "--table", "here-torch", "--tier", "found/S.yaml")
    outcome = command(*line)
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines()[-1] == expected
    (told,) = json.loads(command(*line, "--json").out)
    assert told["within_budget"] == (measured <= 4)
