"""Decoding: what was encoded comes back, and the published algorithm, written plainly, agrees."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from ofa_pose.errors import UsageError, WeightsError
from ofa_pose.pose.decode import Person, decode, decode_outputs
from ofa_pose.pose.settings import PUBLISHED, DecodeSettings
from ofa_pose.pose.targets import make_targets
from ofa_pose.skeleton import Skeleton, load_skeleton

CROWDPOSE = load_skeleton("crowdpose")


def perfect_outputs(keypoints: np.ndarray, size: tuple[int, int]) -> list[torch.Tensor]:
    """The targets as if predicted; each tag cell holds the number of the person nearest to it."""
    targets = make_targets(keypoints, None, size=size)
    joints, height, width = targets.heatmaps[0].shape
    tags = np.zeros((joints, height, width), dtype=np.float32)
    centres = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1) * 4 + 2
    for joint in range(joints):
        seen = np.flatnonzero(keypoints[:, joint, 2] > 0)
        if len(seen):
            offsets = centres[:, :, None] - keypoints[seen, joint, :2]
            tags[joint] = seen[np.square(offsets).sum(axis=-1).argmin(axis=-1)] * 2.0
    low = np.concatenate([targets.heatmaps[0], tags])
    return [torch.from_numpy(low)[None], torch.from_numpy(targets.heatmaps[1])[None]]


@st.composite
def separated_people(draw: st.DrawFn) -> np.ndarray:
    """People in squares of their own, 48 pixels apart, in a picture of 320 x 384 pixels."""
    squares = draw(st.lists(st.integers(0, 11), min_size=1, max_size=8, unique=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    keypoints = np.zeros((len(squares), 14, 3))
    corners = np.array([(square % 4 * 96 + 24, square // 4 * 96 + 24) for square in squares])
    keypoints[..., :2] = corners[:, None] + rng.uniform(0, 48, (len(squares), 14, 2))
    keypoints[..., 2] = rng.uniform(size=(len(squares), 14)) < 0.8
    keypoints[:, 12, 2] = 2
    return keypoints


@pytest.mark.parametrize("mode", ["fast", "reference"])
@settings(max_examples=25, deadline=None)
@given(keypoints=separated_people())
def test_decoding_inverts_encoding_to_within_a_cell(mode: Any, keypoints: np.ndarray) -> None:
    size = (320, 384)
    (people,) = decode_outputs(
        perfect_outputs(keypoints, size),
        CROWDPOSE,
        size=size,
        settings=DecodeSettings(mode=mode, refine=False),
    )
    assert len(people) == len(keypoints)
    # The head is always visible; it tells who is who.
    heads = np.array([person.keypoints[12, :2] for person in people])
    for truth in keypoints:
        person = people[int(np.square(heads - truth[12, :2]).sum(axis=1).argmin())]
        visible = truth[:, 2] > 0
        assert (np.abs(person.keypoints[visible, :2] - truth[visible, :2]) <= 2).all()
        assert (person.keypoints[~visible] == 0).all()
        found = person.keypoints[:, 2]
        assert person.score == pytest.approx(found.mean())


def test_a_flip_test_of_a_perfect_network_gives_the_same_people() -> None:
    keypoints = np.zeros((2, 14, 3))
    keypoints[0] = [*(20 + np.arange(2) * 5.0), 2]
    keypoints[1] = [90, 40, 2]
    size = (64, 128)
    mirrored = keypoints[:, list(CROWDPOSE.flip)] * [-1, 1, 1] + [128, 0, 0]
    flipped = perfect_outputs(mirrored, size)
    (people,) = decode_outputs(
        perfect_outputs(keypoints, size), CROWDPOSE, size=size, flipped_outputs=flipped
    )
    assert len(people) == 2
    people.sort(key=lambda person: person.keypoints[0, 0])
    for person, truth in zip(people, keypoints, strict=True):
        assert np.abs(person.keypoints[:, :2] - truth[:, :2]).max() <= 2


def test_zero_people_give_an_empty_list() -> None:
    assert decode(np.zeros((14, 8, 8)), np.zeros((14, 8, 8)), CROWDPOSE) == []
    outputs = [torch.zeros(2, 28, 4, 4), torch.zeros(2, 14, 8, 8)]
    assert decode_outputs(outputs, CROWDPOSE, size=(16, 16)) == [[], []]


def test_a_cell_far_from_the_centre_scales_by_both_sides() -> None:
    outputs = [torch.zeros(1, 28, 4, 8), torch.zeros(1, 14, 8, 16)]
    outputs[1][0, 3, 6, 11] = 1.0
    (people,) = decode_outputs(
        outputs, CROWDPOSE, size=(16, 32), settings=DecodeSettings(refine=False)
    )
    assert len(people) == 1
    # Half the heatmaps' mean, and 9/16 of that at the four pixels around the cell's centre.
    assert people[0].keypoints[3].tolist() == [23.0, 13.0, 0.28125]
    assert people[0].score == pytest.approx(0.28125 / 14)


@pytest.mark.parametrize("mode", ["fast", "reference"])
def test_everybody_is_returned_or_the_best(mode: Any) -> None:
    heatmaps = np.zeros((14, 8, 160), dtype=np.float32)
    heatmaps[0, 4, 4::4] = np.linspace(0.2, 0.9, 39)
    tags = np.tile(np.arange(160.0), (14, 8, 1))
    settings = DecodeSettings(mode=mode, max_people=3)
    people = decode(heatmaps[:, :, :9], tags[:, :, :9], CROWDPOSE, settings)
    assert len(people) == 2
    # Three candidates of each joint, and those of joint 1 belong to other people.
    heatmaps[1] = 0.5 * heatmaps[0, :, ::-1]
    assert len(decode(heatmaps, tags, CROWDPOSE, settings)) == 6
    people = decode(heatmaps, tags, CROWDPOSE, DecodeSettings(mode=mode, max_people=3, best=3))
    assert [round(person.score * 14, 2) for person in people] == [0.9, 0.88, 0.86]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("which", ["heatmaps", "tags"])
def test_nan_is_refused(which: str, value: float) -> None:
    maps = {"heatmaps": np.zeros((14, 8, 8)), "tags": np.zeros((14, 8, 8))}
    maps[which][3, 1, 1] = value
    with pytest.raises(WeightsError, match=f"{which} hold NaN or infinite"):
        decode(maps["heatmaps"], maps["tags"], CROWDPOSE)


@pytest.mark.parametrize(
    ("heatmaps", "tags", "message"),
    [
        ((14, 8, 8), (14, 4, 4), r"got \(14, 8, 8\) and \(14, 4, 4, 1\)"),
        ((1, 14, 8, 8), (14, 8, 8), "expected heatmaps"),
        ((17, 8, 8), (17, 8, 8), "have 17 joints, skeleton 'crowdpose' has 14"),
    ],
)
def test_maps_that_do_not_fit_are_refused(heatmaps, tags, message) -> None:
    with pytest.raises(UsageError, match=message):
        decode(np.zeros(heatmaps), np.zeros(tags), CROWDPOSE)


@pytest.mark.parametrize(
    "change",
    [{"window": 4}, {"max_people": 0}, {"threshold": -1.0}, {"best": 0}, {"mode": "quick"}],
)
def test_impossible_settings_are_refused(change) -> None:
    with pytest.raises(UsageError, match=next(iter(change))):
        DecodeSettings(**change)


def published(
    heatmaps: np.ndarray,
    tags: np.ndarray,
    skeleton: Skeleton,
    *,
    tie_break: float = 0.0,
    limb_lengths: Callable[..., np.ndarray],
) -> list[Person]:
    """Associative embedding as published, cell by cell; slow, and plain enough to check by eye."""
    _, height, width = heatmaps.shape
    standing: list[float] = []
    people: list[dict[int, tuple[int, int, float, np.ndarray]]] = []
    for joint in skeleton.matching_order:
        peaks = []
        for y in range(height):
            for x in range(width):
                value = heatmaps[joint, y, x]
                around = heatmaps[joint, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
                if value > 0.1 and value == around.max():
                    peaks.append((x, y, float(value), tags[joint, y, x].astype(np.float64)))
        peaks = sorted(peaks, key=lambda peak: -peak[2])[:30]
        known = people[:30]
        means = [np.mean([found[3] for found in person.values()], axis=0) for person in known]
        cost = np.full((len(peaks), max(len(peaks), len(known))), 1e5)
        joints = [{other: found[:2] for other, found in person.items()} for person in known]
        lengths = limb_lengths(skeleton, joint, [peak[:2] for peak in peaks], joints)
        usual = max(1.0, np.mean(standing if standing else lengths)) if lengths.size else 1.0
        for row, peak in enumerate(peaks):
            for column, mean in enumerate(means):
                distance = np.linalg.norm(peak[3] - mean)
                strength = sum(other[2] for other in known[column].values())
                limb = lengths[row, column] / usual
                tie = 3 * min(distance, 1.0) ** 2 + 0.15 * limb - peak[2] * strength
                cost[row, column] = np.round(distance) * 100 - peak[2] + tie_break * tie
        for row, column in zip(*linear_sum_assignment(cost), strict=True):
            if column < len(known) and np.linalg.norm(peaks[row][3] - means[column]) < 1:
                known[column][joint] = peaks[row]
                standing.append(float(lengths[row, column]))
            else:
                people.append({joint: peaks[row]})
    return [_published_person(person, heatmaps, tags) for person in people]


def _published_person(
    person: dict[int, tuple[int, int, float, np.ndarray]], heatmaps: np.ndarray, tags: np.ndarray
) -> Person:
    joints, height, width = heatmaps.shape
    score = sum(found[2] for found in person.values()) / joints
    mean = np.mean([found[3] for found in person.values()], axis=0)
    keypoints = np.zeros((joints, 3))
    for joint, heatmap in enumerate(heatmaps):
        if joint in person:
            x, y, value, _ = person[joint]
        else:
            distance = np.round(np.linalg.norm(tags[joint] - mean, axis=-1))
            y, x = divmod(int((heatmap - distance).argmax()), width)
            value = heatmap[y, x]
        if value > 0:
            right = heatmap[y, min(width - 1, x + 1)] > heatmap[y, max(0, x - 1)]
            below = heatmap[min(height - 1, y + 1), x] > heatmap[max(0, y - 1), x]
            shifts = [0.75 if higher else 0.25 for higher in (right, below)]
            keypoints[joint] = (x + shifts[0], y + shifts[1], value)
    return Person(keypoints=keypoints, score=score)


def crowded_maps(seed: int, *, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Up to 8 people in 40 x 48 cells, with a quarter of their joints missing."""
    rng = np.random.default_rng(seed)
    joints, height, width = 14, 40, 48
    count = int(rng.integers(1, 9))
    truth = np.ones((count, joints, 3))
    truth[..., :2] = rng.uniform(0, [width, height], (count, joints, 2))
    truth[..., 2] = rng.uniform(size=(count, joints)) < 0.75
    heatmaps = make_targets(truth, None, size=(height, width), strides=(1,)).heatmaps[0]
    heatmaps = heatmaps * rng.uniform(0.6, 1, heatmaps.shape[:1] + (1, 1))
    heatmaps = heatmaps + rng.uniform(-noise, noise, heatmaps.shape)
    # Every cell has the tag of the person whose joint is nearest; people are 3 apart.
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)[:, :, None]
    nearest = [
        np.square(grid - truth[:, joint, :2]).sum(axis=-1).argmin(axis=-1)
        for joint in range(joints)
    ]
    spread = rng.uniform(-0.15, 0.15, (*heatmaps.shape, 1 + seed % 2))
    tags = 3.0 * np.stack(nearest)[..., None] + spread
    return heatmaps.astype(np.float32), tags.astype(np.float32)


