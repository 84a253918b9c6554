"""A tier applied to one picture: people out, in the picture's own pixels."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ofa_pose.data import (
    UnreadableImageError,
    check_scales,
    read_image,
    resize_for_network,
    resize_to_scales,
)
from ofa_pose.errors import DataError, OfaPoseError, UsageError
from ofa_pose.evaluate import PictureBatch, find_people
from ofa_pose.export import Tier, load_runnable
from ofa_pose.files import atomic_path
from ofa_pose.pose import DecodeSettings, Person
from ofa_pose.predict.draw import draw_people
from ofa_pose.skeleton import Skeleton

if TYPE_CHECKING:
    import torch

MIN_SCORE = 0.2
"""A person's joints reach this on average; below it is mostly what a poor network imagines."""

_DEFAULT = DecodeSettings()
_WRITTEN = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
_QUALITY = 92  # of JPEG and WebP, out of 100


class PosePredictor:
    """Finds the people of a picture with a tier's network.

    The same pipeline as an evaluation's, one picture at a time: the short side is resized to the
    tier's resolution, and what is found is moved back to the picture.

    Args:
        tier: a tier's YAML, its ONNX file (`export_onnx`), which onnxruntime runs, or the tier
            itself; it has been saved with its weights.
        device: where to compute.
        flip: average with the mirrored picture: slower, better.
        scales: average over sizes of the input, such as 0.5, 1, 2; 1 must be among them.
        min_score: people of a lower score are left out; an AP is measured with 0.
        settings: constants of decoding.
        threads: that onnxruntime (of an ONNX file) or PyTorch runs the network on; by default all
            processors, or as many as PyTorch does now.

    Raises:
        UsageError: the tier's file is absent or breaks the schema, its network predicts no
            joints, this machine has no such device, an ONNX file is to run elsewhere than on the
            CPU, or a value cannot work.
        MissingExtraError: an ONNX file, and no onnxruntime; a YAML, and no PyTorch.
        WeightsError: the weights are missing, damaged, or another network's.
    """

    def __init__(
        self,
        tier: str | Path | Tier,
        *,
        device: str | torch.device = "cpu",
        flip: bool = False,
        scales: Sequence[float] = (1.0,),
        min_score: float = MIN_SCORE,
        settings: DecodeSettings = _DEFAULT,
        threads: int | None = None,
    ) -> None:
        if isinstance(min_score, bool) or not isinstance(min_score, Real):
            raise UsageError(f"min_score must be a number, got {min_score!r}")
        if not min_score >= 0:
            raise UsageError(f"min_score must not be negative, got {min_score}")
        if not isinstance(settings, DecodeSettings):
            raise UsageError(f"settings must be DecodeSettings, got {settings!r:.60}")
        if not isinstance(tier, Tier):
            tier = load_runnable(tier, device=device, threads=threads)
        self.tier = tier
        self.tier.require_skeleton()
        self.flip = flip
        self.scales = check_scales(scales)
        self.min_score = min_score
        self.settings = settings
        self.threads = threads
        self._mapper = self.tier.mapper(device=device, threads=threads)

    @property
    def skeleton(self) -> Skeleton:
        """Whose joints are predicted."""
        return self.tier.require_skeleton()

    def __call__(self, image: np.ndarray | str | Path) -> list[Person]:
        """Return the people of a picture, the best first.

        Args:
            image: (H, W, 3) uint8 RGB or (H, W) uint8 grey; or the path of a picture, which is
                turned as its EXIF says.

        Raises:
            DataError: the file cannot be read as a picture.
            UsageError: the array is no picture.
            WeightsError: the network gives NaN or infinite values.
        """
        picture = read_picture(image) if isinstance(image, str | Path) else _checked(image)
        resized, to_picture = resize_for_network(picture, self.tier.resolution)
        others = check_scales(self.scales)[1:]  # which may have been set since
        scaled = resize_to_scales(picture, resized, to_picture, others)
        batch = PictureBatch(
            resized[None], (0,), (0,), (to_picture,), tuple(other[None] for other in scaled)
        )
        (people,) = find_people(
            self._mapper, batch, skeleton=self.skeleton, flip=self.flip, settings=self.settings
        )
        kept = [person for person in people if person.score >= self.min_score]
        return sorted(kept, key=lambda person: -person.score)

    def draw(
        self, image: np.ndarray, people: Sequence[Person], *, ids: Sequence[int] | None = None
    ) -> np.ndarray:
        """Return a copy of a picture with the people drawn in; see `draw_people`."""
        return draw_people(_checked(image), people, self.skeleton, ids=ids)


def read_picture(path: str | Path) -> np.ndarray:
    """Read a picture as (H, W, 3) uint8 RGB, turned as its EXIF says.

    Raises:
        DataError: the file is absent, damaged or no picture; the message names it.
    """
    try:
        return read_image(Path(path), upright=True)
    except UnreadableImageError as error:
        raise DataError(f"{path}: {error}") from error


def write_picture(path: str | Path, image: np.ndarray) -> None:
    """Write a picture, (H, W, 3) uint8 RGB; the suffix says how: .jpg, .png, .webp.

    Raises:
        UsageError: the array is no picture, or the suffix none of a picture's.
        OfaPoseError: the file cannot be written.
    """
    path = Path(path)
    kind = _WRITTEN.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"{path}: a picture is written as {', '.join(_WRITTEN)}")
    picture = Image.fromarray(_checked(image))
    with atomic_path(path) as temporary:
        try:
            picture.save(temporary, kind, quality=_QUALITY)
        except ValueError as error:  # WebP has a largest side
            raise OfaPoseError(f"cannot write {path}: {error}") from error


def _checked(image: np.ndarray) -> np.ndarray:
    """Return an array as an RGB picture.

    Raises:
        UsageError: its type or shape is none of a picture's; the message says what is expected.
    """
    if not isinstance(image, np.ndarray):
        raise UsageError(
            f"a picture is an array or a path, got {type(image).__name__}; "
            "np.asarray makes an array of a PIL image"
        )
    if image.dtype != np.uint8:
        raise UsageError(f"a picture's pixels are uint8 in 0..255, got {image.dtype}")
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise UsageError(f"a picture is (H, W, 3) RGB or (H, W) grey, got {image.shape}")
    return image
