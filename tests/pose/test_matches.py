"""The AP from matches is pycocotools', for whole sets and for any part of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa_pose.errors import UsageError
from ofa_pose.pose import ap_gain_interval, ap_interval, evaluate_predictions
from ofa_pose.pose.matches import THRESHOLDS, Matches, match_people
from ofa_pose.skeleton import load_skeleton

SKELETON = load_skeleton("coco")
K = SKELETON.num_joints


def random_set(seed: int, count: int = 25) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """People near and far from what was detected, crowds, unlabelled ones, ties, duplicates."""
    rng = np.random.default_rng(seed)
    images, annotations, results = [], [], []
    for image in rng.permutation(1000)[:count].tolist():
        images.append({"id": image, "width": 200, "height": 200})
        for _ in range(rng.integers(0, 5)):
            points = np.column_stack([rng.uniform(0, 200, (K, 2)), rng.integers(0, 3, K)])
            if rng.random() < 0.15:
                points[:, 2] = 0
            x, y = points[:, :2].min(axis=0)
            width, height = np.ptp(points[:, :2], axis=0)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "keypoints": points.ravel().tolist(),
                    "num_keypoints": int((points[:, 2] > 0).sum()),
                    "iscrowd": int(rng.random() < 0.1),
                    "bbox": [x, y, width, height],
                    "area": 0.5 * width * height,
                }
            )
            for _ in range(rng.integers(0, 9)):
                guess = points.copy()
                guess[:, :2] += rng.normal(0, rng.choice([1, 6, 15, 40]), (K, 2))
                guess[:, 2] = 1
                results.append(
                    {
                        "image_id": image,
                        "keypoints": guess.ravel().tolist(),
                        "score": float(rng.integers(1, 12) / 12),
                    }
                )
    return {"images": images, "annotations": annotations}, results


def part(document: dict[str, Any], results: list[dict[str, Any]], ids: set[int]) -> float:
    """Pycocotools' AP of some of the images."""
    kept = {
        "images": [image for image in document["images"] if image["id"] in ids],
        "annotations": [row for row in document["annotations"] if row["image_id"] in ids],
    }
    inside = [row for row in results if row["image_id"] in ids]
    return evaluate_predictions(kept, inside, SKELETON, evaluator="pycocotools")["AP"]


@pytest.mark.parametrize("seed", range(20))
def test_equals_pycocotools(seed):
    document, results = random_set(seed)
    expected = evaluate_predictions(document, results, SKELETON, evaluator="pycocotools")["AP"]
    assert match_people(document, results, SKELETON).ap() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_parts_and_their_union(seed):
    document, results = random_set(seed)
    matches = match_people(document, results, SKELETON)
    ids = sorted(image["id"] for image in document["images"])
    first, second = range(10), range(10, len(ids))
    for places in (first, second):
        expected = part(document, results, {ids[place] for place in places})
        assert matches.take(places).ap() == pytest.approx(expected, abs=1e-9)
        weights = np.zeros((1, len(ids)), np.int64)
        weights[0, list(places)] = 1
        assert matches.scores_of(weights)[0] == pytest.approx(expected, abs=1e-9)
    joined = matches.take(first).join(matches.take(second))
    assert joined.ap() == matches.ap()


@given(st.data())
def test_some_of_the_pictures_are_taken_one_by_one(data: st.DataObject) -> None:
    """Against a plain reference: the detections of each picture, looked for one after another."""
    counts = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=8))
    detections = sum(counts)
    flags = np.arange(len(THRESHOLDS) * detections).reshape(len(THRESHOLDS), detections)
    matches = Matches(
        pictures=np.repeat(np.arange(len(counts)), counts),
        scores=np.arange(detections, dtype=np.float64),
        right=flags % 3 == 0,
        wrong=flags % 3 == 1,
        people=np.arange(len(counts)) * 10,
    )
    some = data.draw(st.lists(st.integers(0, len(counts) - 1), unique=True))
    found = [(place, row) for place, picture in enumerate(some)
             for row in range(detections) if matches.pictures[row] == picture]  # fmt: skip
    taken = matches.take(some)
    rows = [row for _, row in found]
    assert taken.pictures.tolist() == [place for place, _ in found]
    assert taken.scores.tolist() == rows
    assert taken.right.tolist() == matches.right[:, rows].tolist()
    assert taken.wrong.tolist() == matches.wrong[:, rows].tolist()
    assert taken.people.tolist() == [10 * picture for picture in some]