def assert_same_people(
    people: list[Person], expected: list[Person], *, within: float = 1e-6
) -> None:
    def key(person: Person) -> tuple[float, list[float]]:
        return -person.score, person.keypoints[:, 2].tolist()

    assert len(people) == len(expected)
    for ours, theirs in zip(sorted(people, key=key), sorted(expected, key=key), strict=True):
        np.testing.assert_allclose(ours.keypoints, theirs.keypoints, atol=within)
        np.testing.assert_array_equal(ours.keypoints[:, 2], theirs.keypoints[:, 2])
        assert ours.score == pytest.approx(theirs.score)


@pytest.mark.parametrize("seed", range(6))
def test_the_published_algorithm_gives_the_same_people(seed: int, limb_lengths) -> None:
    # So little noise that each joint has one peak at most: no two costs are equal.
    heatmaps, tags = crowded_maps(seed, noise=0.01)
    people = decode(heatmaps, tags, CROWDPOSE, DecodeSettings(mode="reference"))
    assert_same_people(people, published(heatmaps, tags, CROWDPOSE, limb_lengths=limb_lengths))


@pytest.mark.parametrize("seed", range(6))
def test_with_false_peaks_the_tie_break_leaves_one_answer(seed: int, limb_lengths) -> None:
    heatmaps, tags = crowded_maps(seed, noise=0.12)
    people = decode(heatmaps, tags, CROWDPOSE)
    expected = published(heatmaps, tags, CROWDPOSE, tie_break=1e-6, limb_lengths=limb_lengths)
    # In the same pixels; within a pixel the quarter shift is another than ours.
    assert_same_people(people, expected, within=0.5)


