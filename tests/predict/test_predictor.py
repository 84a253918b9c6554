"""From a picture of dots to their places, in the picture's own pixels."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import ofa_pose as op
from ofa_pose.data import SyntheticScenes
from ofa_pose.errors import DataError, OfaPoseError, UsageError, WeightsError
from ofa_pose.evaluate import predict_scenes
from ofa_pose.pose import person_to_result
from ofa_pose.predict import PosePredictor, read_picture, write_picture


def picture(height, width, *dots, radius=9):
    """Return a black picture with white discs whose centres are these continuous places."""
    image = np.zeros((height, width, 3), np.uint8)
    for x, y in dots:
        centre = round((x - 0.5) * 16), round((y - 0.5) * 16)
        cv2.circle(image, centre, radius * 16, (255, 255, 255), cv2.FILLED, cv2.LINE_AA, shift=4)
    return image


def places(people):
    return sorted(tuple(person.keypoints[0, :2].tolist()) for person in people)


@pytest.mark.parametrize(
    ("height", "width"), [(300, 300), (200, 411), (411, 200), (64, 64), (900, 700)]
)
def test_places_are_those_of_the_picture(dots, height, width):
    spots = [(width * 0.3, height * 0.25), (width * 0.8, height * 0.7)]
    found = places(dots(picture(height, width, *spots, radius=max(3, min(height, width) // 24))))
    cell = 2 * min(height, width) / dots.tier.resolution
    assert np.array(found) == pytest.approx(np.array(spots), abs=cell)


def test_grey_is_a_picture_too(dots):
    image = picture(200, 200, (60, 90))
    assert places(dots(image[..., 0])) == places(dots(image))


def test_a_path_is_read_upright(dots, tmp_path):
    image = picture(200, 300, (60, 90))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter clockwise
    Image.fromarray(np.rot90(image).copy()).save(tmp_path / "turned.png", exif=exif)
    assert read_picture(tmp_path / "turned.png").shape == (200, 300, 3)
    assert places(dots(tmp_path / "turned.png")) == places(dots(image))
    assert places(dots(str(tmp_path / "turned.png"))) == places(dots(image))


def test_the_best_come_first_and_the_poor_are_left_out(dot_tier):
    image = picture(256, 256, (60, 60)) // 4 * 3 + picture(256, 256, (180, 180))
    everybody = PosePredictor(dot_tier, min_score=0)(image)
    scores = [person.score for person in everybody]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 2
    middle = sum(scores) / 2
    best = PosePredictor(dot_tier, min_score=middle)(image)
    assert places(best) == places(everybody[:1])


def test_threads_of_pytorch_are_those_of_the_call_alone(dot_tier):
    used = []

    class Counting(type(dot_tier)):
        def build(self, **options):
            network = super().build(**options)
            network.register_forward_pre_hook(lambda *_: used.append(torch.get_num_threads()))
            return network

    before = torch.get_num_threads()
    tier = Counting(**vars(dot_tier))
    for threads in (None, 1, 2, 3):
        PosePredictor(tier, threads=threads)(picture(64, 64, (20, 20)))
        assert torch.get_num_threads() == before
    assert used == [before, 1, 2, 3]


@pytest.mark.parametrize("threads", [0, -1, 1.0, True, "2"])
def test_threads_that_are_none(dot_tier, tiny_tier, threads):
    for tier in (dot_tier, tiny_tier):
        with pytest.raises(UsageError, match="threads must be a whole number from 1 on, got"):
            PosePredictor(tier, threads=threads)


def test_nobody(dots):
    assert dots(np.zeros((50, 60, 3), np.uint8)) == []


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2000, 3), (1, 400)])
def test_strips_and_single_pixels(dots, size):
    assert isinstance(dots(np.full((*size, 3), 90, np.uint8)), list)


@pytest.mark.parametrize("scales", [(1,), (0.5, 1, 2)])
def test_the_same_people_as_an_evaluation(tiny_tier, scales):
    scenes = SyntheticScenes(0, 3, size=96, skeleton="crowdpose")
    predictor = PosePredictor(tiny_tier, min_score=0, flip=True, scales=scales)
    space = predictor.tier.space
    expected = predict_scenes(
        predictor.tier.build(), scenes, resolution=predictor.tier.resolution,
        pixel_mean=space.pixel_mean, pixel_std=space.pixel_std, flip=True, batch_size=1,
        scales=scales,
    )  # fmt: skip
    for scene in (scenes[index] for index in range(len(scenes))):
        found = [person_to_result(person, scene.image_id) for person in predictor(scene.image)]
        wanted = [result for result in expected if result["image_id"] == scene.image_id]
        assert found == sorted(wanted, key=lambda result: -result["score"])


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.zeros((4, 4, 3)), "uint8 in 0..255, got float64"),
        (np.zeros((4, 4, 4), np.uint8), r"\(H, W, 3\) RGB or \(H, W\) grey, got \(4, 4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), "got"),
        (np.zeros(4, np.uint8), "got"),
        ([[1]], "array or a path, got list"),
    ],
)
def test_what_is_no_picture(dots, image, expected):
    with pytest.raises(UsageError, match=expected):
        dots(image)


def test_files_that_are_none(dots, tmp_path):
    with pytest.raises(DataError, match=r"absent.jpg: No such file"):
        dots(tmp_path / "absent.jpg")
    with pytest.raises(DataError, match="is not a file"):
        dots(tmp_path)


def test_a_tier_that_is_none(tmp_path):
    with pytest.raises(UsageError, match="no tier file"):
        PosePredictor(tmp_path / "absent.yaml")
    with pytest.raises(UsageError, match="min_score"):
        PosePredictor(tmp_path / "absent.yaml", min_score=-1)
    with pytest.raises(UsageError, match="min_score must be a number, got 'a'"):
        PosePredictor(tmp_path / "absent.yaml", min_score="a")  # pyright: ignore[reportArgumentType]


def test_scales_that_are_none(tiny_tier):
    with pytest.raises(UsageError, match="scales are numbers in a list, .* not '1'"):
        PosePredictor(tiny_tier, scales="1")  # pyright: ignore[reportArgumentType]


def test_a_device_that_is_not_here(tiny_tier):
    with pytest.raises(UsageError, match="^device cuda:99 cannot be used here: "):
        PosePredictor(tiny_tier, device="cuda:99")


def test_weights_that_went_away(tiny_tier, tmp_path):
    (tmp_path / "tiny.yaml").write_bytes(tiny_tier.read_bytes())
    with pytest.raises(WeightsError, match="missing"):
        PosePredictor(tmp_path / "tiny.yaml")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_pictures_are_written(tmp_path, suffix):
    image = picture(40, 50, (20, 20))
    op.write_picture(tmp_path / f"a{suffix}", image)
    assert np.abs(op.read_picture(tmp_path / f"a{suffix}").astype(int) - image).mean() < 3
    assert [file.name for file in tmp_path.iterdir()] == [f"a{suffix}"]


def test_a_picture_of_no_kind_is_not_written(tmp_path):
    with pytest.raises(UsageError, match=r"a picture is written as .jpg"):
        write_picture(tmp_path / "a.xyz", picture(4, 4))


def test_the_public_names():
    assert op.PosePredictor is PosePredictor
    assert op.read_picture is read_picture


@pytest.mark.parametrize("settings", [None, "fast", {"threshold": 0.2}])
def test_settings_are_told_from_what_they_are_not(dots, settings):
    with pytest.raises(UsageError, match="settings must be DecodeSettings"):
        PosePredictor(dots.tier, settings=settings)


def test_a_picture_too_large_for_its_kind(tmp_path):
    with pytest.raises(OfaPoseError, match=r"cannot write .*wide\.webp: .*16383"):
        write_picture(tmp_path / "wide.webp", np.zeros((1, 20_000, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_scales_that_are_set_later_may_come_in_any_order(dots):
    image = picture(200, 200, (60, 90))
    made = PosePredictor(dots.tier, scales=(0.5, 1))
    later = PosePredictor(dots.tier)
    later.scales = (0.5, 1.0)
    assert places(later(image)) == places(made(image)) != places(dots(image))
