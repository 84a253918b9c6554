"""What is drawn where: colours of people, shades of sides, dots of joints."""

import numpy as np
import pytest

from ofa_pose.errors import UsageError
from ofa_pose.predict import draw_people
from ofa_pose.predict.draw import COLOURS

BLANK = np.full((200, 300, 3), 128, np.uint8)
# Left hand, right hand, head; as large as limbs four pixels wide.
HANDS = ((260, 150), (60, 150), (160, 40))


def brightness(pixel):
    return int(pixel.astype(int).sum())


def test_the_picture_itself_is_left_alone(three, make_person):
    picture = BLANK.copy()
    drawn = draw_people(picture, [make_person(*HANDS)], three)
    assert (picture == BLANK).all()
    assert drawn.shape == picture.shape
    assert drawn.dtype == np.uint8
    assert (drawn != BLANK).any()


def test_left_is_light_with_white_joints_and_right_dark_with_black(three, make_person):
    drawn = draw_people(BLANK, [make_person(*HANDS)], three)
    left, right, own = drawn[95, 210], drawn[95, 110], drawn[150, 160]  # amid the three limbs
    assert brightness(left) > brightness(own) > brightness(right)
    assert tuple(own) == COLOURS[0]
    assert drawn[149, 259].min() > 230
    assert drawn[149, 59].max() < 40
    assert tuple(drawn[39, 159]) == COLOURS[0]  # the head is in the middle


def test_everybody_has_a_colour_and_the_first_is_on_top(three, make_person):
    people = [make_person((0, 0), (0, 0), (x, 100)) for x in (50.5, 150.5, 250.5)]
    drawn = draw_people(BLANK, people, three)
    assert [tuple(drawn[100, x]) for x in (50, 150, 250)] == list(COLOURS[:3])
    drawn = draw_people(BLANK, [people[0], people[0]], three)
    assert tuple(drawn[100, 50]) == COLOURS[0]


def test_an_id_decides_the_colour_and_is_written(three, make_person):
    one = make_person((0, 0), (0, 0), (150.5, 100))
    plain = draw_people(BLANK, [one], three)
    tracked = draw_people(BLANK, [one], three, ids=[8])
    assert tuple(tracked[100, 150]) == COLOURS[0]
    assert (plain[:90] == BLANK[:90]).all()
    assert (tracked[80:97] != BLANK[80:97]).any()


def test_joints_that_are_not_sure_are_left_out(three, make_person):
    faint = make_person(*HANDS, score=0.05)
    assert (draw_people(BLANK, [faint], three) == BLANK).all()
    assert (draw_people(BLANK, [faint], three, min_joint=0.05) != BLANK).any()


@pytest.mark.parametrize("places", [((-50, 900), (1e9, -1e9), (40, 40)), ((1, 0),) * 3])
def test_what_lies_outside_does_no_harm(three, make_person, places):
    assert draw_people(BLANK, [make_person(*places)], three, ids=[1]).shape == BLANK.shape


def test_one_pixel(three, make_person):
    picture = np.zeros((1, 1, 3), np.uint8)
    assert draw_people(picture, [make_person(*HANDS)], three, ids=[3]).shape == (1, 1, 3)


def test_what_does_not_fit_is_refused(three, make_person):
    with pytest.raises(UsageError, match="2 ids were given for 1 people"):
        draw_people(BLANK, [make_person(*HANDS)], three, ids=[1, 2])
    with pytest.raises(UsageError, match="2 joints, skeleton 'three' has 3"):
        draw_people(BLANK, [make_person((1, 1), (2, 2))], three)


@pytest.mark.parametrize(
    "picture", [BLANK / 255, BLANK[..., 0], np.dstack([BLANK, BLANK[..., :1]])]
)
def test_only_a_picture_is_drawn_into(three, make_person, picture):
    with pytest.raises(UsageError, match=r"\(H, W, 3\) uint8 RGB"):
        draw_people(picture, [make_person(*HANDS)], three)
