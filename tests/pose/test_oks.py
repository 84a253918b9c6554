"""OKS-AP: values worked out by hand, and pycocotools called directly gives the same numbers."""

import contextlib
import copy
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ofa_pose.errors import DataError
from ofa_pose.pose.decode import Person
from ofa_pose.pose.oks import evaluate_predictions, person_to_result
from ofa_pose.skeleton import load_skeleton

COCO17 = load_skeleton("coco")
CROWDPOSE = load_skeleton("crowdpose")
AREA = 5000.0


def annotation(image_id: int, x: float, *, joints: int = 17, **changes: Any) -> dict[str, Any]:
    """A person whose joints all lie at (x, 50)."""
    return {
        "id": image_id * 10,
        "image_id": image_id,
        "category_id": 1,
        "keypoints": [x, 50, 2] * joints,
        "num_keypoints": joints,
        "bbox": [x - 25, 0, 50, 100],
        "area": AREA,
        "iscrowd": 0,
        **changes,
    }


def prediction(image_id: int, x: float, *, joints: int = 17, score: float = 0.5) -> dict[str, Any]:
    keypoints = [x, 50, 1] * joints
    return {
        "image_id": image_id,
        "category_id": 1,
        "keypoints": keypoints,
        "score": score,
        "bbox": [x - 25, 0, 50, 100],
    }


def truth(*annotations: dict[str, Any], **image: Any) -> dict[str, Any]:
    ids = sorted({entry["image_id"] for entry in annotations})
    return {"images": [{"id": i, **image} for i in ids], "annotations": list(annotations)}


def test_a_perfect_prediction_scores_one() -> None:
    scores = evaluate_predictions(truth(annotation(1, 100)), [prediction(1, 100)], COCO17)
    assert list(scores) == [
        *("AP", "AP50", "AP75", "AP_medium", "AP_large"),
        *("AR", "AR50", "AR75", "AR_medium", "AR_large"),
    ]
    assert [scores[key] for key in ("AP", "AR", "AP_medium")] == pytest.approx([1, 1, 1])
    assert scores["AP_large"] == -1  # 5000 lies between 32^2 and 96^2: there is no large object


def test_a_shifted_joint_scores_by_its_sigma() -> None:
    # Only the nose is labelled. OKS = exp(-d^2 / (2 area (2 sigma)^2)) = 0.72 is above the
    # thresholds 0.5, 0.55, 0.6, 0.65 and 0.7: five of ten.
    distance = math.sqrt(-math.log(0.72) * 2 * AREA * (2 * 0.026) ** 2)
    nose = annotation(1, 100)
    nose["keypoints"][3:] = [0] * 48
    scores = evaluate_predictions(truth(nose), [prediction(1, 100 + distance)], COCO17)
    assert scores["AP"] == pytest.approx(0.5)
    assert scores["AP50"] == pytest.approx(1)
    assert scores["AP75"] == 0


def test_crowdpose_takes_the_area_from_the_box() -> None:
    # Box 50 x 100, area 0.53 * 5000. The left shoulder's sigma is 0.079.
    distance = math.sqrt(-math.log(0.72) * 2 * 0.53 * 5000 * (2 * 0.079) ** 2)
    shoulder = annotation(1, 100, joints=14)
    shoulder["keypoints"][3:] = [0] * 39
    shoulder["area"] = 9 * AREA  # counts for nothing
    moved = [prediction(1, 100 + distance, joints=14)]
    scores = evaluate_predictions(truth(shoulder, crowdIndex=0.5), moved, CROWDPOSE)
    assert list(scores) == [
        *("AP", "AP50", "AP75", "AR", "AR50", "AR75"),
        *("AP_easy", "AP_medium", "AP_hard"),
    ]
    assert [scores[key] for key in ("AP", "AR", "AP_medium")] == pytest.approx([0.5] * 3)
    assert [scores[key] for key in ("AP50", "AP75", "AR50", "AR75")] == pytest.approx([1, 0] * 2)
    assert scores["AP_easy"] == scores["AP_hard"] == -1


def test_crowd_cuts_decide_what_is_easy() -> None:
    ground_truth = truth(*[annotation(i, 100, joints=14) for i in range(1, 5)])
    for image, index in zip(ground_truth["images"], (0.15, 0.2, 0.79, 0.8), strict=True):
        image["crowdIndex"] = index
    found = [prediction(i, 100, joints=14) for i in (1, 3, 4)]
    scores = evaluate_predictions(ground_truth, found, CROWDPOSE)
    assert [scores["AP_easy"], scores["AP_hard"]] == pytest.approx([1, 1])
    # One of two objects: precision is 1 at the recalls 0, 0.01 ... 0.5, that is at 51 of 101.
    assert scores["AP_medium"] == pytest.approx(51 / 101)
    scores = evaluate_predictions(ground_truth, found, CROWDPOSE, crowd_cuts=(0.1, 0.8))
    assert scores["AP_easy"] == -1
    # Two of three.
    assert scores["AP_medium"] == pytest.approx(67 / 101)


