"""hotcoco and pycocotools give the same numbers, whatever the people and the predictions."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa_pose.errors import MissingExtraError, UnknownNameError, UsageError
from ofa_pose.pose import SCORED, evaluate_predictions, evaluator_name
from ofa_pose.skeleton import Skeleton, load_skeleton

needs_hotcoco = pytest.mark.skipif(
    importlib.util.find_spec("hotcoco") is None, reason="the extra 'fast' is not installed"
)


def random_set(
    rng: np.random.Generator, joints: int, *, images: int, people: int, crowded: bool
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Draw truth and predictions with everything that evaluators treat apart.

    Crowd regions, people without joints, people of every size, predictions of nobody, the same
    prediction twice, few different scores, far more than the 20 predictions that count.
    """
    ids = rng.permutation(50 * images)[:images].tolist()
    entries = [{"id": i, **({"crowdIndex": float(rng.random())} if crowded else {})} for i in ids]
    objects, results = [], []
    for image in ids:
        for _ in range(int(rng.integers(0, people + 1))):
            side = float(rng.choice([12, 40, 70, 150, 400]))
            points = np.column_stack(
                [rng.uniform(0, side, (joints, 2)) + 100, rng.integers(0, 3, joints)]
            )
            kind = rng.random()
            if kind < 0.2:
                points[:] = 0
            objects.append(
                {
                    "id": len(objects) + 1,
                    "image_id": image,
                    "category_id": 1,
                    "keypoints": points.ravel().tolist(),
                    "num_keypoints": int((points[:, 2] > 0).sum()),
                    "iscrowd": int(0.1 < kind < 0.3),
                    "bbox": [100.0, 100.0, side, side],
                    "area": side**2 * float(rng.uniform(0.3, 1)),
                }
            )
            for _ in range(int(rng.choice([0, 1, 2, 30]))):
                moved = points + 0.0
                moved[:, :2] += rng.normal(0, rng.choice([0, 0.02, 0.1]) * side, (joints, 2))
                moved[:, 2] = 1
                score = float(rng.integers(0, 4)) / 4
                results += [result(image, moved, score)] * int(rng.choice([1, 1, 2]))
        if rng.random() < 0.3:
            stray = np.column_stack([rng.uniform(0, 500, (joints, 2)), np.ones(joints)])
            results.append(result(image, stray, 0.5))
    order = rng.permutation(len(results))
    return {"images": entries, "annotations": objects}, [results[i] for i in order]


def result(image: int, points: np.ndarray, score: float) -> dict[str, Any]:
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return {
        "image_id": image,
        "category_id": 1,
        "keypoints": points.ravel().tolist(),
        "score": score,
        "bbox": [*low.tolist(), *(high - low).tolist()],
    }


@needs_hotcoco
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(1, 6),
    people=st.integers(0, 8),
    skeleton=st.sampled_from([load_skeleton("coco"), load_skeleton("crowdpose")]),
)
def test_both_evaluators_agree(seed: int, images: int, people: int, skeleton: Skeleton) -> None:
    truth, found = random_set(
        np.random.default_rng(seed),
        skeleton.num_joints,
        images=images,
        people=people,
        crowded=skeleton.name == "crowdpose",
    )
    slow, fast = (
        evaluate_predictions(truth, found, skeleton, evaluator=name)
        for name in ("pycocotools", "hotcoco")
    )
    assert slow.keys() == fast.keys()
    assert len(slow) == (9 if skeleton.name == "crowdpose" else 10)
    np.testing.assert_allclose(list(fast.values()), list(slow.values()), rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_the_best_of_a_picture_are_all_that_counts(seed: int) -> None:
    truth, found = random_set(
        np.random.default_rng(seed), 17, images=5, people=8, crowded=bool(seed % 2)
    )
    best: list[dict[str, Any]] = []
    for image in truth["images"]:
        own = [entry for entry in found if entry["image_id"] == image["id"]]
        assert SCORED.best is not None
        best += sorted(own, key=lambda entry: -entry["score"])[: SCORED.best]
    assert len(best) < len(found)
    skeleton = load_skeleton("coco")
    everybody = evaluate_predictions(truth, found, skeleton, evaluator="pycocotools")
    assert evaluate_predictions(truth, best, skeleton, evaluator="pycocotools") == everybody


@needs_hotcoco
def test_the_random_sets_hold_what_they_are_for() -> None:
    truth, found = random_set(np.random.default_rng(1), 17, images=6, people=8, crowded=False)
    objects = truth["annotations"]
    assert any(entry["iscrowd"] for entry in objects)
    assert any(entry["num_keypoints"] == 0 and not entry["iscrowd"] for entry in objects)
    of_image = [
        sum(entry["image_id"] == image["id"] for entry in found) for image in truth["images"]
    ]
    assert max(of_image) > 20
    assert len({entry["score"] for entry in found}) < len(found)
    assert any(found.count(entry) > 1 for entry in found)
    scores = evaluate_predictions(truth, found, load_skeleton("coco"))
    assert all(0 < value < 1 for value in scores.values()), scores


@pytest.mark.parametrize("evaluator", ["pycocotools", pytest.param("hotcoco", marks=needs_hotcoco)])
def test_ids_of_any_size_and_nothing_found(evaluator: str) -> None:
    rng = np.random.default_rng(3)
    truth, found = random_set(rng, 17, images=3, people=4, crowded=False)
    skeleton = load_skeleton("coco")
    expected = evaluate_predictions(truth, found, skeleton, evaluator="pycocotools")

    def huge(entries: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
        return [{**entry, key: entry[key] * 10**30 - 10**29} for entry in entries]

    truth = {
        "images": huge(truth["images"], "id"),
        "annotations": huge(truth["annotations"], "image_id"),
    }
    found = huge(found, "image_id")
    scores = evaluate_predictions(truth, found, skeleton, evaluator=evaluator)
    assert scores == pytest.approx(expected, abs=1e-9)
    scores = evaluate_predictions(truth, [], skeleton, evaluator=evaluator)
    assert (scores["AP"], scores["AR"]) == (0, 0)


def test_names_of_evaluators(monkeypatch: pytest.MonkeyPatch) -> None:
    assert evaluator_name("pycocotools") == "pycocotools"
    with pytest.raises(UnknownNameError, match="did you mean 'hotcoco'"):
        evaluator_name("hotcooc")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert evaluator_name() == "pycocotools"
    with pytest.raises(MissingExtraError, match="ofa-pose\\[fast\\]"):
        evaluator_name("hotcoco")


def test_cuts_in_the_wrong_order() -> None:
    truth = {"images": [{"id": 1, "crowdIndex": 0.5}], "annotations": []}
    with pytest.raises(UsageError, match="crowd cuts must rise"):
        evaluate_predictions(truth, [], load_skeleton("crowdpose"), crowd_cuts=(0.8, 0.2))