def test_a_resample_counts_a_picture_as_often_as_it_is_in_it():
    """Written out: the same pictures under new ids. Distinct scores, so that order is no matter."""
    document, results = random_set(5)
    rng = np.random.default_rng(0)
    for result, score in zip(results, rng.permutation(len(results)), strict=True):
        result["score"] = float(score)
    matches = match_people(document, results, SKELETON)
    ids = sorted(image["id"] for image in document["images"])
    weights = rng.multinomial(len(ids), np.full(len(ids), 1 / len(ids)), size=4)
    for row, value in zip(weights, matches.scores_of(weights), strict=True):
        images, annotations, copies = [], [], []
        for image, times in zip(ids, row.tolist(), strict=True):
            for time in range(times):
                new = 10_000 * time + image
                images.append({"id": new, "width": 200, "height": 200})
                for found in (a for a in document["annotations"] if a["image_id"] == image):
                    annotations.append({**found, "id": len(annotations) + 1, "image_id": new})
                for found in (r for r in results if r["image_id"] == image):
                    copies.append({**found, "image_id": new})
        whole = {"images": images, "annotations": annotations}
        # Copies tie with each other; pycocotools ranks them one by one, a resample all at once.
        expected = evaluate_predictions(whole, copies, SKELETON)["AP"]
        assert value == pytest.approx(expected, abs=5e-3)


def test_nobody_to_find():
    document: dict[str, Any] = {"images": [{"id": 1}], "annotations": []}
    result = {"image_id": 1, "keypoints": [1.0, 2.0, 1.0] * K, "score": 0.5}
    assert match_people(document, [result], SKELETON).ap() == -1
    assert match_people(document, [], SKELETON).ap() == -1


def test_the_gain_of_one_network_over_another_is_resampled_on_the_same_pictures() -> None:
    truth, results = random_set(3)
    good = match_people(truth, results, SKELETON)
    none = match_people(truth, [], SKELETON)
    # Against a network that finds nobody, the gain is the AP itself, interval and all.
    assert ap_gain_interval(good, none) == ap_interval(good)
    assert ap_gain_interval(good, good) == (0.0, 0.0)
    low, high = ap_gain_interval(none, good)
    assert (-high, -low) == pytest.approx(ap_interval(good))
    with pytest.raises(UsageError, match="cannot be compared"):
        ap_gain_interval(good, good.take([0, 1]))


def certain(*people: int, right: bool) -> Matches:
    """One detection on each picture, of so many people; all are right, or all wrong."""
    found = np.full((len(THRESHOLDS), len(people)), right)
    count = len(people)
    return Matches(np.arange(count), np.ones(count), found, ~found, np.array(people))


def known(ends: tuple[float, float]) -> bool:
    return not any(map(math.isnan, ends))


@pytest.mark.parametrize("empty", [0, 40])
@pytest.mark.parametrize("count", [1, 2, 9, 10, 11])
def test_few_pictures_with_people_have_no_interval(count: int, empty: int) -> None:
    """Of fewer than ten pictures, whatever else was looked at, nothing is claimed."""
    people = [1] * count + [0] * empty
    perfect, poor = certain(*people, right=True), certain(*people, right=False)
    assert poor.ap() == 0
    assert known(ap_interval(perfect)) == known(ap_gain_interval(perfect, poor)) == (count >= 10)
    if count >= 10 and not empty:
        assert ap_interval(perfect) == pytest.approx((1, 1))
        assert ap_gain_interval(perfect, poor) == pytest.approx((1, 1))


def test_where_nobody_counts_no_network_is_better() -> None:
    nobody = certain(*[0] * 20, right=False)
    assert nobody.ap() == -1
    assert ap_interval(nobody) == (-1, -1)
    assert not known(ap_gain_interval(nobody, nobody))


@pytest.mark.slow
def test_equal_networks_are_seldom_called_different() -> None:
    """Two networks whose finds are drawn alike: an interval of 95 % misses 0 in some 5 %."""
    rng = np.random.default_rng(0)

    def network(pictures: int) -> Matches:
        reached = np.floor(10 * rng.random(pictures))
        right = np.arange(10)[:, None] < reached
        ones = np.ones(pictures, np.int64)
        return Matches(np.arange(pictures), rng.random(pictures), right, ~right, ones)

    for pictures, trials, most in (
        (1, 50, 0),
        (4, 50, 0),
        (9, 50, 0),
        (10, 300, 0.16),
        (64, 200, 0.1),
    ):
        told = [ap_gain_interval(network(pictures), network(pictures)) for _ in range(trials)]
        assert np.mean([low > 0 or high < 0 for low, high in told]) <= most
