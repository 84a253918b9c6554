"""Tag diagnostics by hand: distances read at the labels, and the AP that confused tags lose."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ofa_pose.data import Scene
from ofa_pose.data.scene import ground_truth_of
from ofa_pose.errors import DataError, SkeletonError
from ofa_pose.evaluate import TagDiagnostics, tag_diagnostics
from ofa_pose.pose import make_targets
from ofa_pose.skeleton import Skeleton
from ofa_pose.space import Choice, SearchSpace

PAIR = Skeleton(
    name="pair",
    joints=("left", "right"),
    flip=(1, 0),
    limbs=((0, 1),),
    sigmas=(0.3, 0.3),
    matching_order=(0, 1),
)
SIDE = 64
SPACE = SearchSpace(
    name="none",
    family="none",
    choices=(Choice("resolution", (SIDE,)),),
    pixel_mean=(0.0, 0.0, 0.0),
    pixel_std=(255.0, 255.0, 255.0),
)
TWO = [[(10, 12), (22, 12)], [(46, 44), (58, 44)]]
ONE = [[(30, 30), (42, 30)]]


class Labelled:
    """Black pictures of 64 px, each with the given people."""

    skeleton = PAIR

    def __init__(self, *pictures: list[list[tuple[int, int]]]) -> None:
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Scene:
        people = self.pictures[index]
        points = np.array([[(x, y, 2) for x, y in person] for person in people], np.float32)
        return Scene(
            image=np.zeros((SIDE, SIDE, 3), np.uint8),
            keypoints=points.reshape(-1, 2, 3),
            valid=np.ones((SIDE, SIDE), bool),
            image_id=1 + index,
            boxes=np.tile(np.array([0, 0, 20, 20], np.float32), (len(people), 1)),
            areas=np.full(len(people), 400, np.float32),
        )

    def fingerprint(self) -> str:
        raise NotImplementedError

    def ground_truth(self) -> dict[str, Any]:
        return ground_truth_of((self[index] for index in range(len(self))), PAIR)


class Recorded(nn.Module):
    """Perfect heatmaps, and the given tag at every joint, one picture after the other."""

    def __init__(self, source: Labelled, tags: list[list[list[float]]]) -> None:
        super().__init__()
        self.outputs: list[list[Tensor]] = []
        for index, people in enumerate(tags):
            points = source[index].keypoints
            targets = make_targets(points, None, size=(SIDE, SIDE))
            maps = np.zeros((2, SIDE // 4, SIDE // 4), np.float32)
            for person, own in zip(points, people, strict=True):
                for joint, tag in enumerate(own):
                    x, y = (int(value) // 4 for value in person[joint, :2])
                    maps[joint, y - 1 : y + 2, x - 1 : x + 2] = tag
            low = np.concatenate([targets.heatmaps[0], maps])
            self.outputs.append(
                [torch.from_numpy(low)[None], torch.from_numpy(targets.heatmaps[1])[None]]
            )

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.outputs.pop(0)


def diagnose(source: Labelled, tags: list[list[list[float]]], **options: Any) -> TagDiagnostics:
    return tag_diagnostics(
        Recorded(source, tags), source, resolution=SIDE, space=SPACE, batch_size=1, **options
    )


def test_distances_are_those_at_the_labelled_joints() -> None:
    found = diagnose(Labelled(TWO, ONE), [[[1.0, 1.4], [5.0, 5.0]], [[-2.0, -2.2]]])
    # Deviations from the means 1.2, 5 and -2.1: 0.2, 0 and 0.1; 1.2 and 5 are 3.8 apart.
    assert found.within == pytest.approx(0.1)
    assert found.between == pytest.approx(3.8)
    assert found.nearest == pytest.approx(3.8)
    assert found.confused == 0
    assert (found.people, found.pairs) == (3, 1)
    assert found.ap == found.peaks_ap == found.oracle_ap == pytest.approx(1.0)


def test_tags_that_tell_nobody_apart_lose_ap_that_the_labels_give_back() -> None:
    # The first joint of each has the other's tag: grouping gives two people made of halves.
    found = diagnose(Labelled(TWO), [[[1.0, 5.0], [5.0, 1.0]]])
    assert found.within == pytest.approx(2.0)
    assert found.between == pytest.approx(0.0, abs=1e-6)
    assert found.confused == 1
    assert found.oracle_ap == pytest.approx(1.0)
    assert found.ap < 0.5
    assert found.peaks_ap == pytest.approx(found.ap)  # both peaks are true
    assert found.lost_to_peaks == pytest.approx(0)
    assert found.lost_to_tags == pytest.approx(1.0 - found.ap)


def test_a_false_peak_loses_ap_that_true_peaks_alone_do_not() -> None:
    # A second, false left joint of the same tag is 8 px from the right one, the true one 12.
    source = Labelled([TWO[0]])
    network = Recorded(source, [[[1.0, 1.0]]])
    low, high = network.outputs[0]
    for maps, cells in ((low[0, 0], (-2, 3)), (low[0, 2], (-2, 3)), (high[0, 0], (-4, 6))):
        maps.copy_(torch.maximum(maps, torch.roll(maps, cells, dims=(0, 1))))
    found = tag_diagnostics(network, source, resolution=SIDE, space=SPACE, batch_size=1)
    assert found.within == 0
    # Of the false pair one joint is off by 12 and 8 px: its similarity, (1 + exp(-208 / 288)) / 2 =
    # 0.74, is enough for 5 of 10 thresholds. At the others the true left joint, whose right one is
    # found again, comes second.
    assert found.ap == pytest.approx((5 * 1 + 5 * 0.5) / 10)
    assert found.peaks_ap == found.oracle_ap == pytest.approx(1.0)
    assert found.lost_to_peaks == pytest.approx(1.0 - found.ap)


def test_people_alone_have_no_distance_between_them() -> None:
    found = diagnose(Labelled(ONE), [[[0.0, 0.0]]])
    assert found.within == 0
    assert (found.people, found.pairs) == (1, 0)
    assert math.isnan(found.between)
    assert math.isnan(found.nearest)
    assert math.isnan(found.confused)


def test_the_nearest_of_three_people_counts_for_each() -> None:
    three = [*TWO, [(10, 44), (22, 44)]]
    found = diagnose(Labelled(three), [[[0.0, 0.0], [3.0, 3.0], [3.5, 3.5]]])
    # Pairs 3, 3.5 and 0.5; the nearest of each: 3, 0.5, 0.5.
    assert found.between == pytest.approx(7 / 3)
    assert found.nearest == pytest.approx(4 / 3)
    assert found.confused == pytest.approx(1 / 3)


def test_progress_counts_pictures() -> None:
    seen: list[int] = []
    diagnose(Labelled(ONE, ONE), [[[0.0, 0.0]], [[0.0, 0.0]]], progress=seen.append)
    assert seen == [1, 2]


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(DataError, match="none of the 1 scenes"):
        diagnose(Labelled([]), [[]])

    class Single(Labelled):
        skeleton = Skeleton("dot", ("dot",), (0,), (), (0.1,), (0,))

    with pytest.raises(SkeletonError, match="predicts 2 joints"):
        diagnose(Single(ONE), [[[0.0, 0.0]]])
