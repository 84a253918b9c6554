"""What cannot be done is refused in one line: wrong calls, damaged data, foreign weights."""

import json

import pytest

from ofa_pose.supernet import load_weights, save_weights

TRAIN = ["train", "--space", "toy", "--synthetic", 8, "--batch-size", 2, "--workers", 0]
SEARCH = ["search", "--evaluations", 6, "--scenes", 2, "--calibration-scenes", 2]


def text(arguments):
    return [str(argument) for argument in arguments]


REFUSED = [
    ([*TRAIN, "--steps", 1, "--epochs", 1], 2, "one length"),
    ([*TRAIN, "--steps", 1, "--set", "lr"], 2, "KEY=VALUE"),
    ([*TRAIN, "--steps", 1, "--set", "lrr=1"], 2, "did you mean 'lr'"),
    ([*TRAIN, "--steps", 1, "--set", "augmentation.rotaton=1"], 2, "rotation"),
    ([*TRAIN, "--steps", 1, "--set", "lr="], 2, "no value"),
    ([*TRAIN, "--steps", 1, "--set", "batch_size=4"], 2, "by --set and by --batch-size"),
    ([*TRAIN, "--steps", 1, "--set", "train.lrr=1"], 2, "lrr: unknown key; did you mean 'lr'"),
    ([*TRAIN, "--steps", 1, "--set", "trian.lr=1"], 2, "'trian'; did you mean 'train'"),
    ([*TRAIN, "--steps", 1, "--set", "finetune.lr=1"], 2, "of the stage 'supernet', not 'finet"),
    ([*TRAIN, "--steps", 1, "--set", "lr=1", "--set", "train.lr=2"], 2, "lr was given before"),
    ([*TRAIN, "--steps", 1, "--set", "train=1"], 2, "train: unknown key"),
    ([*TRAIN, "--steps", 1, "--set", "precision=float16"], 2, "on a CPU take bfloat16"),
    ([*TRAIN, "--steps", 1, "--images", "photos"], 2, "need annotations"),
    ([*TRAIN, "--steps", 1, "--canvas", 10**6], 2, "--canvas"),
    ([*TRAIN, "--steps", 1, "--seed", 2**64], 2, "--seed"),
    ([*TRAIN, "--steps", 1, "--device", "meta"], 2, "device meta cannot be used here"),
    ([*TRAIN, "--steps", 1, "--stage", "supernets"], 2, "did you mean 'supernet'"),
    ([*TRAIN, "--steps", 1, "--device", "warp"], 2, "device warp cannot be used here"),
    ([*TRAIN, "--steps", 1, "--init", "absent.safetensors"], 1, "absent.safetensors"),
    ([*TRAIN, "--steps", 1, "--init", "imagenet"], 1, "shapes"),
    (["train", "--space", "toy", "--steps", 1], 2, "--data"),
    (["train", "--space", "toy", "--data", "absent", "--steps", 1], 1, "absent"),
    (["search", "--supernet", "absent.safetensors"], 1, "absent.safetensors"),
    (["search", "--precision", "float16"], 2, "on a CPU take bfloat16"),
    (["search", "--device", "warp", "--supernet", "absent.safetensors"], 2, "device warp"),
    (["health", "--precision", "half"], 2, "unknown precision 'half'"),
    (["search", "--space", "toy"], 2, "no weights for space 'toy'"),
    (["search", "--budget", "300M", "--cache", "nan"], 2, "--cache"),
    (["search", "--space", "toy", "--budget", "1,7M params"], 2, "a decimal point, 1.7M params?"),
    (["search", "--space", "toy", "--budget", "1 mile"], 2, "1 mile"),
    (["search", "--space", "toy", "--budget", "1G:papr"], 2, "did you mean 'paper'"),
    (["eval", "absent.yaml", "--synthetic", 2], 2, "absent.yaml"),
    (["finetune", "absent.yaml", "--synthetic", 2, "--steps", 1], 2, "absent.yaml"),
    (["data", "synth", "people", "--split", "../up"], 2, "no name for a split"),
]


