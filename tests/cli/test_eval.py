"""`ofa-pose eval` on pictures that nobody has labelled."""

import json

import pytest

from ofa_pose.catalog import load_space
from ofa_pose.data import SyntheticScenes
from ofa_pose.export import make_tier, save_tier
from ofa_pose.models import build
from ofa_pose.predict import write_picture


@pytest.fixture
def tier(tmp_path):
    space = load_space("toy")
    made = make_tier("tiny", space, space.smallest, skeleton="coco")
    network = build(space, space.smallest, skeleton=made.skeleton, seed=0)
    return save_tier(tmp_path / "tier", made, network).path


def test_results_for_a_server_that_alone_knows_the_labels(command, tier, tmp_path):
    scenes = SyntheticScenes(0, 2, size=96, skeleton="coco")
    images = []
    for number, image_id in ((0, 7), (1, 900)):
        write_picture(tmp_path / "coco" / "test2017" / f"{number}.jpg", scenes[number].image)
        images.append({"id": image_id, "file_name": f"{number}.jpg", "width": 96, "height": 96})
    listed = tmp_path / "coco" / "annotations" / "image_info_test2017.json"
    listed.parent.mkdir()
    listed.write_text(json.dumps({"images": images, "categories": [{"id": 1, "name": "person"}]}))

    line = ["eval", tier, "--data", tmp_path / "coco", "--split", "test"]
    refused = command(*line)
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "lacks the list `annotations`" in refused.err

    results = tmp_path / "results.json"
    outcome = command(*line, "--results", results)
    assert outcome.code == 0, outcome.err
    assert "nobody in the set is labelled, so there is no AP" in outcome.out
    found = json.loads(results.read_text())
    assert {result["image_id"] for result in found} <= {7, 900}
    assert all(len(result["keypoints"]) == 51 for result in found)
    outcome = command(*line, "--results", results, "--force", "--json")
    document = json.loads(outcome.out)
    assert (document["scores"], document["people_found"]) == ({}, len(found))

    for wrong, expected in (
        (results, "use --force to overwrite it"),
        (tmp_path, "is a folder"),
        (results / "more.json", "no folder that may be written to"),
    ):
        refused = command(*line, "--results", wrong)
        assert (refused.code, refused.err.count("\n")) == (2, 1)
        assert expected in refused.err
    outcome = command(*line, "--results", results, "--force", "--tags")
    assert (outcome.code, outcome.err.splitlines()[-1].count("an AP needs some")) == (1, 1)


def test_results_spare_what_is_read(command, tier, tmp_path):
    people = tmp_path / "people"
    line = ["data", "synth", people, "--count", 2, "--size", 96, "--skeleton", "coco"]
    assert command(*line, "--split", "val").code == 0
    weights = tier.with_suffix(".safetensors")
    picture = people / "images" / "val" / "000000.jpg"
    for name in (tier, weights, people / "annotations" / "val.json", picture):
        before = name.read_bytes()
        outcome = command("eval", tier, "--data", people, "--results", name, "--force")
        assert (outcome.code, outcome.err.count("\n")) == (2, 1)
        assert name.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["--synthetic", 2, "--mosaic", 2], "--mosaic"),
        (["--synthetic", 2, "--split", "val"], "--split"),
        (["--data", "absent.json", "--canvas", 128], "--canvas"),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(command, tier, words, option):
    outcome = command("eval", tier, *words)
    assert outcome.code == 2
    assert f"error: {option} would change nothing: " in outcome.err


@pytest.mark.parametrize("made", [["--synthetic", 2], ["--data", "photos", "--mosaic", 2]])
def test_results_are_those_of_pictures_that_others_have(command, tier, tmp_path, made):
    outcome = command("eval", tier, *made, "--results", tmp_path / "results.json")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "--results is for a data set's own pictures" in outcome.err
    assert not (tmp_path / "results.json").exists()
