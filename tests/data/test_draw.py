"""Pictures of scenes for human eyes."""

from __future__ import annotations

import cv2
import numpy as np

from ofa_pose.data import contact_sheet, draw_scene, write_contact_sheet


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
    drawn = contact_sheet([draw_scene(dots(7)[i], three) for i in range(5)])
    np.testing.assert_array_equal(np.asarray(cv2.imread(str(path)))[..., ::-1], drawn)
