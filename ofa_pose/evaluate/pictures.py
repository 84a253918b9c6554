"""Pictures as the network wants them: resized, grouped by size, kept in memory within a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ofa_pose.data import check_scales, resize_for_network, resize_to_scales
from ofa_pose.errors import UsageError

if TYPE_CHECKING:
    from ofa_pose.data import SceneSource


@dataclass(frozen=True)
class PictureBatch:
    """Pictures of one size, and the way back from them.

    Attributes:
        images: (N, H, W, 3) uint8, RGB, contiguous.
        image_ids: N ids that results carry.
        places: N positions in the source, which results are ordered by.
        to_picture: N affines, (2, 3) float64, from input pixels to the picture's own.
        scaled: the pictures at other scales, each (N, h, w, 3) uint8.
    """

    images: np.ndarray
    image_ids: tuple[int, ...]
    places: tuple[int, ...]
    to_picture: tuple[np.ndarray, ...]
    scaled: tuple[np.ndarray, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the network's input at scale 1."""
        _, height, width, _ = self.images.shape
        return height, width

    @property
    def nbytes(self) -> int:
        """Memory of the pictures in bytes."""
        return sum(part.nbytes for part in (self.images, *self.scaled))


def picture_batches(
    source: SceneSource,
    *,
    resolution: int,
    batch_size: int = 8,
    indices: Iterable[int] | None = None,
    scales: Sequence[float] = (1.0,),
) -> Iterator[PictureBatch]:
    """Read, resize and batch the pictures of a source; those of one padded size share a batch.

    A batch is yielded as soon as it is full, the incomplete ones at the end: at most
    `batch_size - 1` pictures of each size wait in memory. A picture that comes twice, as the
    stand-in of a damaged one does, is passed over the second time.

    Args:
        source: the scenes.
        resolution: as in `resize_for_network`.
        batch_size: most pictures a batch.
        indices: which scenes; all of them by default.
        scales: of the network's input; as in `predict_scenes`.
    """
    if batch_size < 1:
        raise UsageError(f"batch size must be at least 1, got {batch_size}")
    _, *others = check_scales(scales)
    waiting: dict[tuple[int, ...], list[_Row]] = {}
    seen: set[int] = set()
    for place in range(len(source)) if indices is None else indices:
        scene = source[place]
        if scene.image_id in seen:
            continue
        seen.add(scene.image_id)
        image, to_picture = resize_for_network(scene.image, resolution)
        same = waiting.setdefault(image.shape, [])
        scaled = resize_to_scales(scene.image, image, to_picture, others)
        same.append((image, scene.image_id, place, to_picture, scaled))
        if len(same) == batch_size:
            yield _batch(waiting.pop(image.shape))
    for same in waiting.values():
        yield _batch(same)


_Row = tuple[np.ndarray, int, int, np.ndarray, list[np.ndarray]]
"""What `PictureBatch` has of one picture, in its order."""


def _batch(rows: list[_Row]) -> PictureBatch:
    images, image_ids, places, to_picture, scaled = zip(*rows, strict=True)
    return PictureBatch(
        np.stack(images),
        image_ids,
        places,
        to_picture,
        tuple(np.stack(same) for same in zip(*scaled, strict=True)),
    )


class PictureCache:
    """Keeps whole series of batches, the least recently used of which give way to new ones.

    Args:
        max_bytes: bound of everything kept; a series found to be larger than that is made anew
            each time.
    """

    def __init__(self, max_bytes: int) -> None:
        if max_bytes < 0:
            raise UsageError(f"cache size must be 0 bytes or more, got {max_bytes}")
        self.max_bytes = max_bytes
        self._kept: OrderedDict[Hashable, list[PictureBatch]] = OrderedDict()
        self._bytes: dict[Hashable, int] = {}
        self._too_large: set[Hashable] = set()

    @property
    def nbytes(self) -> int:
        """Memory of everything kept in bytes."""
        return sum(self._bytes.values())

    def batches(
        self, key: Hashable, make: Callable[[], Iterator[PictureBatch]]
    ) -> Iterator[PictureBatch]:
        """Yield the series called `key`, from memory or from `make`.

        A series that is not iterated to its end is not kept.
        """
        if key in self._kept:
            self._kept.move_to_end(key)
            yield from self._kept[key]
            return
        series: list[PictureBatch] | None = None if key in self._too_large else []
        size = 0
        for batch in make():
            if series is not None:
                size += batch.nbytes
                series.append(batch)
                if not self._make_room(size):
                    series = None
                    self._too_large.add(key)
            yield batch
        if series is not None:
            self._kept[key], self._bytes[key] = series, size

    def _make_room(self, size: int) -> bool:
        """Drop series until `size` more bytes fit; return whether they can."""
        if size > self.max_bytes:
            return False
        while self.nbytes + size > self.max_bytes:
            oldest, _ = self._kept.popitem(last=False)
            del self._bytes[oldest]
        return True
