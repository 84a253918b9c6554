"""How well a network's tags tell people apart, and how much AP is lost where they do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

from ofa_pose.data import Scene, SceneSource
from ofa_pose.evaluate.detections import Detections, results_of
from ofa_pose.evaluate.oracle import Truth, people_by_truth, people_of_true_peaks
from ofa_pose.evaluate.people import check_joints, person_in_picture, run_passes
from ofa_pose.evaluate.pictures import PictureBatch, picture_batches
from ofa_pose.evaluate.predict import Progress, labelled, mapper_of
from ofa_pose.models import Precision
from ofa_pose.models.eval_mode import in_eval_mode
from ofa_pose.pose import (
    SCORED,
    DecodeSettings,
    Person,
    decode_outputs,
    evaluate_predictions,
    person_to_result,
)
from ofa_pose.pose.fuse import zoomed_maps
from ofa_pose.skeleton import Skeleton
from ofa_pose.space import SearchSpace


@dataclass(frozen=True)
class TagDiagnostics:
    """Distances of tags at the labelled joints, and AP with and without help in grouping.

    Distances are NaN where there is nothing to measure.

    Attributes:
        within: mean distance of a joint's tag to the mean tag of its person, over people of two
            or more labelled joints.
        between: mean distance of the mean tags of two people in one picture, over all pairs.
        nearest: mean distance of a person's mean tag to the nearest other's in the picture.
        confused: share of the pairs whose mean tags are nearer than `DecodeSettings.tag_distance`,
            below which decoding takes two joints for one person's.
        people: how many people `within` is the mean of.
        pairs: how many pairs `between` is the mean of.
        ap: OKS-AP of the network as it is, a fraction.
        peaks_ap: OKS-AP if the candidates that are no labelled joint, or a second one of the same,
            are taken away and the others grouped by the tags.
        oracle_ap: OKS-AP if the candidates are grouped by the labels instead of the tags.
    """

    within: float
    between: float
    nearest: float
    confused: float
    people: int
    pairs: int
    ap: float
    peaks_ap: float
    oracle_ap: float

    @property
    def lost_to_peaks(self) -> float:
        """How much AP false and double peaks lose."""
        return self.peaks_ap - self.ap

    @property
    def lost_to_tags(self) -> float:
        """How much AP the tags lose besides: what grouping by the labels gains on true peaks."""
        return self.oracle_ap - self.peaks_ap


def tag_diagnostics(
    network: nn.Module,
    source: SceneSource,
    *,
    resolution: int,
    space: SearchSpace,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    batch_size: int = 8,
    precision: Precision = "float32",
    settings: DecodeSettings = SCORED,
    progress: Progress | None = None,
) -> TagDiagnostics:
    """Return tag distances, and the AP with help from the labels, over labelled scenes.

    Distances are those of the network's plain pass, one tag a joint, read at the cell of the tag
    map that the label lies in, as the tag loss does. One process measures all scenes.

    Args:
        network: as in `predict_scenes`.
        source: labelled scenes.
        resolution: pixels, usually the arch's.
        space: its pixel mean and deviation are used.
        flip: the APs with the flip test.
        scales: the APs with the multi-scale test; as in `predict_scenes`.
        batch_size: most pictures a batch.
        precision: as in `predict_scenes`.
        settings: constants of decoding.
        progress: called after every batch with the number of pictures done.

    Raises:
        DataError: nobody is labelled in the source, or pictures that cannot be used.
        SkeletonError: the network predicts another number of joints.
        WeightsError: the network gives NaN or infinite values.
    """
    scenes = _Remembered(source)
    spread = _Spread(settings.tag_distance)
    found: list[Detections] = []
    true: list[Detections] = []
    grouped: list[Detections] = []
    mapper = mapper_of(
        network,
        pixel_mean=space.pixel_mean,
        pixel_std=space.pixel_std,
        precision=precision,
    )
    with in_eval_mode(network):
        for batch in picture_batches(
            scenes, resolution=resolution, batch_size=batch_size, scales=scales
        ):
            passes = run_passes(mapper, batch, flip=flip)
            (outputs, mirrored), *others = passes
            check_joints(outputs, source.skeleton)
            people = decode_outputs(
                outputs,
                source.skeleton,
                size=batch.size,
                flipped_outputs=mirrored,
                other_scales=others,
                settings=settings,
            )
            truths = [
                _truth(scenes.seen[image_id], matrix, source.skeleton)
                for image_id, matrix in zip(batch.image_ids, batch.to_picture, strict=True)
            ]
            for maps, truth in zip(_tag_maps(outputs), truths, strict=True):
                spread.add(maps, truth, size=batch.size)
            found += _detections(batch, people)
            zoomed = zoomed_maps(passes, source.skeleton, size=batch.size)
            helped = list(zip(zoomed, truths, strict=True))
            true += _detections(
                batch,
                [
                    people_of_true_peaks(
                        heatmaps, tags, truth, skeleton=source.skeleton, settings=settings
                    )
                    for (heatmaps, tags), truth in helped
                ],
            )
            grouped += _detections(
                batch,
                [
                    people_by_truth(heatmaps, tags, truth, settings)
                    for (heatmaps, tags), truth in helped
                ],
            )
            if progress is not None:
                progress(len(found))
    truth = labelled(source)
    ap, peaks_ap, oracle_ap = (
        evaluate_predictions(truth, results_of(people), source.skeleton)["AP"]
        for people in (found, true, grouped)
    )
    return spread.diagnostics(ap=ap, peaks_ap=peaks_ap, oracle_ap=oracle_ap)


class _Remembered:
    """A source that keeps the labels of the scenes that were read, without their pictures."""

    def __init__(self, source: SceneSource) -> None:
        self.source = source
        self.skeleton = source.skeleton
        self.seen: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Scene:
        scene = self.source[index]
        self.seen[scene.image_id] = scene.keypoints, scene.areas
        return scene

    def ground_truth(self) -> dict[str, Any]:
        return self.source.ground_truth()

    def fingerprint(self) -> str:
        return self.source.fingerprint()


@dataclass
class _Spread:
    """Gathers distances, picture by picture."""

    tag_distance: float
    within: list[float] = field(default_factory=list)
    between: list[float] = field(default_factory=list)
    nearest: list[float] = field(default_factory=list)

    def add(self, tags: np.ndarray, truth: Truth, *, size: tuple[int, int]) -> None:
        """Add a picture: tags `(K, h, w)` of an input of `size` (H, W)."""
        _, height, width = tags.shape
        means = []
        for person in truth.keypoints:
            x, y = person[:, 0], person[:, 1]
            inside = (x >= 0) & (y >= 0) & (x < size[1]) & (y < size[0])
            joints = np.flatnonzero((person[:, 2] > 0) & inside)
            if len(joints) == 0:
                continue
            rows = (y[joints] * height / size[0]).astype(np.int64)
            columns = (x[joints] * width / size[1]).astype(np.int64)
            own = tags[joints, rows, columns].astype(np.float64)
            means.append(own.mean())
            if len(joints) > 1:
                self.within.append(float(np.abs(own - own.mean()).mean()))
        if len(means) > 1:
            apart = np.abs(np.subtract.outer(means, means))
            self.between += apart[np.triu_indices(len(means), 1)].tolist()
            np.fill_diagonal(apart, np.inf)
            self.nearest += apart.min(axis=1).tolist()

    def diagnostics(self, *, ap: float, peaks_ap: float, oracle_ap: float) -> TagDiagnostics:
        """Return the means, beside the three APs."""
        return TagDiagnostics(
            within=_mean(self.within),
            between=_mean(self.between),
            nearest=_mean(self.nearest),
            confused=_mean([float(apart < self.tag_distance) for apart in self.between]),
            people=len(self.within),
            pairs=len(self.between),
            ap=ap,
            peaks_ap=peaks_ap,
            oracle_ap=oracle_ap,
        )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _tag_maps(outputs: Sequence[np.ndarray]) -> np.ndarray:
    """Return `(N, K, h, w)` tags of the first output."""
    first = outputs[0]
    return first[:, first.shape[1] // 2 :]


def _truth(labels: tuple[np.ndarray, np.ndarray], matrix: np.ndarray, skeleton: Skeleton) -> Truth:
    """Return a picture's labels in pixels of the network's input; `matrix` leads back."""
    points, areas = labels
    keypoints = points.astype(np.float64)
    backward = np.linalg.inv(matrix[:, :2])
    keypoints[..., :2] = (keypoints[..., :2] - matrix[:, 2]) @ backward.T
    scales = np.sqrt(np.maximum(areas, 0) * abs(np.linalg.det(backward)))
    return Truth(keypoints, 2 * scales[:, None] * np.array(skeleton.sigmas))


def _detections(batch: PictureBatch, pictures: Sequence[Sequence[Person]]) -> list[Detections]:
    return [
        Detections(
            place,
            image_id,
            tuple(
                person_to_result(person_in_picture(person, matrix), image_id) for person in people
            ),
        )
        for place, image_id, matrix, people in zip(
            batch.places, batch.image_ids, batch.to_picture, pictures, strict=True
        )
    ]
