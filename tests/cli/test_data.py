"""data check and data split as a user runs them."""

import json
import shutil
from pathlib import Path

import pytest

import ofa_pose
from ofa_pose.data import open_scenes


@pytest.fixture
def people(command, tmp_path):
    """A data set of synthetic people."""
    folder = tmp_path / "people"
    assert command("data", "synth", folder, "--count", 12, "--size", 96).code == 0
    return folder


def change(folder, edit):
    path = folder / "annotations" / "train.json"
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


def test_check_of_a_sound_set(command, people, tmp_path):
    sheet = tmp_path / "look.png"
    outcome = command("data", "check", people, "--sheet", sheet)
    assert outcome.code == 0, outcome.out
    assert "skeleton 'crowdpose', 14 joints" in outcome.out
    assert "no faults" in outcome.out
    assert sheet.read_bytes().startswith(b"\x89PNG")
    refused = command("data", "check", people, "--sheet", sheet, "--json")
    assert (refused.code, "look.png exists; use --force" in refused.err) == (2, True)
    line = ["data", "check", people, "--sheet", sheet, "--force", "--json"]
    document = json.loads(command(*line).out)
    assert document["counts"]["pictures"] == 12
    assert document["faults"] == {}


def test_check_spares_what_it_reads(command, people):
    picture = next((people / "images" / "train").iterdir())
    for name in (people / "annotations" / "train.json", picture):
        before = name.read_bytes()
        outcome = command("data", "check", people, "--sheet", name, "--force")
        assert (outcome.code, outcome.err.count("\n")) == (2, 1)
        assert name.read_bytes() == before
    for options in ([], ["--force"]):
        outcome = command("data", "check", people, "--sheet", people, *options)
        assert (outcome.code, "is a folder; give a file's name" in outcome.err) == (2, True)


def test_each_set_has_a_sheet_of_its_own(command, people, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "elsewhere" / "people"
    shutil.copytree(people, elsewhere)
    sheet = tmp_path / "check-people-train.png"
    assert command("data", "check", people).code == 0
    assert command("data", "check", people).code == 0  # its own earlier one
    before = sheet.read_bytes()
    refused = command("data", "check", elsewhere)
    assert (refused.code, "12" in refused.out, "no faults" in refused.out) == (2, True, True)
    assert f"error: {sheet.name} exists; use --force to overwrite it" in refused.err
    assert sheet.read_bytes() == before
    assert command("data", "check", elsewhere, "--force").code == 0
    assert sheet.read_bytes() != before
    sheet.write_text("mine")
    assert command("data", "check", elsewhere).code == 2
    assert sheet.read_text() == "mine"


@pytest.mark.parametrize("as_json", [False, True])
def test_a_sheet_that_cannot_be_written_spares_the_report(
    command, people, tmp_path, full_disk, as_json
):
    line = ["data", "check", people, "--sheet", tmp_path / "look.png", *["--json"] * as_json]
    with full_disk():
        outcome = command(*line)
    assert outcome.code == 1
    assert "look.png: File too large" in outcome.err.splitlines()[-1]
    assert json.loads(outcome.out)["sheet"] is None if as_json else "no faults" in outcome.out


def test_synth_spares_a_picture_of_its_sheets_name(command, tmp_path):
    folder = tmp_path / "made"
    line = ["data", "synth", folder, "--count", 1, "--size", 64]
    folder.mkdir()
    (folder / "train.png").write_text("mine")
    refused = command(*line)
    assert refused.code == 2
    assert "train.png exists; use --force to overwrite it" in refused.err
    assert [path.name for path in folder.iterdir()] == ["train.png"]
    assert (folder / "train.png").read_text() == "mine"
    assert command(*line, "--force").code == 0
    assert (folder / "train.png").read_bytes().startswith(b"\x89PNG")
    (folder / "annotations" / "train.json").unlink()
    shutil.rmtree(folder / "images")
    assert command(*line).code == 0  # its own earlier sheet
    shutil.copy(folder / "train.png", folder / "val.png")  # of another split
    assert "val.png exists" in command(*line, "--split", "val").err


def test_check_of_joints_that_the_file_names(command, tmp_path):
    five = Path(ofa_pose.__file__).parents[1] / "examples" / "five_joints.yaml"
    folder = tmp_path / "five"
    line = ["data", "synth", folder, "--count", 3, "--size", 96, "--skeleton", five]
    assert command(*line).code == 0
    outcome = command("data", "check", folder, "--sheet", tmp_path / "look.png")
    assert outcome.code == 0, outcome.err
    assert "skeleton 'named by the file', 5 joints" in outcome.out
    assert "HandLeft" in outcome.out
    assert "other verbs need these joints as a skeleton's YAML" in outcome.out


def test_check_names_what_it_finds(command, people, tmp_path):
    def spoil(document):
        labelled = [a for a in document["annotations"] if a["num_keypoints"]]
        labelled[0]["keypoints"][2] = 5
        labelled[1]["bbox"][2] = -4
        document["images"][3]["file_name"] = "gone.jpg"

    change(people, spoil)
    outcome = command("data", "check", people, "--sheet", tmp_path / "look.png")
    assert outcome.code == 1
    assert outcome.err.count("error") == 0
    assert "fault: visibility flags other than 0, 1 and 2: 1 (annotation" in outcome.out
    assert "fault: boxes of negative width or height: 1" in outcome.out
    assert "fault: pictures that are not there: 1 ('gone.jpg': No such file" in outcome.out
    assert "3 faults" in outcome.out


def test_annotations_without_their_pictures(command, people, tmp_path):
    path = people / "annotations" / "train.json"
    alone = tmp_path / "alone.json"
    alone.write_bytes(path.read_bytes())
    assert command("data", "check", alone, "--no-pictures").code == 0
    outcome = command("data", "check", alone)
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)
    assert "no images of split" in outcome.err
    parts = command("data", "split", alone, "--out", tmp_path / "parts")
    assert parts.code == 0
    assert "give --images" in parts.out


