"""How good one arch of a supernet is: extract, re-calibrate, predict, score."""

from __future__ import annotations

import contextlib
import copy
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from ofa_pose.data import SceneSource, normalize
from ofa_pose.data.inputs import as_images
from ofa_pose.digest import digest
from ofa_pose.errors import DataError, UsageError
from ofa_pose.evaluate.detections import Detections, detect_together, results_of
from ofa_pose.evaluate.in_blocks import in_blocks
from ofa_pose.evaluate.pictures import PictureBatch, PictureCache, picture_batches
from ofa_pose.evaluate.predict import Progress, labelled, predict_batches
from ofa_pose.evaluate.shard import Shard
from ofa_pose.models import Network, Precision, check_precision, fold_batch_norms
from ofa_pose.models.pointwise import fast_pointwise
from ofa_pose.pose import (
    SCORED,
    DecodeSettings,
    Matches,
    ap_interval,
    evaluate_predictions,
    match_people,
)
from ofa_pose.space import Arch, ArchLike
from ofa_pose.supernet import Supernet, recalibrate

CACHE_BYTES = 1 << 30
"""Memory that resized pictures may take, over all resolutions."""

_ENTERING = threading.Lock()
_OPENCV_BEFORE: list[int] = []
"""OpenCV's threads before anybody scored, once for each who does: the last gives them back."""


