"""Training batches as a pure function of (seed, step)."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from ofa_pose.data import (
    Augmentation,
    Batch,
    MixedScenes,
    SyntheticScenes,
    TrainBatches,
    make_loader,
)
from ofa_pose.data.batches import _tell
from ofa_pose.data.scene import Scene
from ofa_pose.errors import DataError, UsageError


def always_64(step: int) -> int:
    return 64


def by_step(step: int) -> int:
    return (64, 96)[step % 2]


def make(source, **settings) -> TrainBatches:
    settings = {"batch_size": 4, "seed": 1, "resolution_of": always_64, **settings}
    return TrainBatches(source, Augmentation(), **settings)


def same(a: Batch, b: Batch) -> bool:
    pairs = zip(
        (a.images, *a.heatmaps, *a.masks, a.tags),
        (b.images, *b.heatmaps, *b.masks, b.tags),
        strict=True,
    )
    return all(torch.equal(x, y) for x, y in pairs)


def test_shapes_follow_the_resolution_of_the_step(dots):
    batches = make(dots(10), resolution_of=by_step)
    batch = batches[1]
    assert batch.images.shape == (4, 3, 96, 96)
    assert batch.images.dtype == torch.uint8
    assert [m.shape for m in batch.heatmaps] == [(4, 3, 24, 24), (4, 3, 48, 48)]
    assert [m.shape for m in batch.masks] == [(4, 24, 24), (4, 48, 48)]
    assert batch.tags.shape == (4, 30, 3, 2)
    assert batches[0].images.shape == (4, 3, 64, 64)


class Changed:
    """The scenes of another source, something in them replaced."""

    def __init__(self, source, **changes) -> None:
        self.source, self.changes, self.skeleton = source, changes, source.skeleton

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Scene:
        scene = self.source[index]
        changes = {name: change(getattr(scene, name)) for name, change in self.changes.items()}
        return replace(scene, **changes)


def nowhere(keypoints):
    return np.where(keypoints[:, :, 2:] > 0, np.array([np.nan, 0, 2], np.float32), keypoints)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("valid", np.uint8, "valid is uint8 of shape .*, not bool of shape"),
        ("valid", lambda valid: valid[:9], r"valid is bool of shape \(9, "),
        ("valid", lambda valid: None, "valid is NoneType of shape"),
        ("image", lambda image: image / np.float32(255), "image is float32 of shape"),
        ("image", lambda image: image[:, :, 0], "image is uint8 of shape"),
        ("image", lambda image: np.dstack([image, image]), "image is uint8 of shape"),
        ("keypoints", lambda keypoints: keypoints[:, :, :2], "keypoints is float32 of shape"),
        ("keypoints", nowhere, "keypoints hold NaN or infinite values"),
        ("boxes", lambda boxes: np.vstack([boxes, boxes[:1]]), "boxes is float32 of shape"),
        ("areas", lambda areas: areas[:, None], "areas is float32 of shape"),
        ("known", lambda known: np.ones(2, bool), "known is bool of shape"),
    ],
)
def test_scenes_that_are_none_are_refused(dots, name, change, message):
    with pytest.raises(DataError, match=rf"^scene \d+: {message}"):
        make(Changed(dots(10), **{name: change}))[0]


def test_tags_point_at_the_peaks_of_the_heatmaps(dots):
    # At every resolution: the published supernet training resized pictures after making targets,
    # and its tags pointed elsewhere.
    batches = make(dots(10), resolution_of=by_step)
    seen = 0
    for step in range(6):
        batch = batches[step]
        for row in range(4):
            flat = batch.heatmaps[0][row].flatten()
            cells = batch.tags[row][batch.tags[row, :, :, 1] == 1][:, 0]
            assert (flat[cells] == 1).all()
            assert (batch.heatmaps[0][row] == 1).sum() == len(cells)
            seen += len(cells)
    assert seen > 30


def test_peaks_lie_on_what_the_picture_shows(dots):
    batch = make(dots(10))[0]
    for row in range(4):
        for _, y, x in (batch.heatmaps[1][row] == 1).nonzero().tolist():
            if 2 < x < 29 and 2 < y < 29:
                patch = batch.images[row, :, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
                assert patch.max() > 200


def test_a_batch_depends_on_seed_and_step_only(dots):
    first, second = make(dots(10)), make(dots(10))
    later = second[7]
    assert same(first[7], later)
    assert same(first[2], second[2])
    assert not same(first[2], first[3])
    assert not same(first[2], make(dots(10), seed=2)[2])


def test_each_lap_uses_every_scene_once_in_another_order(dots):
    batches = make(dots(10), batch_size=4)
    used = [index for step in range(5) for index in batches.indices(step)]  # two laps of ten
    assert sorted(used[:10]) == sorted(used[10:]) == list(range(10))
    assert used[:10] != used[10:]
    assert used[:10] != list(range(10))


def test_scenes_that_stand_together_share_a_batch(dots):
    source = MixedScenes([dots(6), dots(5)], [1, 1], count=24, together=4)
    batches = make(source)
    laps = [[batches.indices(lap * 6 + step) for step in range(6)] for lap in range(2)]
    for lap in laps:
        assert sorted(index for batch in lap for index in batch) == list(range(24))
        assert all(len({source.locate(index)[0] for index in batch}) == 1 for batch in lap)
    assert laps[0] != laps[1]


def test_a_batch_larger_than_the_set_repeats_scenes(dots):
    assert sorted(make(dots(3), batch_size=7).indices(0)[:6]) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing_and_keep_the_order(dots, workers):
    batches = make(dots(10), resolution_of=by_step)
    loaded = list(make_loader(batches, start=3, stop=8, workers=workers))
    assert len(loaded) == 5
    for step, batch in enumerate(loaded, start=3):
        assert same(batch, batches[step])


def test_a_resumed_loader_goes_on_where_it_stopped(dots):
    batches = make(dots(10))
    whole = list(make_loader(batches, start=0, stop=6, workers=0))
    rest = list(make_loader(batches, start=4, stop=6, workers=0))
    assert same(whole[4], rest[0])
    assert same(whole[5], rest[1])


def test_an_endless_loader_can_be_left(dots):
    loader = make_loader(make(dots(10)), start=0, stop=10**15, workers=1)
    assert len(list(islice(loader, 2))) == 2


class Broken:
    """A source whose fourth picture cannot be had."""

    def __init__(self, source) -> None:
        self.source = source
        self.skeleton = source.skeleton

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int):
        if index == 3:
            raise DataError("pictures: 2 of 10 images are damaged")
        return self.source[index]

    def ground_truth(self):
        raise NotImplementedError

    def fingerprint(self) -> str:
        raise NotImplementedError


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_arrives_as_one_line(dots, workers):
    loader = make_loader(make(Broken(dots(10))), start=0, stop=5, workers=workers)
    with pytest.raises(DataError) as caught:
        list(loader)
    assert str(caught.value) == "pictures: 2 of 10 images are damaged"


class Deadly(Broken):
    """A source at whose fourth picture the process is killed, as the kernel does out of memory."""

    def __getitem__(self, index: int):
        if index == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.source[index]


def test_a_killed_worker_is_told_in_one_line(dots):
    with pytest.raises(DataError, match="batches was lost: it was killed, or memory"):
        list(make_loader(make(Deadly(dots(10))), start=0, stop=5, workers=1))


def test_batches_survive_pickling_for_spawned_workers():
    batches = make(SyntheticScenes(0, 5, size=64, skeleton="crowdpose"))
    assert same(pickle.loads(pickle.dumps(batches))[1], batches[1])


def test_global_random_state_is_not_touched(dots):
    numpy_state, torch_state = pickle.dumps(np.random.get_state()), torch.get_rng_state()  # noqa: NPY002
    for workers in (0, 1):
        list(make_loader(make(dots(10)), start=0, stop=2, workers=workers))
    assert pickle.dumps(np.random.get_state()) == numpy_state  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_state)


_INTERRUPTED = """
import os, signal, threading
from ofa_pose.data import Augmentation, SyntheticScenes, TrainBatches, make_loader
signal.signal(signal.SIGTERM, signal.default_int_handler)
scenes = SyntheticScenes(0, 50, size=64, skeleton="crowdpose")
batches = TrainBatches(scenes, Augmentation(), batch_size=2, seed=0, resolution_of=lambda step: 64)
try:
    for step, _ in enumerate(make_loader(batches, start=0, stop=10**9, workers=2)):
        if step == 3:
            os.killpg(0, signal.{number})  # a terminal and a scheduler send it to the workers, too
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_signal_to_the_group_ends_in_one_interrupt_without_tracebacks(number):
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED.format(number=number)],
        capture_output=True, text=True, timeout=60, start_new_session=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted\n", "")


