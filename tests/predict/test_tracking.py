"""Ids that stay with people; similarities by hand."""

import math

import numpy as np
import pytest

from ofa_pose.errors import UsageError
from ofa_pose.predict import OksTracker, oks

PLACES = np.array([(0.0, 0.0), (40.0, 0.0), (20.0, 40.0)]) + 100  # a box of 40 x 40


def at(make_person, x, y=0.0):
    return make_person(*(PLACES + (x, y)))


def test_oks_by_hand(make_person, three):
    # area 1600, sigma 0.1: moved by 8 px, exp(-64 / (2 * 1600 * 0.04)) = exp(-0.5)
    known, moved = (at(make_person, x).keypoints for x in (0, 8))
    sigmas = np.array(three.sigmas)
    assert oks(known, known, sigmas) == 1.0
    assert oks(known, moved, sigmas) == pytest.approx(math.exp(-0.5))


def test_oks_counts_what_both_have(make_person, three):
    sigmas = np.array(three.sigmas)
    whole = at(make_person, 0).keypoints
    head, hand = whole.copy(), whole.copy()
    head[:2], hand[1:] = 0, 0
    assert oks(whole, head, sigmas) == 1.0
    assert oks(head, hand, sigmas) == 0.0


def test_ids_stay_when_people_come_in_another_order(make_person, three):
    tracker = OksTracker(three)
    assert tracker.update([at(make_person, 0), at(make_person, 200)]) == [1, 2]
    assert tracker.update([at(make_person, 195), at(make_person, 5)]) == [2, 1]
    assert tracker.update([at(make_person, 400), at(make_person, 190), at(make_person, 8)]) == [
        *(3, 2, 1)
    ]


def test_the_best_sum_wins_not_the_first_come(make_person, three):
    # At 0 and 10; then at 9 and 19. The first alone would take the nearer one, 10.
    tracker = OksTracker(three)
    tracker.update([at(make_person, 0), at(make_person, 10)])
    assert tracker.update([at(make_person, 9), at(make_person, 19)]) == [1, 2]


def test_who_jumps_is_somebody_new(make_person, three):
    tracker = OksTracker(three)
    assert tracker.update([at(make_person, 0)]) == [1]
    assert tracker.update([at(make_person, 100)]) == [2]
    assert tracker.known == {1, 2}


def test_who_is_hidden_is_remembered_for_a_while(make_person, three):
    tracker = OksTracker(three, patience=2)
    tracker.update([at(make_person, 0)])
    for _ in range(2):
        assert tracker.update([]) == []
    assert tracker.update([at(make_person, 0)]) == [1]
    for _ in range(3):
        tracker.update([])
    assert tracker.known == frozenset()
    assert tracker.update([at(make_person, 0)]) == [2]


@pytest.mark.parametrize(("min_oks", "patience"), [(0.0, 15), (1.5, 15), (0.2, -1)])
def test_what_cannot_work(three, min_oks, patience):
    with pytest.raises(UsageError, match="tracking needs"):
        OksTracker(three, min_oks=min_oks, patience=patience)


def test_who_was_seen_stays_where_they_were_seen(make_person, three):
    tracker = OksTracker(three)
    person = at(make_person, 0)
    tracker.update([person])
    person.keypoints[:, :2] *= 10  # as where a picture is shown larger
    assert tracker.update([at(make_person, 0)]) == [1]
