"""Scenes written to disk come back as they were."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from ofa_pose.data import SyntheticScenes, open_scenes, write_coco
from ofa_pose.errors import RunFolderError, UsageError


def test_round_trip(tmp_path):
    # Enough crowded scenes that some figure is hidden and masked.
    source = SyntheticScenes(4, 25, size=96, skeleton="coco", people=(5, 5))
    steps = []
    path = write_coco(source, tmp_path / "set", progress=lambda n, total: steps.append((n, total)))
    assert steps[-1] == (25, 25)
    assert path == tmp_path / "set/annotations/train.json"
    read = open_scenes(tmp_path / "set", split="train", skeleton="coco")
    assert len(read) == 25
    masked = 0
    for index in range(25):
        made, back = source[index], read[index]
        assert back.image_id == index
        np.testing.assert_allclose(back.keypoints, made.keypoints, atol=0.006)
        np.testing.assert_allclose(back.boxes, made.boxes, atol=0.006)
        np.testing.assert_allclose(back.areas, made.areas, atol=0.006)
        np.testing.assert_array_equal(back.valid, made.valid)
        assert np.abs(back.image.astype(int) - made.image).mean() < 12
        masked += not made.valid.all()
    assert masked > 0


def test_an_interruption_leaves_no_annotations_of_other_pictures(tmp_path):
    class Interrupted(SyntheticScenes):
        def __getitem__(self, index):
            if index == 1:
                raise KeyboardInterrupt
            return super().__getitem__(index)

    path = write_coco(SyntheticScenes(0, 2, size=48, skeleton="crowdpose"), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        write_coco(Interrupted(1, 2, size=48, skeleton="crowdpose"), tmp_path, force=True)
    assert not path.exists()


@pytest.mark.parametrize("split", ["", "../up", "a/b", ".", "a b"])
def test_a_split_is_a_plain_name(tmp_path, split):
    source = SyntheticScenes(0, 1, size=48, skeleton="crowdpose")
    with pytest.raises(UsageError, match="no name for a split"):
        write_coco(source, tmp_path / "set", split=split)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_split_is_kept_unless_forced(tmp_path):
    source = SyntheticScenes(0, 2, size=48, skeleton="crowdpose")
    path = write_coco(source, tmp_path, split="val")
    with pytest.raises(RunFolderError, match="--force"):
        write_coco(source, tmp_path, split="val")
    write_coco(
        SyntheticScenes(0, 3, size=48, skeleton="crowdpose"), tmp_path, split="val", force=True
    )
    assert len(json.loads(path.read_text())["images"]) == 3
    write_coco(source, tmp_path, split="train")  # another split shares the folder
    assert len(open_scenes(tmp_path, split="val", skeleton="crowdpose")) == 3


def test_pictures_of_something_else_are_left_alone(tmp_path):
    scenes = SyntheticScenes(0, 2, size=64, skeleton="crowdpose")
    mine = tmp_path / "images" / "train" / "000000.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(RunFolderError, match="pictures of something else"):
        write_coco(scenes, tmp_path)
    assert mine.read_bytes() == b"mine"
    linked = tmp_path / "linked"
    (linked / "images").mkdir(parents=True)
    (linked / "images" / "train").symlink_to(mine.parent)
    with pytest.raises(RunFolderError, match="is a link"):
        write_coco(scenes, linked, force=True)
    assert mine.read_bytes() == b"mine"


def test_what_was_interrupted_is_written_anew(tmp_path):
    scenes = SyntheticScenes(0, 3, size=64, skeleton="crowdpose")

    def stop(done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_coco(scenes, tmp_path, progress=stop)
    write_coco(scenes, tmp_path)
    names = {path.name for path in (tmp_path / "images" / "train").iterdir()}
    assert names == {"000000.jpg", "000001.jpg", "000002.jpg"}


def test_two_processes_do_not_mix_their_pictures(tmp_path):
    pytest.importorskip("fcntl")
    begun = tmp_path / "images" / "train" / ".begun"
    begun.parent.mkdir(parents=True)
    hold = (
        "import sys\nfrom pathlib import Path\nfrom ofa_pose.runs import lock_file\n"
        "with lock_file(Path(sys.argv[1]), ''):\n    print(flush=True)\n    sys.stdin.read()"
    )
    scenes = SyntheticScenes(0, 1, size=48, skeleton="crowdpose")
    with subprocess.Popen(
        [sys.executable, "-c", hold, begun], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"\n"
        for force in (False, True):
            with pytest.raises(RunFolderError, match="another process is writing into"):
                write_coco(scenes, tmp_path, force=force)
        assert [path.name for path in begun.parent.iterdir()] == [".begun"]
        first.communicate()
    assert write_coco(scenes, tmp_path).exists()  # a lock ends with its process
    assert [path.name for path in begun.parent.iterdir()] == ["000000.jpg"]