_STUCK = """
import multiprocessing, signal, subprocess, time
from ofa_pose.data.batches import _prepare_worker
from ofa_pose.signals import held_back

def stuck(ready):
    _prepare_worker(0)
    ready.set()
    time.sleep(300)

context = multiprocessing.get_context("fork")
ready = context.Event()
worker = context.Process(target=stuck, args=(ready,), daemon=True)
with held_back(signal.SIGINT, signal.SIGTERM):
    worker.start()
subprocess.run(["kill", "-TERM", str(worker.pid)], check=True)
assert ready.wait(60)
subprocess.run(["kill", "-TERM", str(worker.pid)], check=True)
worker.join(1)
print(worker.is_alive())
worker.terminate()
worker.join(60)
print(worker.exitcode)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="who sent a signal is not known")
def test_a_worker_that_hangs_ends_at_its_parents_word_alone():
    done = subprocess.run(
        [sys.executable, "-c", _STUCK], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.split() == ["True", "0"], done.stderr  # torch takes another for a failure


_STOPPED_OFTEN = """
import signal
from ofa_pose.data import Augmentation, SyntheticScenes, TrainBatches, make_loader
scenes = SyntheticScenes(0, 50, size=64, skeleton="crowdpose")
batches = TrainBatches(scenes, Augmentation(), batch_size=1, seed=0, resolution_of=lambda step: 32)
signal.signal(signal.SIGALRM, signal.default_int_handler)
for attempt in range(24):
    signal.setitimer(signal.ITIMER_REAL, 0.3 + 0.01 * attempt)
    try:
        for _ in make_loader(batches, start=0, stop=10**9, workers=1):
            pass
    except KeyboardInterrupt:
        continue
"""


@pytest.mark.slow
def test_an_interrupt_while_a_batch_is_handed_over_leaves_no_traceback():
    """A third of them did: the worker's thread that hands tensors over lost its partner."""
    done = subprocess.run(
        [sys.executable, "-c", _STOPPED_OFTEN],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_a_worker_tells_only_of_its_own_errors(capsys):
    _tell(ConnectionResetError, ConnectionResetError(), None)
    assert capsys.readouterr().err == ""
    _tell(ValueError, ValueError("odd"), None)
    assert capsys.readouterr().err == "ValueError: odd\n"


def test_a_batch_moves_to_a_device(dots):
    batch = make(dots(10))[0].to("meta")
    tensors = (batch.images, *batch.heatmaps, *batch.masks, batch.tags)
    assert {tensor.device.type for tensor in tensors} == {"meta"}


def test_impossible_settings_are_refused(dots):
    with pytest.raises(UsageError, match="batch size"):
        make(dots(3), batch_size=0)
    with pytest.raises(UsageError, match="workers"):
        make_loader(make(dots(3)), start=0, stop=1, workers=-1)