def test_other_sizes_average_the_heatmaps_and_leave_the_tags() -> None:
    keypoints = np.zeros((1, 14, 3))
    keypoints[0] = [40.0, 24.0, 2]
    size = (64, 128)
    plain = perfect_outputs(keypoints, size)
    twice = perfect_outputs(keypoints * [2, 2, 1], (128, 256))
    nothing = [torch.zeros(1, 28, 8, 16), torch.zeros(1, 14, 16, 32)]
    (alone,) = decode_outputs(plain, CROWDPOSE, size=size)
    (both,) = decode_outputs(plain, CROWDPOSE, size=size, other_scales=[(twice, None)])
    (halved,) = decode_outputs(plain, CROWDPOSE, size=size, other_scales=[(nothing, None)])
    assert len(alone) == len(both) == len(halved) == 1
    assert np.abs(both[0].keypoints[:, :2] - [40, 24]).max() <= 1
    np.testing.assert_allclose(halved[0].keypoints[:, 2], alone[0].keypoints[:, 2] / 2, rtol=1e-5)


def test_outputs_of_another_factor_are_projected() -> None:
    # One output of a quarter of the input's size.
    output = torch.zeros(1, 28, 16, 16)
    output[0, 3, 6, 11] = 1.0
    (people,) = decode_outputs(
        [output], CROWDPOSE, size=(64, 64), settings=DecodeSettings(refine=False)
    )
    # Cell 11, 6 spans 44..48, 24..28; four pixels of it are equal, the first is taken.
    assert len(people) == 1
    assert np.abs(people[0].keypoints[3, :2] - [46, 26]).max() <= 1