def test_split_gives_sets_that_every_verb_opens(command, people, tmp_path):
    out = tmp_path / "parts"
    line = ["data", "split", people, "--out", out, "--seed", 3]
    outcome = command(*line, "--json")
    assert outcome.code == 0, outcome.err
    listed = json.loads(outcome.out)["parts"]
    assert [part["part"] for part in listed] == ["train", "calibrate", "search", "report"]
    assert sum(part["pictures"] for part in listed) == 12
    for part in listed:
        assert len(open_scenes(out, split=part["part"], skeleton="crowdpose")) == part["pictures"]
        # By the file alone, whatever split a verb asks for.
        scenes = open_scenes(part["file"], split="val", skeleton="crowdpose")
        assert scenes[0].image.shape == (96, 96, 3)
    before = {path: path.read_bytes() for path in (out / "annotations").iterdir()}
    refused = command(*line)
    assert refused.code == 2
    assert "--force" in refused.err
    again = command(*line, "--force")
    assert again.code == 0
    hint = again.out.splitlines()[-1]
    assert hint == (
        f"next: ofa-pose search --split search --data {out} "
        f"--report {out}/annotations/report.json --calibration {out}/annotations/calibrate.json"
    )
    assert {path: path.read_bytes() for path in (out / "annotations").iterdir()} == before


def test_pictures_in_no_part_are_counted(command, people, tmp_path):
    outcome = command("data", "split", people, "--out", tmp_path / "parts", "--part", "train=0.5")
    assert outcome.code == 0
    assert "6 pictures are in no part" in outcome.out


def test_split_never_overwrites_what_it_splits(command, people):
    before = (people / "annotations" / "train.json").read_bytes()
    outcome = command("data", "split", people, "--out", people, "--force")
    assert outcome.code == 2
    assert "is a file that this command reads" in outcome.err
    assert (people / "annotations" / "train.json").read_bytes() == before


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (["train"], "has no share"),
        (["=0.5"], "cannot read --part '=0.5'"),
        (["../x=0.5"], "cannot read --part"),
        (["a=0.5", "a=0.2"], "given twice"),
        (["a=0.9", "b=0.9"], "add up to at most 1"),
        (["a=nan"], "shares must lie"),
    ],
)
def test_parts_that_cannot_be(command, people, tmp_path, parts, expected):
    options = [option for part in parts for option in ("--part", part)]
    outcome = command("data", "split", people, "--out", tmp_path / "parts", *options)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1), outcome.err
    assert expected in outcome.err


BROKEN = {
    "empty": "",
    "truncated": '{"images": [{"id": 1, "file_na',
    "null": "null",
    "digits": '{"images": [{"id": ' + "9" * 5000 + "}]}",
    "deep": "[" * 100_000,
    "lists": '{"images": [[1]], "annotations": [[2]], "categories": [3]}',
    "words": '{"images": "all", "annotations": "none"}',
    "categories": '{"images": [], "annotations": [], "categories": {"a": 1}}',
    "half": '{"images": [{"id": 1, "file_name": "\\ud800.jpg"}], "annotations": []}',
    "ids": '{"images": [{"id": 1e999, "file_name": "a"}], "annotations": [{"id": {}}]}',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("verb", ["check", "split"])
def test_broken_files_are_one_line_or_faults(command, tmp_path, verb, content):
    (tmp_path / "images").mkdir()
    path = tmp_path / "people.json"
    path.write_text(content)
    line = ["data", verb, path]
    line += ["--skeleton", "coco"] if verb == "check" else ["--out", tmp_path / "parts"]
    outcome = command(*line)
    assert outcome.code in (1, 2) or "no faults" in outcome.out
    assert "bug" not in outcome.err
    assert outcome.err.count("error: ") <= 1
    assert Path("check-people.png").exists() is False