def test_without_crowd_indices_crowdpose_people_are_split_by_size() -> None:
    ground_truth = truth(annotation(1, 100, joints=14))
    scores = evaluate_predictions(ground_truth, [prediction(1, 100, joints=14)], CROWDPOSE)
    assert [scores["AP"], scores["AP_medium"]] == pytest.approx([1, 1])
    assert "AP_hard" not in scores


def test_no_predictions_score_zero() -> None:
    scores = evaluate_predictions(truth(annotation(1, 100)), [], COCO17)
    assert scores["AP"] == scores["AR"] == 0
    scores = evaluate_predictions(truth(annotation(1, 9, joints=14), crowdIndex=0), [], CROWDPOSE)
    assert scores["AP"] == scores["AP_easy"] == 0


def test_nothing_to_find_scores_minus_one() -> None:
    empty = {"images": [{"id": 1}], "annotations": []}
    assert set(evaluate_predictions(empty, [prediction(1, 5)], COCO17).values()) == {-1.0}
    assert set(evaluate_predictions({"images": []}, [], COCO17).values()) == {-1.0}


def test_crowds_and_people_without_joints_neither_count_nor_punish() -> None:
    crowd = annotation(1, 300, iscrowd=1, id=2)
    unlabelled = annotation(1, 500, id=3, keypoints=[0] * 51, num_keypoints=0)
    ground_truth = truth(annotation(1, 100), crowd, unlabelled)
    found = [prediction(1, x, score=0.9) for x in (300, 500)] + [prediction(1, 100)]
    scores = evaluate_predictions(ground_truth, found, COCO17)
    assert scores["AP"] == pytest.approx(1)


def test_a_missing_count_flag_or_box_is_filled_in() -> None:
    bare = annotation(1, 100)
    for key in ("num_keypoints", "iscrowd", "bbox", "category_id", "id"):
        del bare[key]
    boxed = {"image_id": 1, "bbox": [300, 0, 50, 100], "area": AREA}  # a person without joints
    scores = evaluate_predictions(truth(bare, boxed), [prediction(1, 100)], COCO17)
    assert scores["AP"] == pytest.approx(1)


def test_an_annotation_with_id_zero_counts() -> None:
    scores = evaluate_predictions(truth(annotation(1, 100, id=0)), [prediction(1, 100)], COCO17)
    assert scores["AP"] == pytest.approx(1)


def test_nothing_is_printed_and_neither_argument_is_changed(capsys) -> None:
    shoulder = annotation(1, 100, joints=14)
    del shoulder["area"]
    ground_truth, found = truth(shoulder, crowdIndex=0.5), [prediction(1, 100, joints=14)]
    before = copy.deepcopy((ground_truth, found))
    evaluate_predictions(ground_truth, found, CROWDPOSE)
    assert (ground_truth, found) == before
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("person", "found", "message"),
    [
        (annotation(1, 5, joints=14), prediction(1, 5), "annotation 10 has 42 keypoint numbers"),
        (annotation(1, 5, area=None), prediction(1, 5), "annotation 10 has no area, which"),
        (annotation(1, 5), prediction(1, 5, joints=14), "prediction 1 has 42 keypoint numbers"),
        (annotation(1, 5), prediction(7, 5), "is for image 7, which the ground truth does not"),
        (annotation(1, 5), prediction(1, math.nan), "prediction 1 holds NaN"),
        (annotation(1, 5), prediction(1, 5, score=math.inf), "prediction 1 holds NaN or infinite"),
        (
            annotation(1, 5),
            {**prediction(1, 5), "score": "high"},
            "prediction 1 holds something else",
        ),
        (annotation(1, math.nan), prediction(1, 5), "annotation 10 holds NaN"),
        (annotation(1, 5, area=math.nan), prediction(1, 5), "annotation 10 holds NaN"),
        (annotation(1, 5, area="big"), prediction(1, 5), "annotation 10 holds something else"),
    ],
)
def test_what_cannot_be_evaluated_is_named(person, found, message) -> None:
    with pytest.raises(DataError, match=message):
        evaluate_predictions(truth(person), [found], COCO17)


def test_crowdpose_needs_a_box() -> None:
    person = annotation(1, 5, joints=14, bbox=None)
    with pytest.raises(DataError, match="annotation 10 has no bbox, which"):
        evaluate_predictions(truth(person), [], CROWDPOSE)


