"""The score of an arch depends on weights, arch and scenes, and on nothing else."""

from __future__ import annotations

import copy
import threading
from collections import Counter
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from ofa_pose import Supernet, load_space
from ofa_pose.data import Scene, SyntheticScenes
from ofa_pose.errors import ArchError, DataError, SkeletonError, UsageError
from ofa_pose.evaluate import SubnetEvaluator
from ofa_pose.pose import DecodeSettings
from ofa_pose.skeleton import Skeleton, load_skeleton


class Crowd:
    """Square noise with one person each, labelled with the joints of a skeleton."""

    def __init__(self, count: int, *, skeleton: str = "crowdpose", labelled: bool = True) -> None:
        self.count = count
        self.skeleton: Skeleton = load_skeleton(skeleton)
        self.labelled = labelled
        self.reads: Counter[int] = Counter()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Scene:
        self.reads[index] += 1
        points = np.random.default_rng(index).uniform(4, 60, (1, self.skeleton.num_joints, 3))
        points[..., 2] = 2
        return Scene(
            image=np.random.default_rng(index).integers(0, 256, (64, 64, 3), dtype=np.uint8),
            keypoints=points.astype(np.float32),
            valid=np.ones((64, 64), bool),
            image_id=index + 1,
            boxes=np.array([[4, 4, 56, 56]], np.float32),
            areas=np.array([900], np.float32),
        )

    def fingerprint(self) -> str:
        raise NotImplementedError

    def ground_truth(self) -> dict[str, Any]:
        scenes = [self[index] for index in range(self.count)]
        annotations = [
            {
                "id": scene.image_id,
                "image_id": scene.image_id,
                "keypoints": scene.keypoints.ravel().tolist(),
                "num_keypoints": scene.keypoints.shape[1],
                "bbox": [4, 4, 56, 56],
                "area": 900,
                "iscrowd": 0,
            }
            for scene in scenes
        ]
        return {
            "images": [{"id": scene.image_id, "width": 64, "height": 64} for scene in scenes],
            "annotations": annotations if self.labelled else [],
            "categories": [{"id": 1}],
        }


@pytest.fixture
def space():
    return load_space("toy")


@pytest.fixture
def supernet(space):
    return Supernet(space, seed=3)


def test_pure_and_leaves_the_supernet_alone(space, supernet):
    before = copy.deepcopy(supernet.state_dict())
    evaluate = SubnetEvaluator(supernet, calibration=Crowd(6), scenes=Crowd(5))
    first = evaluate(space.smallest)
    evaluate(space.largest)
    assert evaluate(space.smallest) == first
    other = SubnetEvaluator(supernet, calibration=Crowd(6), scenes=Crowd(5), cache_bytes=0)
    assert other(space.smallest) == first
    assert first.keys() >= {"AP", "AP50", "AP75", "AR"}
    for name, tensor in supernet.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)
    assert supernet.training


def test_scores_follow_the_weights(space, supernet):
    """Nothing is remembered by arch: a subnet whose heatmaps are made empty finds nobody."""
    evaluate = SubnetEvaluator(supernet, calibration=Crowd(6), scenes=Crowd(3))
    seen = []
    evaluate(space.smallest)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.zero_()
    evaluate.progress = seen.append
    assert evaluate(space.smallest)["AR"] == 0
    assert seen == [3]


def test_an_identity_tells_what_scores_depend_on(space, supernet):
    def identity(supernet, *, scenes=2, calibrate=1, **options):
        return SubnetEvaluator(
            supernet,
            calibration=SyntheticScenes(calibrate, 3, size=64, skeleton="crowdpose"),
            scenes=SyntheticScenes(scenes, 3, size=64, skeleton="crowdpose"),
            **options,
        ).identity()

    def differing(*given, **options):
        other = identity(*given, **options)
        return [name for name in first if first[name] != other[name]]

    first = identity(supernet)
    assert differing(Supernet(space, seed=3), cache_bytes=0) == []
    assert differing(Supernet(space, seed=4)) == ["weights"]
    assert differing(supernet, scenes=5) == ["scenes"]
    assert differing(supernet, calibrate=5) == ["calibration"]
    assert differing(supernet, calibration_images=2) == ["calibration"]
    assert differing(supernet, flip=True) == ["flip"]
    assert differing(supernet, precision="bfloat16") == ["precision"]
    assert differing(supernet, settings=DecodeSettings()) == ["decoding"]


