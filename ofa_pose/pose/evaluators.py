"""Precision and recall over OKS, by pycocotools or by hotcoco, which give the same numbers."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, get_args

import numpy as np

from ofa_pose.errors import MissingExtraError, UnknownNameError

EvaluatorName = Literal["auto", "pycocotools", "hotcoco"]
CATEGORY = 1
"""Id of the one category, a person."""


@dataclass(frozen=True)
class Curves:
    """An accumulated evaluation; -1 marks what has no objects.

    Attributes:
        precision: (T, R, A): by threshold of OKS (0.5, 0.55 … 0.95), recall and size of object
            (all; and, where sizes were asked for, medium, large).
        recall: (T, A).
    """

    precision: np.ndarray
    recall: np.ndarray


@dataclass(frozen=True)
class Matchable:
    """What is evaluated, every list in COCO's form and complete.

    Attributes:
        images: with ids that sort as they shall be walked through.
        objects: the truth: id from 1, area, iscrowd, bbox, num_keypoints.
        results: likewise, with a score.
        sigmas: K of the skeleton.
        sized: whether medium and large objects are told apart.
    """

    images: Sequence[Mapping[str, Any]]
    objects: Sequence[Mapping[str, Any]]
    results: Sequence[Mapping[str, Any]]
    sigmas: Sequence[float]
    sized: bool


def evaluator_name(wanted: str = "auto") -> str:
    """Return which evaluator is used: `auto` is hotcoco where it is installed, else pycocotools.

    Raises:
        UnknownNameError: there is no such evaluator.
        MissingExtraError: hotcoco is wanted and not installed.
    """
    if wanted not in get_args(EvaluatorName):
        raise UnknownNameError("evaluator", wanted, get_args(EvaluatorName))
    installed = importlib.util.find_spec("hotcoco") is not None
    if wanted == "hotcoco" and not installed:
        raise MissingExtraError(
            "the evaluator hotcoco comes with an extra; install it: pip install 'ofa-pose[fast]'"
        )
    if wanted == "auto":
        return "hotcoco" if installed else "pycocotools"
    return wanted


def curves_of(
    people: Matchable, *, subsets: Mapping[str, set[int]], evaluator: str = "auto"
) -> tuple[Curves, dict[str, Curves]]:
    """Evaluate all images, and some of them by themselves.

    Args:
        people: what is evaluated.
        subsets: name to ids of images; one without any is left out of what is returned.
        evaluator: as in `evaluator_name`.

    Raises:
        UnknownNameError: there is no such evaluator.
        MissingExtraError: it is not installed.
    """
    subsets = {name: members for name, members in subsets.items() if members}
    if evaluator_name(evaluator) == "hotcoco":
        return _by_hotcoco(people, subsets)
    return _by_pycocotools(people, subsets)


def _by_pycocotools(
    people: Matchable, subsets: Mapping[str, set[int]]
) -> tuple[Curves, dict[str, Curves]]:
    import pycocotools.coco
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        evaluation: Any = COCOeval(*_indexed(people, pycocotools.coco), iouType="keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(people.sigmas)
        _set_sizes(evaluation, people)
        evaluation.evaluate()
        evaluation.accumulate()
        # One category, and one size where there are subsets: evalImgs lists images, so that
        # nobody is matched a second time.
        whole, parts = evaluation.params.imgIds, {}
        for name, members in subsets.items():
            kept = [index for index, image in enumerate(whole) if image in members]
            part: Any = COCOeval(iouType="keypoints")
            part.params = copy.copy(evaluation.params)
            part.params.imgIds = [whole[index] for index in kept]
            part._paramsEval = part.params
            part.evalImgs = [
                evaluation.evalImgs[size * len(whole) + index]
                for size in range(len(part.params.areaRng))
                for index in kept
            ]
            part.accumulate()
            parts[name] = _curves(part)
    return _curves(evaluation), parts


def _by_hotcoco(
    people: Matchable, subsets: Mapping[str, set[int]]
) -> tuple[Curves, dict[str, Curves]]:
    import hotcoco

    truth, found = _indexed(people, hotcoco)

    def evaluate(images: set[int] | None) -> Curves:
        evaluation: Any = hotcoco.COCOeval(truth, found, "keypoints")
        evaluation.params.kpt_oks_sigmas = list(map(float, people.sigmas))
        _set_sizes(evaluation, people)
        if images is not None:
            evaluation.params.imgIds = sorted(images)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says that these sigmas are not COCO's
            evaluation.evaluate()
            evaluation.accumulate()
        return _curves(evaluation)

    return evaluate(None), {name: evaluate(members) for name, members in subsets.items()}


def _indexed(people: Matchable, module: ModuleType) -> list[Any]:
    """Return truth and results as the evaluator's own indexed sets."""
    sets = []
    for entries in (people.objects, people.results):
        coco = module.COCO()
        coco.dataset = {
            "images": list(people.images),
            "annotations": list(entries),
            "categories": [{"id": CATEGORY, "name": "person"}],
        }
        coco.createIndex()
        sets.append(coco)
    return sets


def _set_sizes(evaluation: Any, people: Matchable) -> None:
    if not people.sized:
        evaluation.params.areaRng = evaluation.params.areaRng[:1]
        evaluation.params.areaRngLbl = evaluation.params.areaRngLbl[:1]


def _curves(evaluation: Any) -> Curves:
    precision, recall = (np.asarray(evaluation.eval[key]) for key in ("precision", "recall"))
    return Curves(precision=precision[:, :, 0, :, 0], recall=recall[:, 0, :, 0])
