"""Which scenes a search calibrates on, chooses by and reports on: none serves two purposes."""

import itertools

import pytest

from ofa_pose.catalog import catalog_folder, load_space
from ofa_pose.cli import _searching
from ofa_pose.cli._racing import gpus
from ofa_pose.cli._searching import find_workers, hold_painted, painted_scenes, photographed_scenes
from ofa_pose.cli._sources import Making, Pictures, Use, scored_scenes
from ofa_pose.data import HeldScenes, SyntheticScenes, write_coco
from ofa_pose.errors import UsageError
from ofa_pose.evaluate import shared_pictures
from ofa_pose.skeleton import load_skeleton
from ofa_pose.supernet import Supernet, save_supernet

NONE = Pictures()
MAKING = Making(load_skeleton("crowdpose"), seed=0, canvas=64)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A folder with ten pictures of split `val`."""
    folder = tmp_path_factory.mktemp("photographs")
    write_coco(SyntheticScenes(0, 10, size=64, skeleton="crowdpose"), folder, split="val")
    return folder


def scenes_of(data, *, calibration=NONE, report=NONE, most=10):
    return photographed_scenes(
        data, MAKING, calibration=calibration, report=report, split="val", most=most
    )


def parts_of(scenes):
    return {"calibration": scenes.calibration, "search": scenes.search, "report": scenes.report}


def test_one_set_of_photographs_is_cut_into_disjoint_parts(photographs):
    parts = parts_of(scenes_of(Pictures(photographs)))
    ids = {name: {part[i].image_id for i in range(len(part))} for name, part in parts.items()}
    assert {name: len(found) for name, found in ids.items()} == {
        "calibration": 2, "search": 4, "report": 4,
    }  # fmt: skip
    assert set.union(*ids.values()) == set(range(10))
    for one, other in itertools.combinations(parts.values(), 2):
        assert shared_pictures(one, other) == ()
    few = scenes_of(Pictures(photographs), most=2).search
    assert len(few) == 2
    assert {few[0].image_id, few[1].image_id} < ids["search"]


def test_photographs_that_serve_two_purposes_are_refused(photographs, monkeypatch):
    monkeypatch.chdir(photographs)  # the same pictures, written differently
    path = photographs / "annotations" / "val.json"
    images = photographs / "images" / "val"
    relative = Pictures(annotations=path.relative_to(photographs))
    for report in (Pictures(photographs), Pictures(annotations=path), relative):
        with pytest.raises(UsageError, match="are among those for report"):
            scenes_of(Pictures(photographs), report=report)
    with pytest.raises(UsageError, match="pictures for search are among those for calibration"):
        scenes_of(Pictures(photographs), calibration=Pictures(annotations=path, images=images))


def test_other_photographs_serve_as_the_report(photographs, tmp_path):
    write_coco(SyntheticScenes(1, 4, size=64, skeleton="crowdpose"), tmp_path, split="val")
    scenes = scenes_of(Pictures(photographs), report=Pictures(tmp_path))
    assert [len(part) for part in parts_of(scenes).values()] == [3, 7, 4]


def test_eval_scores_on_scenes_that_chose_nothing():
    scored = scored_scenes(NONE, MAKING, split="val", synthetic=2, most=None)[0].image
    parts = parts_of(painted_scenes(MAKING, count=2, calibration=2))
    parts["validation"] = MAKING.synthetic(2, Use.VALIDATE)
    same = {name for name, part in parts.items() if (part[0].image == scored).all()}
    assert same == {"report"}


def test_painted_scenes_are_kept_while_they_fit():
    # Two, three and three of 64 x 64 px, 4 bytes each, are 128 KiB.
    scenes = painted_scenes(MAKING, count=3, calibration=2)
    for memory, kept in ((2**17, True), (2**17 - 1, False)):
        told: list[tuple[int, int]] = []
        held = hold_painted(
            scenes, side=64, memory=memory, progress=lambda *done, told=told: told.append(done)
        )
        parts = parts_of(held)
        assert [isinstance(part, HeldScenes) for part in parts.values()] == [kept] * 3
        assert told == ([(done, 8) for done in range(1, 9)] if kept else [])
        same = parts_of(scenes)
        for name, part in parts.items():
            assert (part[1].image == same[name][1].image).all()


@pytest.mark.parametrize(
    ("asked", "device", "processors", "found"),
    [
        ("auto", "cpu", 3, "3"),
        ("auto", "cpu", 64, "8"),
        ("auto", "cuda", 64, "3"),
        ("auto", "cuda:2", 64, "1"),
        ("5", "cpu", 2, "5"),
    ],
)
def test_workers_follow_the_processors_and_gpus(monkeypatch, asked, device, processors, found):
    monkeypatch.setattr(_searching, "processors", lambda: processors)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert find_workers(asked, device=device) == found


def test_worker_processes_share_the_gpus_that_were_asked_for(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert gpus("cuda") == ("cuda:0", "cuda:1")
    assert gpus("cuda:1") == ("cuda:1",)
    assert gpus("cpu") == ()


@pytest.mark.parametrize("name", ["mine", "toy"])  # one of its own, or a shipped one's
def test_a_supernet_of_an_own_space_is_searched_without_its_file(
    command, tmp_path, monkeypatch, name
) -> None:
    monkeypatch.chdir(tmp_path)
    text = catalog_folder("search_spaces").joinpath("toy.yaml").read_text(encoding="utf-8")
    path = tmp_path / "mine.yaml"
    text = text.replace("[48, 32]", "[48]")
    path.write_text(text.replace("name: toy", f"name: {name}"), encoding="utf-8")
    save_supernet(tmp_path / "s.safetensors", Supernet(load_space(path)))
    path.unlink()
    options = ("--evaluations", "2", "--scenes", "2", "--workers", "1", "--canvas", "64")
    searched = command("search", "--supernet", "s.safetensors", "--budget", "1M:thop", *options)
    assert searched.code == 0, searched.err
    assert (tmp_path / "runs" / f"search-{name}" / "archive.csv").is_file()


def test_a_container_that_lends_fewer_processors_is_asked_for_fewer_workers(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # which joblib heeds as it does a quota
    assert _searching.processors() == 1