def test_of_few_pictures_no_interval_is_told(space, supernet):
    ends = {"AP_low", "AP_high"}
    for count, told in ((9, set()), (10, ends)):
        evaluate = SubnetEvaluator(supernet, calibration=Crowd(6), scenes=Crowd(count))
        assert ends & evaluate(space.smallest).keys() == told


def test_pictures_are_read_once_for_each_resolution(space, supernet):
    calibration, scenes = Crowd(10), Crowd(4)
    evaluate = SubnetEvaluator(
        supernet, calibration=calibration, scenes=scenes, calibration_images=4
    )
    archs = [arch for arch in space if arch.resolution == 32][:3]
    for arch in [*archs, *archs]:
        evaluate(arch)
    assert calibration.reads == {0: 1, 2: 1, 5: 1, 7: 1}  # 4 of 10, spread evenly
    assert scenes.reads == {0: 2, 1: 2, 2: 2, 3: 2}  # the second time for the ground truth
    evaluate(space.largest)
    assert set(scenes.reads.values()) == {3}


def test_statistics_are_those_of_the_calibration_pictures(space, supernet):
    evaluate = SubnetEvaluator(supernet, calibration=Crowd(6), scenes=Crowd(1), batch_size=3)
    arch = next(arch for arch in space if arch.resolution == 48)
    network = evaluate.subnet(arch)
    assert not network.training
    convolution = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    norm = next(m for m in network.modules() if isinstance(m, nn.BatchNorm2d))
    import cv2  # the reduction to 48 px, written out

    mean, std = np.array(space.pixel_mean), np.array(space.pixel_std)
    pictures = [
        (cv2.resize(scene.image, (48, 48), interpolation=cv2.INTER_AREA) - mean) / std
        for scene in map(Crowd(6).__getitem__, range(6))
    ]
    images = torch.tensor(np.stack(pictures), dtype=torch.float32).permute(0, 3, 1, 2)
    with torch.no_grad():
        features = convolution(images)
    batches = features.split(3)
    expected = torch.stack([part.mean(dim=(0, 2, 3)) for part in batches]).mean(dim=0)
    torch.testing.assert_close(norm.running_mean, expected, rtol=1e-4, atol=1e-5)


def test_pictures_are_scored_in_the_precision_and_statistics_measured_in_full(space, supernet):
    """By the types that the convolutions return, not by scores, which hardly differ."""

    def types_while(work):
        seen = []
        handle = nn.modules.module.register_module_forward_hook(
            lambda module, _, output: (
                seen.append(output.dtype) if isinstance(module, nn.Conv2d) else None
            )
        )
        try:
            work()
        finally:
            handle.remove()
        return set(seen)

    evaluate = SubnetEvaluator(
        supernet, calibration=Crowd(2), scenes=Crowd(2), precision="bfloat16"
    )
    network = evaluate.prepared(space.smallest)
    assert types_while(lambda: evaluate.subnet(space.smallest)) == {torch.float32}
    found = types_while(lambda: evaluate.matches(network, space.smallest, [0, 1]))
    assert found == {torch.bfloat16}


def test_the_network_that_is_kept_does_not_depend_on_the_number_of_threads(space, supernet):
    evaluate = SubnetEvaluator(supernet, calibration=Crowd(6), scenes=Crowd(1))
    before = torch.get_num_threads()
    kept = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            kept.append(evaluate.subnet(space.largest).state_dict())
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for name, tensor in kept[0].items():
        torch.testing.assert_close(tensor, kept[1][name], rtol=0, atol=0)


@pytest.mark.parametrize("count", [2, 20])
def test_other_pictures_for_calibration_are_spread_over_anew(space, supernet, count):
    evaluate = SubnetEvaluator(
        supernet, calibration=Crowd(10), scenes=Crowd(2), calibration_images=4
    )
    other = Crowd(count)
    evaluate.on(Crowd(3), calibration=other).subnet(space.smallest)
    expected = {2: [0, 1], 20: [0, 5, 10, 15]}[count]
    assert other.reads == dict.fromkeys(expected, 1)
    with pytest.raises(DataError, match="calibration set is empty"):
        evaluate.on(Crowd(3), calibration=Crowd(0))


