"""The health check on the toy space: what is compared, that it resumes, what it says."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau

import ofa_pose as op
from ofa_pose.catalog import catalog_folder
from ofa_pose.cli.main import run
from ofa_pose.data import SyntheticScenes
from ofa_pose.errors import RunFolderError, TrainingDivergedError, UsageError, WeightsError
from ofa_pose.evaluate import SubnetEvaluator
from ofa_pose.health import check_health, draw_archs
from ofa_pose.pose import Matches, match_people


class Guessing(SubnetEvaluator):
    """Finds people the better, the wider an arch is: the toy networks are untrained."""

    def prepared(self, arch: op.Arch) -> Any:
        return arch

    def matches(self, network: Any, arch: op.Arch, places: Any) -> Matches:
        truth = self.scenes.ground_truth()
        rng = np.random.default_rng(self.supernet.space.index(arch))
        results = []
        for person in truth["annotations"]:
            points = np.array(person["keypoints"], float).reshape(-1, 3)
            points[:, :2] += rng.normal(0, 12 / arch["stage2"], points[:, :2].shape)
            results.append(
                {
                    "image_id": person["image_id"],
                    "keypoints": points.ravel().tolist(),
                    "score": float(rng.random()),
                }
            )
        return match_people(truth, results, self.scenes.skeleton)


@pytest.fixture(scope="module")
def evaluator() -> SubnetEvaluator:
    toy = op.load_space("toy")
    scenes = SyntheticScenes(0, 40, size=64, skeleton="crowdpose")
    return Guessing(op.Supernet(toy), calibration=scenes, scenes=scenes)


def test_parts_are_compared_with_the_whole_and_with_the_rest(
    evaluator: SubnetEvaluator, tmp_path: Path
) -> None:
    archs = draw_archs(evaluator.supernet.space, 8, seed=1, mask=None)
    assert len(set(archs)) == 8
    tuned = {arch: float(number) for number, arch in enumerate(archs)}
    asked: list[op.Arch] = []

    def tune(arch: op.Arch) -> float:
        asked.append(arch)
        return tuned[arch]

    steps: list[int] = []
    health = check_health(
        evaluator, archs, tune=tune, tuned=3, path=tmp_path / "health.jsonl",
        progress=steps.append,
    )  # fmt: skip
    assert steps == list(range(1, 12))
    assert asked == archs[:3]
    assert list(health.subsets) == [20]  # of 40 scenes, parts of at least 16 are 20 and all
    order = np.random.default_rng((0, 40)).permutation(40)
    for row in health.archs:
        network: Any = row.arch
        matches = evaluator.matches(network, row.arch, range(40))
        few, rest = (sorted(part.tolist()) for part in (order[:20], order[20:]))
        assert row.inherited == matches.ap()
        assert row.subsets[20] == (
            pytest.approx(matches.take(few).ap()), pytest.approx(matches.take(rest).ap()),
        )  # fmt: skip
    whole, others = health.subsets[20]
    few = [row.subsets[20][0] for row in health.archs]
    found: Any = kendalltau(few, [row.subsets[20][1] for row in health.archs])
    assert others.tau == found.statistic
    assert whole.count == 8
    assert health.tuned is not None
    assert health.tuned.count == 3


def test_it_goes_on_where_it_was_stopped(evaluator: SubnetEvaluator, tmp_path: Path) -> None:
    archs = draw_archs(evaluator.supernet.space, 3, seed=1, mask=None)
    path = tmp_path / "health.jsonl"
    calls: list[op.Arch] = []

    def tune(arch: op.Arch) -> float:
        calls.append(arch)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return 0.25 * len(calls)

    with pytest.raises(KeyboardInterrupt):
        check_health(evaluator, archs, tune=tune, tuned=2, path=path)
    with path.open("a") as stream:
        stream.write('{"tuned": "half a li')  # as a kill leaves it
    health = check_health(evaluator, archs, tune=tune, tuned=2, path=path)
    assert calls == [archs[0], archs[1], archs[1]]
    assert [row.tuned for row in health.archs] == [0.25, 0.75, None]
    other = Guessing(
        op.Supernet(op.SearchSpace(name="x", family="litepose", choices=toy_choices(),
                                   network=op.load_space("toy").network)),
        calibration=evaluator.scenes, scenes=evaluator.scenes,
    )  # fmt: skip
    with pytest.raises(RunFolderError, match="no health check of space 'x'"):
        check_health(other, archs, tune=tune, tuned=0, path=path)


def test_an_arch_that_gives_nan_is_left_out_and_not_tried_again(
    evaluator: SubnetEvaluator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archs = draw_archs(evaluator.supernet.space, 5, seed=1, mask=None)
    path = tmp_path / "health.jsonl"
    asked: list[op.Arch] = []
    matches = Guessing.matches

    def measured(self: Any, network: Any, arch: op.Arch, places: Any) -> Matches:
        asked.append(arch)
        if arch == archs[0]:
            raise WeightsError("NaN\nin heatmaps")
        return matches(self, network, arch, places)

    def tune(arch: op.Arch) -> float:
        asked.append(arch)
        if arch == archs[2]:
            raise TrainingDivergedError("the loss is nan")
        return 0.5

    monkeypatch.setattr(Guessing, "matches", measured)
    health = check_health(evaluator, archs, tune=tune, tuned=3, path=path)
    assert asked == [*archs, *archs[1:4]]
    assert health.failed == {archs[0]: "NaN in heatmaps"}
    assert health.failed_tuned == {archs[2]: "the loss is nan"}
    assert [row.arch for row in health.archs] == archs[1:]
    assert [row.tuned for row in health.archs] == [0.5, None, 0.5, None]
    assert health.subsets[20][0].count == 4
    assert health.tuned is not None
    assert health.tuned.count == 2
    asked.clear()
    again = check_health(evaluator, archs, tune=tune, tuned=3, path=path)
    assert (asked, again.archs, again.failed) == ([], health.archs, health.failed)
    with pytest.raises(WeightsError, match="1 of 2 archs cannot be scored.*: NaN in heatmaps"):
        check_health(evaluator, archs[:2], tune=tune, tuned=0, path=path)


def toy_choices() -> tuple[op.Choice, ...]:
    first, *others = op.load_space("toy").choices
    return (op.Choice("resolution", first.values[:1]), *others)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    line = ["train", "--space", "toy", "--synthetic", 8, "--batch-size", 2, "--workers", 0]
    line += ["--steps", 1, "--val-scenes", 2, "--validations", 1, "--out", folder]
    assert run([str(word) for word in line]) == 0
    return folder


def test_the_verb(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    folder = tmp_path / "health"
    line = ["health", "--supernet", trained, "--archs", 3, "--tuned", 2, "--steps", 1]
    line += ["--scenes", 32, "--calibration-scenes", 2, "--workers", 0, "--out", folder]
    line += ["--budget", "0.5M", "--canvas", 64]
    words = [str(word) for word in line]
    assert run(words) == 0, capsys.readouterr().err
    told = capsys.readouterr().out
    assert "3 archs, drawn at random near 0.5M" in told
    assert "tau with all scenes" in told
    with (folder / "health.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    toy = op.load_space("toy")
    assert [bool(row["AP.tuned"]) for row in rows] == [True, True, False]
    macs = [op.count(toy, toy.arch(row["arch"])).macs["exact"] for row in rows]
    within = sorted(m for m in op.CostTable(toy)["macs_exact"].tolist() if m <= 500_000)
    assert min(macs) >= np.median(within)
    assert max(macs) <= 500_000
    document = json.loads((folder / "health.json").read_text())
    assert document["archs"] == 3
    assert (document["failed"], document["failed_tuned"]) == ({}, {})
    assert [row["scenes"] for row in document["subsets"]] == [16]
    assert document["inherited_and_tuned"]["count"] == 2
    assert run(words) == 2  # taken
    capsys.readouterr()
    monkeypatch.setattr("ofa_pose.health.finetune", None)  # nothing is left to do
    assert run([*words, "--resume", "--json"]) == 0, capsys.readouterr().err
    printed = json.loads(capsys.readouterr().out)
    printed.pop("folder")
    assert printed == document


@pytest.mark.parametrize("tiers", ["", "tiers:\n  S: 1k\n"])
def test_a_space_s_tiers_are_not_asked_for(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], tiers: str
) -> None:
    """The space has none, or one that no arch meets: archs are drawn anywhere all the same."""
    text = (catalog_folder("search_spaces") / "toy.yaml").read_text()
    before, _, rest = text.partition("tiers:\n")
    space = tmp_path / "toy.yaml"
    space.write_text(before + tiers + rest[rest.index("\nrecipe:") :])
    line = ["health", "--supernet", trained, "--space", space, "--archs", 2, "--tuned", 0]
    line += ["--scenes", 32, "--calibration-scenes", 2, "--canvas", 64, "--out", tmp_path / "run"]
    assert run([str(word) for word in line]) == 0, capsys.readouterr().err
    told = capsys.readouterr().out
    assert "2 archs, drawn at random anywhere in the space" in told
    refused = run([str(word) for word in [*line, "--force", "--budget", "1k"]])
    assert refused == 2
    assert "is below every arch" in capsys.readouterr().err
    assert run([str(word) for word in [*line, "--force", "--budget", "1G"]]) == 0
    assert "budget 1G (1G exact MACs) excludes no arch" in capsys.readouterr().err
    refused = run([str(word) for word in [*line, "--force", "--scenes", 31]])
    assert refused == 2
    assert "nothing would be checked: 31 scenes are too few" in capsys.readouterr().err


def test_data_without_a_training_split_is_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data", "synth", str(tmp_path / "p"), "--count", "40", "--size", "64"]
    assert run([*words, "--split", "val"]) == 0
    line = ["health", "--supernet", str(trained), "--data", str(tmp_path / "p")]
    capsys.readouterr()
    assert run([*line, "--out", str(tmp_path / "run")]) == 2
    told = capsys.readouterr().err
    assert "--tuned 0 leaves it out" in told
    assert told.count("\n") == 1


def test_a_journal_of_other_weights_or_of_another_order_is_not_gone_on_with(
    evaluator: SubnetEvaluator, tmp_path: Path
) -> None:
    space, path = evaluator.supernet.space, tmp_path / "health.jsonl"
    archs = draw_archs(space, 2, seed=1, mask=None)

    def check(evaluator: SubnetEvaluator, seed: int = 0) -> None:
        check_health(evaluator, archs, tune=lambda _: 0.0, tuned=0, path=path, seed=seed)

    check(evaluator)
    check(evaluator)
    scenes = evaluator.scenes
    other = Guessing(op.Supernet(space, seed=1), calibration=scenes, scenes=scenes)
    with pytest.raises(RunFolderError, match="a health check with other weights; give another"):
        check(other)
    with pytest.raises(RunFolderError, match="a health check with other seed"):
        check(evaluator, seed=1)
    with pytest.raises(UsageError, match="needs archs"):
        check_health(evaluator, [], tune=lambda _: 0.0, tuned=0, path=path)


@pytest.mark.parametrize("mask", [np.array([1, 5, 7]), np.array([True])])
def test_archs_are_drawn_by_a_mask_alone(evaluator: SubnetEvaluator, mask: np.ndarray) -> None:
    with pytest.raises(UsageError, match="a mask is 64 truth values"):
        draw_archs(evaluator.supernet.space, 2, seed=0, mask=mask)


def test_a_check_goes_on_where_its_pictures_have_moved(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there, folder = tmp_path / "here", tmp_path / "there", tmp_path / "run"
    for split in ("train", "val"):
        words = ["data", "synth", str(here), "--count", "4", "--size", "64", "--split", split]
        assert run(words) == 0
    line = ["health", "--supernet", trained, "--archs", 2, "--tuned", 1, "--steps", 1]
    line += ["--scenes", 2, "--calibration-scenes", 2, "--workers", 0, "--out", folder, "--data"]
    words = [str(word) for word in line]
    assert run([*words, str(here)]) == 0, capsys.readouterr().err
    here.rename(there)
    again = [*words, str(there), "--resume"]
    assert run(again) == 0, capsys.readouterr().err
    labels = there / "annotations" / "train.json"
    document = json.loads(labels.read_text())
    document["annotations"][0]["keypoints"][0] += 1
    labels.write_text(json.dumps(document))
    capsys.readouterr()
    assert run(again) == 2
    told = capsys.readouterr().err
    assert "pictures.train was '" in told
    assert "data was" not in told