class SubnetEvaluator:
    """Scores archs by the AP of their inherited weights; called with an arch by a search.

    A pure function of the supernet's weights, the arch and the scenes: nothing is drawn at
    random, the supernet is not changed. Pictures are read and resized once for each resolution
    and kept as uint8 while they fit into `cache_bytes`; the least recently used give way, and a
    set too large for the bound is read again each time.

    The network that is run has its batch norms folded into its convolutions, which changes its
    outputs by float error only.

    An evaluator can be pickled, for other processes, and takes its scenes and weights along, but
    neither pictures nor `progress`.

    Several ranks share the scored pictures, not those for calibration: each measures all of
    them, so that all have the same statistics without exchanging any.

    Args:
        supernet: whose subnets are scored, on its own device.
        calibration: where batch-norm statistics are measured: training scenes, as they are.
        scenes: labelled scenes that the AP is measured on, held out from training.
        calibration_images: how many, spread evenly over `calibration`.
        batch_size: most pictures a batch.
        flip: score with the flip test (twice the time).
        precision: that pictures are scored in, as in `predict_scenes`; batch norms are measured in
            float32 whatever it is.
        settings: constants of decoding, by default those of `SCORED`.
        cache_bytes: bound of the memory for resized pictures.
        progress: called after every scored batch with the number of pictures done by this rank.
        threads: torch's and OpenCV's while an arch is scored. Sums are split between threads, so
            the last bits depend on their number: by default it is one, and scores are the same on
            any number of cores and in any number of worker processes. None leaves both alone.
        shard: which of the scored pictures are this rank's; the scores are those of all. All
            ranks must then call with the same archs, scenes and weights.

    Raises:
        DataError: nothing to calibrate with, or nobody labelled to score on.
        UsageError: `calibration_images` or `threads` below 1, or no precision of the device.
    """

    def __init__(
        self,
        supernet: Supernet,
        *,
        calibration: SceneSource,
        scenes: SceneSource,
        calibration_images: int = 64,
        batch_size: int = 8,
        flip: bool = False,
        precision: Precision = "float32",
        settings: DecodeSettings | None = None,
        cache_bytes: int = CACHE_BYTES,
        progress: Progress | None = None,
        threads: int | None = 1,
        shard: Shard | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise UsageError(f"scoring needs at least 1 thread, got {threads}")
        check_precision(precision, next(supernet.parameters()).device)
        if calibration_images < 1:
            raise UsageError(f"calibration needs at least 1 image, got {calibration_images}")
        self.supernet = supernet
        self._calibration = calibration
        self._scenes = scenes
        self.calibration_images = calibration_images
        self.batch_size = batch_size
        self.flip = flip
        self.precision: Precision = precision
        self.settings = settings or SCORED
        self.progress = progress
        self.threads = threads
        self.shard = shard or Shard()
        self._check_sources()
        self._cache = PictureCache(cache_bytes)
        self._kept_as = {"calibration": object(), "scenes": object()}  # names of what is in it
        self._ground_truth: dict[str, Any] | None = None
        self._people: dict[str, Any] | None = None  # likewise, whatever has been read

    @property
    def scenes(self) -> SceneSource:
        """The scenes that the AP is measured on; `on` gives an evaluator of others."""
        return self._scenes

    @property
    def calibration(self) -> SceneSource:
        """Where batch norms are measured; `on` gives an evaluator with others."""
        return self._calibration

    def __call__(self, arch: ArchLike) -> dict[str, float]:
        """Return AP, AP50, AP75, … of one arch, as fractions; see `pose.evaluate_predictions`.

        The arch is also what `space.arch` takes, such as `"largest"`.

        `AP_low` and `AP_high` are the ends of the AP's 95 % interval, left out where they are not
        known; see `pose.ap_interval`.

        Raises:
            ArchError: the arch is of another space.
            DataError: nobody is labelled in the scenes, or pictures that cannot be used.
            SkeletonError: the supernet predicts another number of joints.
            WeightsError: the subnet gives NaN or infinite values.
            OfaPoseError: another rank failed or does not answer.
        """
        return self.scored(arch)[0]

    def scored(self, arch: ArchLike) -> tuple[dict[str, float], Matches]:
        """Return what a call does, and the people found, by which two archs can be compared."""
        arch = self.supernet.space.arch(arch)
        with _threads(self.threads):
            results = detect_together(self.scenes, self.shard, lambda: self._detect(arch))
        if self._ground_truth is None:
            # Not before: only a source that was read knows which pictures are damaged.
            self._ground_truth = labelled(self.scenes)
        skeleton = self.scenes.skeleton
        scores = evaluate_predictions(self._ground_truth, results, skeleton)
        matches = match_people(self._ground_truth, results, skeleton)
        ends = zip(("AP_low", "AP_high"), ap_interval(matches), strict=True)
        known = {name: value for name, value in ends if not math.isnan(value)}
        return {**scores, **known}, matches

    def identity(self) -> dict[str, str]:
        """Return by name what the scores depend on, as short texts that are equal where it is.

        A search whose archive was made with others is not gone on with.
        """
        calibrated = self.calibration.fingerprint(), self.calibration_images
        return {
            "weights": digest(self.supernet.state_dict())[:16],
            "scenes": self.scenes.fingerprint(),
            "calibration": digest(calibrated)[:16],
            "flip": str(self.flip),
            "precision": self.precision,
            "decoding": digest(asdict(self.settings))[:16],
        }

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state["progress"] = None
        state["_cache"] = PictureCache(self._cache.max_bytes)
        supernet = self.supernet
        if next(supernet.parameters()).is_cuda:  # another process may have another GPU
            supernet = copy.deepcopy(supernet).cpu()
        state["supernet"] = in_blocks(supernet)
        return state

    def to(self, device: str) -> SubnetEvaluator:
        """Move the supernet to another device."""
        self.supernet.to(device)
        return self

    def on(self, scenes: SceneSource, *, calibration: SceneSource | None = None) -> SubnetEvaluator:
        """Return an evaluator of the same supernet and settings on other scenes.

        Both together keep pictures up to `cache_bytes`.

        Args:
            scenes: that the AP is measured on.
            calibration: to measure batch norms on, as many of them; None: the same.

        Raises:
            DataError: one of them is empty.
        """
        other = type(self).__new__(type(self))
        other.__dict__ |= self.__dict__  # `copy.copy` would take what is sent to other processes
        other._scenes = scenes
        other._kept_as = {**self._kept_as, "scenes": object()}
        if calibration is not None:
            other._calibration = calibration
            other._kept_as["calibration"] = object()
        other._ground_truth = other._people = None
        other._check_sources()
        return other

    def subnet(self, arch: ArchLike) -> Network:
        """Return the stand-alone network that is scored: re-calibrated, in eval mode."""
        arch = self.supernet.space.arch(arch)
        network = self.supernet.extract(arch)
        with _threads(self.threads):
            recalibrate(network, self._calibration_batches(arch.resolution))
        return network

    def prepared(self, arch: Arch) -> Network:
        """Return the network as it is run: re-calibrated, its batch norms folded."""
        network = self.subnet(arch)
        fold_batch_norms(network)
        return network

    def matches(self, network: Network, arch: Arch, places: Sequence[int]) -> Matches:
        """Return what a network that is `prepared` gets on the scenes at some places.

        A damaged picture's stand-in may be at another place as well and then counts at both.

        Args:
            network: of `arch`.
            arch: its resolution is used.
            places: of the scenes, ascending.

        Raises:
            DataError: nobody is labelled in the scenes, or pictures that cannot be used.
            WeightsError: the network gives NaN or infinite values.
        """
        with _threads(self.threads):
            found = self._find(network, arch, places)
        if self._people is None:
            self._people = labelled(self.scenes)
        ids = {picture.image_id for picture in found}
        truth = {
            "images": [image for image in self._people["images"] if image["id"] in ids],
            "annotations": [
                person for person in self._people["annotations"] if person["image_id"] in ids
            ],
        }
        return match_people(truth, results_of(found), self.scenes.skeleton)

    def _detect(self, arch: Arch) -> list[Detections]:
        places = self.shard.places(len(self.scenes))
        return self._find(self.prepared(arch), arch, places)

    def _find(self, network: Network, arch: Arch, places: Sequence[int]) -> list[Detections]:
        return predict_batches(
            network,
            self._batches("scenes", self.scenes, arch.resolution, places),
            skeleton=self.scenes.skeleton,
            pixel_mean=self.supernet.space.pixel_mean,
            pixel_std=self.supernet.space.pixel_std,
            flip=self.flip,
            precision=self.precision,
            settings=self.settings,
            progress=self.progress,
        )

    def _check_sources(self) -> None:
        for name, source in (("calibration", self.calibration), ("scoring", self.scenes)):
            if len(source) == 0:
                raise DataError(f"the {name} set is empty")

    def _calibration_batches(self, resolution: int) -> Iterator[Tensor]:
        total = len(self.calibration)
        count = min(self.calibration_images, total)
        space = self.supernet.space
        device = next(self.supernet.parameters()).device
        for batch in self._batches(
            "calibration",
            self.calibration,
            resolution,
            [place * total // count for place in range(count)],
        ):
            pixels = as_images(batch.images).to(device)
            images = normalize(pixels, space.pixel_mean, space.pixel_std)
            yield images.contiguous(memory_format=torch.channels_last)

    def _batches(
        self,
        name: str,
        source: SceneSource,
        resolution: int,
        indices: Sequence[int],
    ) -> Iterator[PictureBatch]:
        def read() -> Iterator[PictureBatch]:
            return picture_batches(
                source,
                resolution=resolution,
                batch_size=self.batch_size,
                indices=indices,
            )

        return self._cache.batches((self._kept_as[name], resolution, tuple(indices)), read)


@dataclass(frozen=True, eq=False)
class ScoredArch:
    """What `SubnetEvaluator.scored` returns, as arrays that can be kept.

    Attributes:
        scores: by name, as fractions.
        matches: the people found.
    """

    scores: Mapping[str, float]
    matches: Matches

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by name, from which `of_arrays` makes the same again."""
        values = np.array(list(self.scores.values()))
        names = np.frombuffer("\n".join(self.scores).encode(), np.uint8)
        return {"names": names, "values": values, **self.matches.arrays()}

    @classmethod
    def of_arrays(
        cls, *, names: np.ndarray, values: np.ndarray, **matches: np.ndarray
    ) -> ScoredArch:
        """Return what has these arrays."""
        scores = dict(zip(names.tobytes().decode().split("\n"), values.tolist(), strict=True))
        return cls(scores, Matches(**matches))


class ArchScorer:
    """`SubnetEvaluator.scored` as a function that other processes and devices can have."""

    def __init__(self, evaluator: SubnetEvaluator) -> None:
        self._evaluator = evaluator

    def __call__(self, arch: Arch) -> ScoredArch:
        """Return an arch's scores and the people found."""
        return ScoredArch(*self._evaluator.scored(arch))

    def to(self, device: str) -> ArchScorer:
        """Move the supernet to another device."""
        return ArchScorer(self._evaluator.to(device))


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Let torch and OpenCV use `count` threads inside the block; None changes nothing."""
    before = torch.get_num_threads()  # of this thread; OpenCV's number is the whole process's
    if count is not None:
        torch.set_num_threads(count)
        with _ENTERING:
            _OPENCV_BEFORE.append(_OPENCV_BEFORE[0] if _OPENCV_BEFORE else cv2.getNumThreads())
            cv2.setNumThreads(0 if count == 1 else count)  # with 1 it would still start a pool
    try:
        with fast_pointwise():
            yield
    finally:
        if count is not None:
            torch.set_num_threads(before)
            with _ENTERING:
                opencv = _OPENCV_BEFORE.pop()
                if not _OPENCV_BEFORE:
                    cv2.setNumThreads(opencv)
