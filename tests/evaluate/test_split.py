"""Parts of a source never share a scene."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ofa_pose.data import CocoScenes, MappedScenes, PastedScenes, Scene, SceneSource
from ofa_pose.data.scene import PictureSource
from ofa_pose.errors import DataError, UsageError
from ofa_pose.evaluate import SubsetScenes, split_source
from ofa_pose.skeleton import Skeleton, load_skeleton

TWO = Skeleton(
    name="two", joints=("tail", "dot"), flip=(0, 1), limbs=(), sigmas=(0.1, 0.1),
    matching_order=(0, 1),
)  # fmt: skip


class Numbers:
    """Scenes that are known by their ids, 10 + index."""

    skeleton = load_skeleton("crowdpose")

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Scene:
        return Scene(
            image=np.zeros((4, 4, 3), np.uint8),
            keypoints=np.zeros((0, 14, 3), np.float32),
            valid=np.ones((4, 4), bool),
            image_id=10 + index,
            boxes=np.zeros((0, 4), np.float32),
            areas=np.zeros(0, np.float32),
        )

    def fingerprint(self) -> str:
        return f"numbers to {self.count}"

    def ground_truth(self) -> dict[str, Any]:
        return {
            "images": [{"id": 10 + index} for index in range(self.count)],
            "annotations": [
                {"id": n, "image_id": 10 + n // 2, "num_keypoints": 14}
                for n in range(2 * self.count)
            ],
            "categories": [{"id": 1}],
        }


@given(
    count=st.integers(10, 300),
    parts=st.lists(st.integers(10, 33), min_size=1, max_size=3),
    seed=st.integers(0, 2**32),
)
@example(count=10, parts=[10, 25, 10], seed=0)  # ends of 1, 3.5 and 4.5 scenes
def test_parts_are_disjoint_and_of_the_right_size(count, parts, seed):
    fractions = [part / 100 for part in parts]
    subsets = split_source(Numbers(count), fractions, seed=seed)
    together = [index for subset in subsets for index in subset.indices]
    assert len(set(together)) == len(together)
    assert set(together) <= set(range(count))
    for subset, fraction in zip(subsets, fractions, strict=True):
        assert abs(len(subset) - fraction * count) <= 1


def test_fractions_of_one_use_every_scene():
    subsets = split_source(Numbers(10), [1 / 3, 1 / 3, 1 / 3], seed=0)
    assert [len(subset) for subset in subsets] == [3, 4, 3]
    assert sorted(i for subset in subsets for i in subset.indices) == list(range(10))


def test_seed_alone_decides():
    parts = [split_source(Numbers(100), [0.5, 0.5], seed=seed)[0].indices for seed in (1, 1, 2)]
    assert parts[0] == parts[1] != parts[2]
    assert parts[0] != tuple(range(50))


def test_subset_is_a_source():
    subset = SubsetScenes(Numbers(6), [4, 1])
    assert isinstance(subset, SceneSource)
    assert len(subset) == 2
    assert [scene.image_id for scene in subset] == [14, 11]  # pyright: ignore[reportGeneralTypeIssues]
    assert subset.skeleton.name == "crowdpose"
    with pytest.raises(IndexError):
        subset[2]


@pytest.mark.parametrize("read_first", [False, True])
def test_ground_truth_is_that_of_the_subset(read_first):
    subset = SubsetScenes(Numbers(6), [4, 1])
    if read_first:
        subset[0]
    document = subset.ground_truth()
    assert [image["id"] for image in document["images"]] == [11, 14]
    assert [a["id"] for a in document["annotations"]] == [2, 3, 8, 9]
    assert document["categories"] == [{"id": 1}]


@pytest.mark.parametrize("fractions", [[], [0.0, 0.5], [-0.1], [1.2], [0.6, 0.6], [float("nan")]])
def test_impossible_fractions_are_refused(fractions):
    with pytest.raises(UsageError, match="shares must"):
        split_source(Numbers(10), fractions, seed=0)


def test_too_few_scenes_are_refused():
    with pytest.raises(DataError, match="3 scenes are too few"):
        split_source(Numbers(3), [0.9, 0.1], seed=0)


@pytest.mark.parametrize(
    ("indices", "error"),
    [([], DataError), ([1, 1], UsageError), ([6], UsageError), ([-1], UsageError)],
)
def test_impossible_subsets_are_refused(indices, error):
    with pytest.raises(error, match="subset"):
        SubsetScenes(Numbers(6), indices)


def test_fingerprint():
    def fingerprint(count, *indices):
        return SubsetScenes(Numbers(count), indices).fingerprint()

    assert fingerprint(5, 1, 2) == fingerprint(5, 1, 2)
    assert len({fingerprint(5, 1, 2), fingerprint(5, 2, 1), fingerprint(6, 1, 2)}) == 3


def ids_read(source: SceneSource) -> list[int]:
    return [source[place].image_id for place in range(len(source))]


def ids_of_truth(source: SceneSource) -> list[int]:
    document = source.ground_truth()
    ids = [image["id"] for image in document["images"]]
    assert [person["image_id"] for person in document["annotations"]] == ids  # one on each
    return ids


def mapped(source: SceneSource) -> SceneSource:
    return MappedScenes(source, TWO)


def halved(source: SceneSource) -> SceneSource:
    return SubsetScenes(source, range(len(source)))


@pytest.mark.parametrize(
    "seen_as", [lambda source: source, mapped, halved], ids=["plain", "mapped", "cut"]
)
@pytest.mark.parametrize("seed", range(6))
def test_a_stand_in_is_of_the_same_part(dots: Callable[..., Any], seen_as, seed: int) -> None:
    damaged = {3, 8, 9, 19}  # in the middle, neighbours, the last
    source = seen_as(dots(20, damaged).open())
    parts = split_source(source, [0.5, 0.5], seed=seed)
    for part in parts:
        own = [100 + index for index in part.indices]
        sound = [number for number in own if number - 100 not in damaged]
        # Where a picture is damaged, the next sound one of its part is read, the first at the end.
        expected = [next(n for n in own[place:] + own if n in sound) for place in range(len(own))]
        assert ids_read(part) == expected
        assert ids_of_truth(part) == sound
        assert not {100 + index for index in damaged} & set(ids_read(SubsetScenes(part, [0, 1, 2])))


def test_a_part_whose_pictures_are_all_damaged_is_refused(dots: Callable[..., Any]) -> None:
    part = SubsetScenes(dots(9, {2, 4}).open(), [2, 4])
    with pytest.raises(DataError, match="none of the 2 pictures of a subset can be decoded"):
        part[0]


def test_too_much_damage_stays_an_error(dots: Callable[..., Any]) -> None:
    part = SubsetScenes(dots(9, {2, 4}, max_bad=0.2).open(), [2, 4, 5])
    with pytest.raises(DataError, match="2 of 9 images are damaged, more than the 20 %"):
        part[0]


def test_painted_people_do_not_hide_damage(dots: Callable[..., Any]) -> None:
    class Plain(PastedScenes):
        """Without figures, of which a skeleton of one dot knows nothing."""

        def __init__(self, source: SceneSource) -> None:
            self.source, self.skeleton, self.seed, self.share = source, source.skeleton, 0, 0

    source = Plain(dots(6, {2}).open())
    assert isinstance(source, PictureSource)
    assert ids_read(SubsetScenes(source, [0, 2, 5])) == [100, 105, 105]
    assert [source.image_id(place) for place in range(6)] == [100, 101, 102, 103, 104, 105]


@pytest.mark.parametrize(
    "seen_as", [lambda source: source, mapped, halved], ids=["plain", "mapped", "cut"]
)
def test_a_truth_needs_no_picture(
    dots: Callable[..., Any], seen_as, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    whole = CocoScenes.read_one

    def read_one(self: CocoScenes, index: int) -> Scene | None:
        read.append(index)
        return whole(self, index)

    monkeypatch.setattr(CocoScenes, "read_one", read_one)
    part = SubsetScenes(seen_as(dots(9, {4}).open()), [1, 4, 7, 8])
    assert ids_of_truth(part) == [101, 104, 107, 108]
    assert read == []
    assert part[1].image_id == 107  # now the source knows that the picture of 4 is damaged
    assert ids_of_truth(part) == [101, 107, 108]
    assert read == [4, 7]


def test_a_source_that_cannot_tell_ids_is_read_once() -> None:
    read: list[int] = []

    class Silent(Numbers):
        def __getitem__(self, index: int) -> Scene:
            read.append(index)
            return super().__getitem__(index)

    subset = SubsetScenes(Silent(6), [4, 1, 3])
    subset[1]
    for _ in range(2):
        assert [image["id"] for image in subset.ground_truth()["images"]] == [11, 13, 14]
    assert sorted(read) == [1, 3, 4]


@pytest.mark.parametrize("indices", [[True, False], [0.2, 1.7], ["0"]])
def test_indices_of_a_subset_are_whole_numbers(indices: Any):
    with pytest.raises(UsageError, match="whole numbers"):
        SubsetScenes(Numbers(3), indices)
    assert SubsetScenes(Numbers(3), np.array([2, 0])).indices == (2, 0)  # pyright: ignore
