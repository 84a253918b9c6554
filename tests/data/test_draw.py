"""Pictures of scenes for human eyes."""

from __future__ import annotations

import cv2
import numpy as np

from ofa_pose.data import SyntheticScenes, contact_sheet, draw_scene, write_contact_sheet
from ofa_pose.data.draw import fit_scene


def test_limbs_are_drawn_and_ignored_regions_darkened(dots, three):
    scene = dots(1)[0]
    scene.valid[60:] = False
    drawn = draw_scene(scene, three, zoom=2)
    assert drawn.shape == (160, 120, 3)
    # Half way from the left hand (45.5, 40.5) to the head (30.5, 12.5), doubled.
    assert drawn[53, 76].tolist() != drawn[53, 110].tolist()
    assert drawn[150, 60, 0] == 40 // 3
    np.testing.assert_array_equal(scene.image[70, 30], [40, 0, 0])  # the scene is left alone


def test_a_sheet_has_a_cell_for_each_picture(dots, three):
    pictures = [draw_scene(dots(5)[i], three) for i in range(5)]
    assert contact_sheet(pictures, columns=2, cell=32).shape == (96, 64, 3)


def test_a_sheet_on_disk_shows_the_first_scenes_in_their_colours(dots, three, tmp_path):
    path = tmp_path / "sheet.png"
    write_contact_sheet(path, dots(7), most=5)
    fitted = [fit_scene(dots(7)[i], 384) for i in range(5)]
    drawn = contact_sheet([draw_scene(scene, three, zoom=1) for scene in fitted], cell=384)
    np.testing.assert_array_equal(np.asarray(cv2.imread(str(path)))[..., ::-1], drawn)


def test_joints_are_seen_on_a_sheet_of_large_pictures(three, tmp_path):
    plain = SyntheticScenes(0, 1, size=1536, skeleton=three)
    path = tmp_path / "sheet.png"
    write_contact_sheet(path, plain)
    sheet = np.asarray(cv2.imread(str(path)))[:384, :384, ::-1].astype(int)
    scene = plain[0]
    bare = cv2.resize(scene.image, (384, 384), interpolation=cv2.INTER_AREA).astype(int)
    for x, y, _ in scene.keypoints[scene.keypoints[..., 2] == 2] / 4:
        spot = np.s_[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2]
        assert np.abs(sheet[spot] - bare[spot]).mean() > 30


def test_the_two_sides_of_a_person_differ(dots, three):
    scene = dots(1)[0]
    scene.keypoints[..., 2] = 2
    drawn = draw_scene(scene, three, zoom=2).astype(int)
    left, right = ((scene.keypoints[0, joint, :2] * 2).astype(int) for joint in (0, 1))
    assert drawn[left[1], left[0]].sum() > drawn[right[1], right[0]].sum() + 100  # a light tint


def test_a_caption_is_written_into_its_own_cell(dots, three):
    pictures = [draw_scene(dots(5)[i], three) for i in range(3)]
    plain = contact_sheet(pictures, columns=2, cell=160)
    named = contact_sheet(pictures, captions=["", "image 7", ""], columns=2, cell=160)
    rows, columns = np.nonzero((plain != named).any(axis=2))
    assert rows.max() < 160 <= columns.min()
