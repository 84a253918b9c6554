"""Several sources as one."""

from __future__ import annotations

from collections import Counter

import pytest

from ofa_pose.data import MixedScenes, SyntheticScenes
from ofa_pose.errors import UsageError


def test_shares_are_exact_and_sources_are_walked_in_order(dots):
    mixed = MixedScenes([dots(6), dots(4)], [3, 1], seed=1, count=40)
    places = [mixed.locate(i) for i in range(40)]
    assert Counter(source for source, _ in places) == {0: 30, 1: 10}
    assert [place for source, place in places if source == 0] == [i % 6 for i in range(30)]
    assert [place for source, place in places if source == 1] == [i % 4 for i in range(10)]
    # Mixed, not one after the other.
    assert {source for source, _ in places[:10]} == {0, 1}


def test_by_default_every_scene_appears(dots):
    mixed = MixedScenes([dots(6), dots(5)], [3, 1])
    assert len(mixed) == 20  # 5 scenes at a quarter
    assert {mixed.locate(i) for i in range(20)} >= {(0, p) for p in range(6)} | {
        (1, p) for p in range(5)
    }


def test_a_scene_whose_share_begins_at_a_half_appears(dots):
    mixed = MixedScenes([dots(1), dots(1), dots(1)], [3, 2, 3])
    # The second source has a quarter of 4 scenes, from 1.5 to 2.5.
    assert len(mixed) == 4
    assert {mixed.locate(i) for i in range(4)} == {(0, 0), (1, 0), (2, 0)}


def test_ids_are_indices(dots):
    mixed = MixedScenes([dots(3), dots(3)], [1, 1])
    assert [mixed[i].image_id for i in range(len(mixed))] == list(range(6))
    truth = mixed.ground_truth()
    assert [annotation["image_id"] for annotation in truth["annotations"]] == list(range(6))


def test_what_does_not_fit_is_refused(dots):
    with pytest.raises(UsageError, match="as many weights"):
        MixedScenes([dots(3)], [1, 2])
    with pytest.raises(UsageError, match="positive"):
        MixedScenes([dots(3), dots(3)], [1, 0])
    with pytest.raises(UsageError, match="one skeleton, got three, coco"):
        MixedScenes([dots(3), SyntheticScenes(0, 2, skeleton="coco")], [1, 1])


def test_neighbours_that_stand_together_are_of_one_source(dots):
    mixed = MixedScenes([dots(6), dots(5)], [3, 1], count=38, together=4)
    sources = [mixed.locate(i)[0] for i in range(38)]
    groups = [set(sources[i : i + 4]) for i in range(0, 38, 4)]
    assert all(len(group) == 1 for group in groups)
    assert sorted(group.pop() for group in groups) == [0] * 8 + [1] * 2  # 3 to 1, of 10 groups
    apart = MixedScenes([dots(6), dots(5)], [3, 1], count=38)
    assert mixed.fingerprint() != apart.fingerprint()
    with pytest.raises(UsageError, match="at least 1"):
        MixedScenes([dots(6), dots(5)], [3, 1], together=0)


def test_every_scene_appears_in_groups_too(dots):
    mixed = MixedScenes([dots(6), dots(5)], [3, 1], together=4)
    assert len(mixed) == 32  # two groups of four hold the 5 scenes; they are a quarter of all
    assert {mixed.locate(i) for i in range(32)} == {(0, p) for p in range(6)} | {
        (1, p) for p in range(5)
    }
