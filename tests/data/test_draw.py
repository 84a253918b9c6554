"""Pictures of scenes for human eyes."""

from __future__ import annotations

import numpy as np

from ofa_pose.data import contact_sheet, draw_scene


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
