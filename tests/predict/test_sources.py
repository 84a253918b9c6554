"""What a name on the command line means."""

import os
from pathlib import Path

import pytest

from ofa_pose.errors import DataError, UsageError
from ofa_pose.predict import film_source, find_pictures


@pytest.fixture
def album(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("b.jpg", "a.PNG", "notes.txt", ".hidden.jpg", "more/c.webp", ".git/d.png", "odd"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def test_a_folder_by_name_and_what_is_named_as_it_comes(album):
    assert find_pictures(["."]) == [Path("a.PNG"), Path("b.jpg"), Path("more/c.webp")]
    named = ["odd", "more", "b.jpg", "b.jpg"]
    assert find_pictures(named) == [Path("odd"), Path("more/c.webp"), Path("b.jpg")]


def test_videos_in_a_folder_are_told(album, caplog):
    for name in ("z.mp4", "more/y.MOV"):
        (album / name).touch()
    assert len(find_pictures(["."])) == 3
    (record,) = caplog.records
    assert record.getMessage() == "left out more/y.MOV and 1 more: give a video alone, by its name"


def test_pictures_that_are_not_read_are_told(album, caplog):
    for name in ("IMG_2.HEIC", "IMG_1.HEIC", "more/z.heif"):
        (album / name).touch()
    assert len(find_pictures(["."])) == 3
    (record,) = caplog.records
    assert record.getMessage() == (
        "left out IMG_1.HEIC and 2 more: HEIC is not read; save such pictures as JPEG"
    )


def test_folders_that_are_left_out_are_told(album, monkeypatch, caplog):
    (album / "elsewhere").symlink_to(album / "more")
    (album / ".cache").symlink_to(album / "more")
    scandir = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("more"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert find_pictures(["."]) == [Path("a.PNG"), Path("b.jpg")]
    assert sorted(record.getMessage() for record in caplog.records) == [
        "left out ./more: Permission denied",
        "left out elsewhere: it is a link to a folder; give it by its name",
    ]


def test_runs_in_a_folder_are_told(album, caplog):
    for run in ("runs/predict-S-a", "runs/predict-S-b"):
        (album / run / "overlays").mkdir(parents=True)
        (album / run / "overlays" / "x.jpg").touch()
        (album / run / "config.yaml").write_text("format: 1\nversion: 0.1.0\nverb: predict\n")
    (album / "more" / "config.yaml").write_text("colour: red\n")  # of something else
    assert find_pictures(["."]) == [Path("a.PNG"), Path("b.jpg"), Path("more/c.webp")]
    (record,) = caplog.records
    assert record.getMessage() == (
        "left out runs/predict-S-a and 1 more: what a run has made is looked at where its folder "
        "is given by name"
    )
    named = album / "runs" / "predict-S-a"
    for name in (named, named / "overlays"):
        assert find_pictures([name]) == [named / "overlays" / "x.jpg"]
    with pytest.raises(DataError, match="runs: holds no picture"):
        find_pictures(["runs"])


def test_what_holds_nothing(album):
    with pytest.raises(UsageError, match="the name of a source is empty"):
        find_pictures(["b.jpg", ""])
    (album / "empty").mkdir()
    with pytest.raises(DataError, match="empty: holds no picture"):
        find_pictures(["empty"])
    with pytest.raises(DataError, match="absent: there is no such file or folder"):
        find_pictures(["b.jpg", "absent"])
    with pytest.raises(DataError, match="no such file"):
        find_pictures(["x" * 5000])


def test_videos_and_cameras(album):
    assert film_source("clip.MP4") == Path("clip.MP4")
    assert film_source("0") == 0
    assert film_source("/dev/video12") == 12
    assert film_source("b.jpg") is None
    (album / "1").mkdir()
    assert film_source("1") is None
    with pytest.raises(DataError, match="cameras count from 0"):
        film_source("20240131")
    (album / "clip.mp4").write_bytes(b"")
    with pytest.raises(UsageError, match="clip.mp4 is a video"):
        find_pictures(["b.jpg", "clip.mp4"])


@pytest.mark.parametrize("kind", [str, Path])
def test_one_name_is_no_list_of_its_letters(album, kind):
    with pytest.raises(UsageError, match=r"in a list, such as \['.*more'\]"):
        find_pictures(kind(album / "more"))


def test_a_path_is_a_source_too(album):
    assert film_source(Path("film.mp4")) == Path("film.mp4")
    assert film_source(album / "b.jpg") is None
