"""The One-Euro filter against its formulas, worked by hand."""

import math

import numpy as np
import pytest

from ofa_pose.errors import UsageError
from ofa_pose.predict import OneEuroSettings, PoseSmoother

STILL = OneEuroSettings(min_cutoff=1.0, beta=0.0, speed_cutoff=1.0)


def run(smoother, person, xs, *, step=0.1):
    """Return the head's x, frame by frame; the hands stay 80 px apart."""
    found = []
    for frame, x in enumerate(xs):
        one = person((100.0, 100.0), (180.0, 100.0), (x, 100.0))
        (smoothed,) = smoother.update([one], [1], frame * step)
        assert smoothed.score == one.score
        assert smoothed.keypoints[:2] == pytest.approx(one.keypoints[:2])
        found.append(smoothed.keypoints[2, 0])
    return found


def test_at_rest_by_hand(make_person):
    # cut-off 1 Hz, 0.1 s: share = 0.2 pi / (0.2 pi + 1) of what is new
    share = 0.2 * math.pi / (0.2 * math.pi + 1)
    found = run(PoseSmoother(STILL), make_person, [140, 150, 150])
    second = 140 + share * 10
    assert found == pytest.approx([140, second, second + share * (150 - second)])


def test_in_motion_by_hand(make_person):
    # 10 px in 0.1 s: 100 px/s, filtered at 1 Hz from rest; the size is 80 px; beta 5 Hz
    share = 0.2 * math.pi / (0.2 * math.pi + 1)
    cutoff = 1 + 5 * (share * 100) / 80
    turns = 2 * math.pi * cutoff * 0.1
    found = run(PoseSmoother(), make_person, [140, 150])
    assert found[1] == pytest.approx(140 + 10 * turns / (turns + 1))


def test_trembling_shrinks_and_motion_lags_little(make_person):
    noise = np.random.default_rng(0).normal(0, 2, 200)
    smoothed = np.array(run(PoseSmoother(), make_person, 140 + noise, step=1 / 30))
    assert smoothed[30:].std() < 0.6 * noise[30:].std()
    moving = 100 + 4.0 * np.arange(60)  # three body sizes in two seconds
    lag = moving - np.array(run(PoseSmoother(), make_person, moving, step=1 / 30))
    slow = moving - np.array(run(PoseSmoother(STILL), make_person, moving, step=1 / 30))
    assert lag[-1] < 0.25 * slow[-1]


def test_joints_come_and_go(make_person):
    smoother = PoseSmoother(STILL)
    run(smoother, make_person, [140])
    hands = make_person((100, 100), (180, 100), (0, 0))
    (without,) = smoother.update([hands], [1], 0.1)
    assert (without.keypoints == hands.keypoints).all()
    back = make_person((100, 100), (180, 100), (170, 100))
    (found,) = smoother.update([back], [1], 0.2)
    assert found.keypoints[2, 0] == 170  # nothing to be smoothed with
    (same_moment,) = smoother.update([make_person((0, 0), (0, 0), (190, 100))], [1], 0.2)
    assert same_moment.keypoints[2, 0] == 170
    assert same_moment.keypoints[0].tolist() == [0, 0, 0]


def test_people_are_apart_and_can_be_forgotten(make_person):
    smoother = PoseSmoother(STILL)
    first, second = make_person(*[(10.0, 10.0)] * 3), make_person(*[(90.0, 10.0)] * 3)
    smoother.update([first], [1], 0.0)
    (other,) = smoother.update([second], [2], 0.1)
    assert (other.keypoints == second.keypoints).all()
    smoother.forget({2})
    (again,) = smoother.update([second], [1], 0.2)
    assert (again.keypoints == second.keypoints).all()


@pytest.mark.parametrize(
    "values", [{"min_cutoff": 0.0}, {"beta": -1.0}, {"speed_cutoff": math.nan}]
)
def test_what_cannot_work(values):
    with pytest.raises(UsageError, match="One-Euro"):
        OneEuroSettings(**values)


def test_a_turned_path_is_smoothed_as_the_path_turned(make_person):
    """The hands are turned with the head, so the size of a body stays what it was."""
    xs = [140.0, 143.0, 150.0, 149.0, 160.0]
    angle = math.radians(35)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    plain, turned = PoseSmoother(), PoseSmoother()
    for frame, x in enumerate(xs):
        points = np.array([(100.0, 100.0), (180.0, 100.0), (x, 100.0)])
        (one,) = plain.update([make_person(*points)], [1], frame * 0.1)
        (other,) = turned.update([make_person(*(points @ turn.T + 300))], [1], frame * 0.1)
        # The size is the diagonal of an upright box, which turning changes a little.
        assert other.keypoints[:, :2] == pytest.approx(one.keypoints[:, :2] @ turn.T + 300, abs=1)