@pytest.mark.parametrize(
    ("line", "code", "expected"), REFUSED, ids=[" ".join(text(line))[-50:] for line, *_ in REFUSED]
)
def test_refused_in_one_line(command, monkeypatch, tmp_path, line, code, expected):
    monkeypatch.chdir(tmp_path)
    outcome = command(*line)
    assert (outcome.code, outcome.err.count("\n")) == (code, 1), outcome.err
    assert outcome.err.startswith("ofa-pose: error: ")
    assert expected in outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def people(command, tmp_path):
    """A data set of two pictures."""
    folder = tmp_path / "people"
    assert command("data", "synth", folder, "--count", 2, "--size", 64).code == 0
    return folder


PLAIN = ["train", "--space", "toy", "--arch", "smallest", "--steps", 1, "--batch-size", 2]
PLAIN += ["--workers", 0]
FILE = "people/annotations/train.json"
IDLE = [
    ([*TRAIN, "--steps", 1, "--mosaic", 4], "--mosaic", "it composes photographs"),
    ([*TRAIN, "--steps", 1, "--ordering", "bn"], "--ordering", "network that --init names"),
    ([*TRAIN, "--steps", 1, "--synthetic-share", 0.5], "--synthetic-share", "give both"),
    ([*PLAIN, "--data", "people", "--synthetic-share", 0.3], "--synthetic-share", "give both"),
    ([*PLAIN, "--data", "people", "--canvas", 128], "--canvas", "side of mosaics"),
    ([*PLAIN, "--data", "people", "--val-scenes", 2], "--val-scenes", "give --val"),
    ([*PLAIN, "--data", "people", "--validations", 2], "--validations", "give --val"),
    ([*SEARCH, "--mosaic", 4], "--mosaic", "it composes photographs"),
    ([*SEARCH, "--split", "val"], "--split", "data set's folder"),
    ([*SEARCH, "--data", FILE, "--split", "val"], "--split", "data set's folder"),
    ([*SEARCH, "--budget", "300M", "--interpolate"], "--interpolate", "for latency tables"),
    (["health", "--archs", 2, "--split", "val"], "--split", "data set's folder"),
    (["health", "--archs", 2, "--tuned", 0, "--steps", 9], "--steps", "nothing is fine-tuned"),
    (["data", "check", FILE, "--split", "val"], "--split", "data set's folder"),
    (["data", "check", "people", "--no-pictures", "--quick"], "--quick", "not looked at"),
    (["data", "check", "people", "--no-pictures", "--sheet", "a.png"], "--sheet", "not looked at"),
    (["data", "split", FILE, "--split", "val", "--out", "parts"], "--split", "data set's folder"),
]


@pytest.mark.parametrize(
    ("line", "option", "expected"), IDLE, ids=[" ".join(text(line))[-50:] for line, *_ in IDLE]
)
def test_an_option_that_would_change_nothing_is_refused(
    command, monkeypatch, tmp_path, people, line, option, expected
):
    monkeypatch.chdir(tmp_path)
    outcome = command(*line)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1), outcome.err
    assert f"error: {option} would change nothing: " in outcome.err
    assert expected in outcome.err
    assert list(tmp_path.iterdir()) == [people]


def test_a_split_that_the_file_is_of_may_be_given(command, monkeypatch, tmp_path, people):
    monkeypatch.chdir(tmp_path)
    outcome = command("data", "check", FILE, "--split", "train")
    assert outcome.code == 0, outcome.err


def test_a_folder_that_is_not_there_is_told_first(command, monkeypatch, tmp_path, people):
    monkeypatch.chdir(tmp_path)
    outcome = command(*PLAIN, "--data", "typo", "--val-scenes", 5)
    assert (outcome.code, "no dataset folder typo" in outcome.err) == (1, True)
    assert "would change nothing" not in outcome.err