def test_a_result_spans_the_joints_that_were_found() -> None:
    keypoints = np.zeros((17, 3))
    keypoints[3] = [10, 20, 0.5]
    keypoints[5] = [40, 80, 0.25]
    result = person_to_result(Person(keypoints=keypoints, score=0.75), 42)
    assert result["image_id"] == 42
    assert result["bbox"] == [10, 20, 30, 60]
    assert result["area"] == 1800
    assert result["score"] == 0.75
    assert result["keypoints"][9:12] == [10, 20, 0.5]
    assert len(result["keypoints"]) == 51
    json.dumps(result)


def direct(ground_truth, predictions, sigmas, images=None) -> COCOeval:
    """Call pycocotools as its own examples do."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = copy.deepcopy(ground_truth)
        coco.createIndex()
        results = coco.loadRes(copy.deepcopy(predictions))
        evaluation = COCOeval(coco, results, "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(sigmas)
        if images is not None:
            evaluation.params.imgIds = images
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def crowdpose_directly(ground_truth, predictions) -> list[float]:
    """Return CrowdPose's nine numbers, from one run over all images and one for each split."""
    ground_truth = copy.deepcopy(ground_truth)
    for entry in ground_truth["annotations"]:
        entry["area"] = 0.53 * entry["bbox"][2] * entry["bbox"][3]
    stats = direct(ground_truth, predictions, CROWDPOSE.sigmas).stats
    expected = [stats[index] for index in (0, 1, 2, 5, 6, 7)]
    for low, high in ((-1, 0.2), (0.2, 0.8), (0.8, 2)):
        images = [i["id"] for i in ground_truth["images"] if low <= i["crowdIndex"] < high]
        expected.append(direct(ground_truth, predictions, CROWDPOSE.sigmas, images).stats[0])
    return expected


def load(folder: Path, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    folder = folder / "annotations_only" / "xtcocoapi"
    return (
        json.loads((folder / f"example_{name}_val.json").read_text()),
        json.loads((folder / f"example_{name}_preds.json").read_text()),
    )


@pytest.mark.data
def test_coco_equals_pycocotools_on_all_ten_numbers(test_data: Path) -> None:
    ground_truth, predictions = load(test_data, "coco")
    scores = evaluate_predictions(ground_truth, predictions, COCO17)
    expected = direct(ground_truth, predictions, COCO17.sigmas).stats
    assert len(scores) == 10
    np.testing.assert_array_equal(list(scores.values()), expected)


@pytest.mark.data
def test_crowdpose_equals_pycocotools_on_all_nine_numbers(test_data: Path) -> None:
    ground_truth, predictions = load(test_data, "crowdpose")
    scores = evaluate_predictions(ground_truth, predictions, CROWDPOSE)
    assert len(scores) == 9
    np.testing.assert_array_equal(
        list(scores.values()), crowdpose_directly(ground_truth, predictions)
    )


@pytest.mark.data
def test_crowdpose_equals_pycocotools_on_disturbed_annotations(test_data: Path) -> None:
    path = test_data / "annotations_only" / "crowdpose_val.json"
    ground_truth = json.loads(path.read_text())
    ground_truth["images"] = ground_truth["images"][:200]
    ids = {image["id"] for image in ground_truth["images"]}
    people = [entry for entry in ground_truth["annotations"] if entry["image_id"] in ids]
    ground_truth["annotations"] = people
    rng = np.random.default_rng(0)
    predictions = []
    for entry in people + people[::7]:  # every seventh is found twice
        keypoints = np.array(entry["keypoints"], dtype=float).reshape(-1, 3)
        keypoints[:, :2] += rng.normal(0, rng.uniform(0, 0.08) * entry["bbox"][3], (14, 2))
        person = Person(keypoints=keypoints, score=rng.uniform())
        predictions.append(person_to_result(person, entry["image_id"]))
    scores = evaluate_predictions(ground_truth, predictions, CROWDPOSE)
    np.testing.assert_array_equal(
        list(scores.values()), crowdpose_directly(ground_truth, predictions)
    )
    assert 0.2 < scores["AP"] < 0.8


@pytest.mark.parametrize("key", ["image_id", "keypoints", "score"])
def test_a_prediction_without_what_is_needed(key: str):
    truth = {"images": [{"id": 1}], "annotations": [annotation(1, 50)]}
    kept = {name: value for name, value in prediction(1, 50).items() if name != key}
    with pytest.raises(DataError, match=f"prediction 1 has no {key}"):
        evaluate_predictions(truth, [kept], COCO17)


def test_a_prediction_s_box_may_be_an_array():
    truth = {"images": [{"id": 1}], "annotations": [annotation(1, 50)]}
    boxed = {**prediction(1, 50), "bbox": np.array([25.0, 0.0, 50.0, 100.0])}
    assert evaluate_predictions(truth, [boxed], COCO17)["AP"] == pytest.approx(1)