def test_on_other_scenes_the_supernet_stays_on_its_gpu(supernet, monkeypatch):
    evaluate = SubnetEvaluator(supernet, calibration=Crowd(1), scenes=Crowd(1))
    monkeypatch.setattr(supernet, "parameters", lambda: iter([SimpleNamespace(is_cuda=True)]))
    assert evaluate.on(Crowd(2), calibration=Crowd(2)).supernet is supernet


def test_evaluators_on_other_scenes_keep_pictures_within_one_bound(space, supernet):
    calibration, scenes = Crowd(4), Crowd(4)
    arch = next(arch for arch in space if arch.resolution == 32)
    room = 8 * 3 * 32 * 32
    evaluate = SubnetEvaluator(supernet, calibration=calibration, scenes=scenes, cache_bytes=room)
    score = evaluate(arch)
    assert set(scenes.reads.values()) == {2}  # the second time for the ground truth
    other = evaluate.on(Crowd(4))
    assert other(arch) == score  # the same pictures
    assert set(calibration.reads.values()) == {1}
    assert evaluate(arch) == score
    assert set(scenes.reads.values()) == {3}  # they had given way
    assert set(calibration.reads.values()) == {1}


def test_what_cannot_be_scored_is_refused(space, supernet):
    with pytest.raises(DataError, match="calibration set is empty"):
        SubnetEvaluator(supernet, calibration=Crowd(0), scenes=Crowd(1))
    with pytest.raises(DataError, match="scoring set is empty"):
        SubnetEvaluator(supernet, calibration=Crowd(1), scenes=Crowd(0))
    with pytest.raises(UsageError, match="at least 1 image"):
        SubnetEvaluator(supernet, calibration=Crowd(1), scenes=Crowd(1), calibration_images=0)
    with pytest.raises(UsageError, match="float16 is for GPUs"):
        SubnetEvaluator(supernet, calibration=Crowd(1), scenes=Crowd(1), precision="float16")
    unlabelled = SubnetEvaluator(supernet, calibration=Crowd(1), scenes=Crowd(2, labelled=False))
    with pytest.raises(DataError, match="labelled joints"):
        unlabelled(space.smallest)
    coco = SubnetEvaluator(supernet, calibration=Crowd(1), scenes=Crowd(1, skeleton="coco"))
    with pytest.raises(SkeletonError, match="14 joints.*17"):
        coco(space.smallest)
    with pytest.raises(ArchError, match="litepose"):
        coco(load_space("litepose").smallest)


def test_an_arch_may_be_named() -> None:
    space = load_space("toy")
    evaluator = SubnetEvaluator(
        Supernet(space), calibration=Crowd(2), scenes=Crowd(2), calibration_images=2
    )
    assert evaluator("smallest") == evaluator(space.smallest.key) == evaluator(space.smallest)
    assert evaluator.subnet("smallest").plan == evaluator.subnet(space.smallest).plan


@pytest.mark.parametrize("name", ["scenes", "calibration"])
def test_scenes_are_not_exchanged_under_what_is_kept_of_them(name: str) -> None:
    space = load_space("toy")
    evaluator = SubnetEvaluator(Supernet(space), calibration=Crowd(2), scenes=Crowd(2))
    with pytest.raises(AttributeError, match=f"'{name}'"):
        setattr(evaluator, name, Crowd(3))
    assert len(evaluator.on(Crowd(3), calibration=Crowd(4)).scenes) == 3


def test_whoever_scores_last_gives_opencv_its_threads_back() -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    entered, left = threading.Event(), threading.Event()

    class Waits(Crowd):
        def __getitem__(self, index: int) -> Scene:
            entered.set()
            assert left.wait(30)
            return super().__getitem__(index)

    space = load_space("toy")
    first, second = (
        SubnetEvaluator(Supernet(space), calibration=source, scenes=Crowd(2))
        for source in (Crowd(2), Waits(2))
    )
    waiting = threading.Thread(target=second.subnet, args=["smallest"])

    class Starts(Crowd):
        def __getitem__(self, index: int) -> Scene:
            if not entered.is_set():
                waiting.start()
                assert entered.wait(30)
            return super().__getitem__(index)

    try:
        first.on(Crowd(2), calibration=Starts(2)).subnet("smallest")  # begins first, ends first
        left.set()
        waiting.join(30)
        assert cv2.getNumThreads() == 2
    finally:
        left.set()
        cv2.setNumThreads(before)
