"""Batches of pictures, and the memory that keeps them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from ofa_pose.data import Scene
from ofa_pose.errors import UsageError
from ofa_pose.evaluate import PictureBatch, PictureCache, picture_batches
from ofa_pose.skeleton import load_skeleton


class Noise:
    """Pictures of random numbers, in two sizes; counts how often each is read."""

    skeleton = load_skeleton("crowdpose")

    def __init__(self, count: int) -> None:
        self.count = count
        self.reads: Counter[int] = Counter()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Scene:
        self.reads[index] += 1
        size = (32, 32) if index % 3 else (32, 50)
        rng = np.random.default_rng(index)
        return Scene(
            image=rng.integers(0, 256, (*size, 3), dtype=np.uint8),
            keypoints=np.zeros((0, 14, 3), np.float32),
            valid=np.ones(size, bool),
            image_id=index + 1,
            boxes=np.zeros((0, 4), np.float32),
            areas=np.zeros(0, np.float32),
        )

    def ground_truth(self) -> dict[str, Any]:
        raise NotImplementedError

    def fingerprint(self) -> str:
        raise NotImplementedError


def test_pictures_of_one_padded_size_share_a_batch():
    # Places 0, 3, 6 are 32x50 and padded to 32x64; the rest, five of them, are 32x32.
    batches = list(picture_batches(Noise(8), resolution=32, batch_size=4))
    assert [batch.places for batch in batches] == [(1, 2, 4, 5), (0, 3, 6), (7,)]
    assert [tuple(batch.images.shape) for batch in batches] == [
        (4, 32, 32, 3),
        (3, 32, 64, 3),
        (1, 32, 32, 3),
    ]
    assert batches[1].image_ids == (1, 4, 7)
    assert [batch.nbytes for batch in batches] == [4 * 3072, 3 * 6144, 3072]


def test_a_square_picture_of_the_right_size_is_untouched():
    (batch,) = picture_batches(Noise(2), resolution=32, indices=[1])
    expected = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(batch.images[0], expected)
    np.testing.assert_allclose(batch.to_picture[0], [[1, 0, 0], [0, 1, 0]])


def test_padding_is_undone():
    (batch,) = picture_batches(Noise(1), resolution=64)
    # 32x50 doubled is 64x100, centred on 64x128: input (14, 0) is the picture's corner.
    np.testing.assert_allclose(batch.to_picture[0] @ [14, 0, 1], [0, 0])
    np.testing.assert_allclose(batch.to_picture[0] @ [114, 64, 1], [50, 32])


def series(count: int, side: int) -> Iterator[PictureBatch]:
    for _ in range(count):
        yield PictureBatch(np.zeros((1, side, side, 3), np.uint8), (1,), (0,), ())


class Makers:
    """Series of four batches; the series called n has 4 * 3 * n * n bytes."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def __call__(self, side: int) -> Iterator[PictureBatch]:
        self.made.append(side)
        return series(4, side)


def use(cache: PictureCache, makers: Makers, side: int) -> None:
    assert len(list(cache.batches(side, lambda: makers(side)))) == 4


def test_cache_makes_a_series_once():
    cache, makers = PictureCache(10_000), Makers()
    for _ in range(3):
        use(cache, makers, 10)
    assert makers.made == [10]
    assert cache.nbytes == 1200


def test_cache_drops_the_least_recently_used():
    cache, makers = PictureCache(2 * 1200 + 100), Makers()
    for side in (10, 9, 10, 8, 10, 9):  # 1200, 972 and 768 bytes: never all three
        use(cache, makers, side)
        assert cache.nbytes <= cache.max_bytes
    assert makers.made == [10, 9, 8, 9]


def test_cache_does_not_keep_what_is_too_large():
    cache, makers = PictureCache(1500), Makers()
    use(cache, makers, 10)
    use(cache, makers, 20)  # drops 10 before it turns out too large
    use(cache, makers, 10)
    use(cache, makers, 20)
    use(cache, makers, 10)
    assert makers.made == [10, 20, 10, 20]
    assert cache.nbytes == 1200


def test_cache_does_not_keep_half_a_series():
    cache, makers = PictureCache(10_000), Makers()
    next(cache.batches(10, lambda: makers(10)))
    use(cache, makers, 10)
    assert makers.made == [10, 10]


def test_no_cache_is_allowed_and_less_is_not():
    cache, makers = PictureCache(0), Makers()
    use(cache, makers, 5)
    use(cache, makers, 5)
    assert makers.made == [5, 5]
    with pytest.raises(UsageError, match="-1"):
        PictureCache(-1)