def test_a_run_that_goes_on_may_have_what_it_began_with(command, monkeypatch, tmp_path, people):
    monkeypatch.chdir(tmp_path)
    outcome = command(*PLAIN, "--data", "people", "--validations", 2, "--resume")
    assert (outcome.code, "nothing to resume" in outcome.err) == (2, True)


def damage(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


DAMAGE = [
    (lambda path: path.write_bytes(path.read_bytes()[:-40]), "broken JSON"),
    (lambda path: damage(path, lambda d: [a.pop("keypoints") for a in d["annotations"]]),
     "no annotation has `keypoints`"),
    (lambda path: damage(path, lambda d: d["annotations"][0]["keypoints"].extend([0, 0, 0])),
     "15 joints"),
    (lambda path: damage(path, lambda d: d["images"][1].update(file_name="gone.jpg")), "gone.jpg"),
    (lambda path: damage(path, lambda d: d.update(images=[], annotations=[])), "empty set"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), DAMAGE, ids=[text for _, text in DAMAGE])
def test_damaged_annotations(command, tmp_path, change, expected):
    folder = tmp_path / "people"
    assert command("data", "synth", folder, "--count", 3, "--size", 64).code == 0
    change(folder / "annotations" / "train.json")
    line = ["train", "--space", "toy", "--data", folder, "--steps", 1, "--out", tmp_path / "run"]
    outcome = command(*line)
    assert (outcome.code, outcome.err.count("\n")) == (1, 1), outcome.err
    assert expected in outcome.err
    assert not (tmp_path / "run").exists()


def test_a_damaged_picture_is_named_and_skipped(command, tmp_path):
    folder = tmp_path / "people"
    assert command("data", "synth", folder, "--count", 4, "--size", 64).code == 0
    picture = folder / "images" / "train" / "000002.jpg"
    picture.write_bytes(picture.read_bytes()[:-200])
    line = ["train", "--space", "toy", "--data", folder, "--batch-size", 2, "--workers", 0]
    outcome = command(*line, "--steps", 1, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert "000002.jpg" in outcome.err


def test_eval_scores_on_at_most_so_many(command, searched):
    line = ["eval", searched / "S.yaml", "--synthetic", 5, "--scenes", 2, "--json"]
    assert json.loads(command(*line).out)["scenes"] == 2


def test_sets_for_photographs_need_photographs(command, trained):
    outcome = command(*SEARCH, "--supernet", trained, "--report", "photos")
    assert outcome.code == 2
    assert "--report goes with --data" in outcome.err


def test_eval_needs_one_kind_of_scenes(command, searched):
    for extra in ([], ["--synthetic", 2, "--data", "photos"]):
        outcome = command("eval", searched / "S.yaml", *extra)
        assert outcome.code == 2
        assert "either --data FOLDER, or --synthetic N" in outcome.err


def test_damaged_and_foreign_weights(command, trained, searched, tmp_path):
    whole = trained / "best.safetensors"
    cut, foreign = tmp_path / "cut.safetensors", tmp_path / "foreign.safetensors"
    cut.write_bytes(whole.read_bytes()[:-100])
    state, metadata = load_weights(whole)
    save_weights(foreign, state, metadata={**metadata, "space_hash": "0" * 16})
    line = [*SEARCH, "--out", tmp_path / "run", "--supernet"]
    for path, expected in (
        (cut, "not a whole safetensors file"),
        (foreign, "was trained on space 'toy' (0000000000000000)"),
        (searched / "S.safetensors", "not a supernet"),
        (searched / "S.yaml", "such as a tier's, which is one network"),
        (tmp_path, "neither best.safetensors nor last.safetensors"),
    ):
        outcome = command(*line, path)
        assert (outcome.code, outcome.err.count("\n")) == (1, 1), outcome.err
        assert expected in outcome.err
    other = command(*line, whole, "--skeleton", "coco")
    assert other.code == 1
    assert "skeleton" in other.err
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_written(command, tmp_path):
    (tmp_path / "file").write_text("")
    outcome = command(*TRAIN, "--steps", 1, "--out", tmp_path / "file")
    assert outcome.code == 2
    assert "is a file" in outcome.err