def test_a_damaged_mirrored_pass_is_refused() -> None:
    outputs = [torch.zeros(1, 28, 4, 4), torch.zeros(1, 14, 8, 8)]
    flipped = [torch.full_like(output, math.nan) for output in outputs]
    with pytest.raises(WeightsError, match="outputs hold NaN"):
        decode_outputs(outputs, CROWDPOSE, size=(16, 16), flipped_outputs=flipped)


def test_every_constant_has_a_source() -> None:
    values = {name: constant.value for name, constant in PUBLISHED.items()}
    assert values == {
        "window": 5,
        "max_people": 30,
        "threshold": 0.1,
        "tag_distance": 1.0,
        "round_weight": 100,
        "shift": 0.25,
        "centre": 0.5,
    }
    assert all(constant.source for constant in PUBLISHED.values())
    for name in ("window", "max_people", "threshold", "tag_distance"):
        assert getattr(DecodeSettings(), name) == values[name]


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 5.0},
        {"window": "5"},
        {"max_people": 2.5},
        {"max_people": True},
        {"best": 2.5},
        {"threshold": math.nan},
        {"threshold": "0.1"},
        {"tag_distance": math.nan},
        {"tag_distance": -1},
    ],
)
def test_settings_that_cannot_work(wrong: dict[str, Any]):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        DecodeSettings(**wrong)
    assert DecodeSettings(best=np.int64(3), threshold=np.float32(0.5)).best == 3  # pyright: ignore
