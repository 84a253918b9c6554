"""Joints painted as coloured spots and a network that sees colours: all positions are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ofa_pose.data import Scene, normalize
from ofa_pose.errors import DataError, SkeletonError, UsageError, WeightsError
from ofa_pose.evaluate import PictureBatch, evaluate_network, mapper_of, predict_scenes
from ofa_pose.evaluate.people import run_passes
from ofa_pose.skeleton import Skeleton, load_skeleton
from ofa_pose.space import Choice, SearchSpace

MEAN, STD = (10.0, 20.0, 30.0), (50.0, 60.0, 70.0)
# One joint a colour channel; nothing changes places in a mirrored picture.
COLOURS = Skeleton(
    name="colours",
    joints=("red", "green", "blue"),
    flip=(0, 1, 2),
    limbs=((0, 1),),
    sigmas=(0.1, 0.1, 0.1),
    matching_order=(0, 1, 2),
)
SPACE = SearchSpace(
    name="none",
    family="none",
    choices=(Choice("resolution", (96,)),),
    pixel_mean=MEAN,
    pixel_std=STD,
)
Point = tuple[float, float]


class ColourNetwork(nn.Module):
    """Heatmaps are the colours; tags are the column, 4 a picture width, so that people differ."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))
        self.frozen = nn.BatchNorm2d(3).eval()  # a module whose mode is not its parent's

    def forward(self, images: Tensor) -> list[Tensor]:
        assert not self.training
        mean, std = torch.tensor(MEAN), torch.tensor(STD)
        colours = (images * std.view(3, 1, 1) + mean.view(3, 1, 1)) / 255 * self.gain
        # The border that pictures are padded with is grey: what all channels share is no spot.
        colours = (colours - colours.amin(dim=1, keepdim=True)).clamp(min=0)
        low = F.avg_pool2d(colours, 4)
        columns = torch.linspace(0, 4, low.shape[3]).expand_as(low)
        return [torch.cat([low, columns], dim=1), F.avg_pool2d(colours, 2)]


class SpotScenes:
    """Black pictures with a soft spot of a joint's colour at every joint."""

    skeleton = COLOURS

    def __init__(self, pictures: Sequence[tuple[tuple[int, int], Sequence[Sequence[Point]]]]):
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Scene:
        (height, width), people = self.pictures[index]
        rows, columns = np.mgrid[:height, :width] + 0.5
        radius = min(height, width) / 24
        image = np.zeros((height, width, 3))
        for person in people:
            for joint, (x, y) in enumerate(person):
                distance = (columns - x) ** 2 + (rows - y) ** 2
                image[..., joint] += 255 * np.exp(-distance / (2 * radius**2))
        points = np.array([[(x, y, 2) for x, y in person] for person in people], np.float32)
        points = points.reshape(-1, 3, 3)
        return Scene(
            image=image.clip(0, 255).astype(np.uint8),
            keypoints=points,
            valid=np.ones((height, width), bool),
            image_id=100 + index,
            boxes=np.zeros((len(people), 4), np.float32),
            areas=np.full(len(people), 0.1 * height * width, np.float32),
        )

    def fingerprint(self) -> str:
        raise NotImplementedError

    def ground_truth(self) -> dict[str, Any]:
        images, annotations = [], []
        for index, ((height, width), people) in enumerate(self.pictures):
            images.append({"id": 100 + index, "width": width, "height": height})
            for person in people:
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": 100 + index,
                        "category_id": 1,
                        "keypoints": [value for x, y in person for value in (x, y, 2)],
                        "num_keypoints": 3,
                        "bbox": [0, 0, width, height],
                        "area": 0.1 * height * width,
                        "iscrowd": 0,
                    }
                )
        return {"images": images, "annotations": annotations, "categories": [{"id": 1}]}


LEFT = [(20.0, 20.0), (24.0, 50.0), (30.0, 80.0)]
RIGHT = [(78.0, 24.0), (70.0, 48.0), (74.0, 84.0)]
WIDE = [(33.0, 30.0), (41.0, 101.0), (40.0, 171.0)]
SCENES = SpotScenes(
    [
        ((96, 96), [LEFT, RIGHT]),
        ((96, 150), [LEFT]),
        ((96, 96), []),
        ((200, 150), [WIDE]),
        ((96, 150), [[(120.0, 30.0), (121.0, 60.0), (122.0, 80.0)]]),
        ((96, 96), [RIGHT]),
    ]
)


def predict(source: Any = SCENES, network: nn.Module | None = None, **options: Any) -> list[dict]:
    return predict_scenes(
        network or ColourNetwork(),
        source,
        **{"resolution": 96, "pixel_mean": MEAN, "pixel_std": STD, **options},
    )


def points_of(result: Mapping[str, Any]) -> np.ndarray:
    return np.array(result["keypoints"]).reshape(3, 3)[:, :2]


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("resolution", [96, 64, 192])
def test_joints_come_back_where_they_were_painted(resolution, flip):
    results = predict(resolution=resolution, flip=flip)
    assert [result["image_id"] for result in results] == [100, 100, 101, 103, 104, 105]
    results[:2] = sorted(results[:2], key=lambda result: result["keypoints"][0])
    painted = [LEFT, RIGHT, LEFT, WIDE, SCENES.pictures[4][1][0], RIGHT]
    for result, person in zip(results, painted, strict=True):
        (height, width), _ = SCENES.pictures[result["image_id"] - 100]
        shrunk = min(height, width) / resolution
        # A heatmap cell is two input pixels; the quarter shift leaves at most 0.75 of one.
        assert np.abs(points_of(result) - person).max() <= 1.5 * shrunk


@pytest.mark.parametrize("scales", [(0.5, 1, 2), (1.5, 1)])
def test_joints_come_back_from_several_scales(scales):
    results = predict(scales=scales)
    assert [result["image_id"] for result in results] == [100, 100, 101, 103, 104, 105]
    results[:2] = sorted(results[:2], key=lambda result: result["keypoints"][0])
    painted = [LEFT, RIGHT, LEFT, WIDE, SCENES.pictures[4][1][0], RIGHT]
    for result, person in zip(results, painted, strict=True):
        (height, width), _ = SCENES.pictures[result["image_id"] - 100]
        # A cell of the smallest scale is four pixels of the input.
        assert np.abs(points_of(result) - person).max() <= 3 * min(height, width) / 96


def test_the_network_sees_every_scale_plain_and_mirrored():
    seen = []

    class Spy(ColourNetwork):
        def forward(self, images: Tensor) -> list[Tensor]:
            seen.append(tuple(images.shape))
            return super().forward(images)

    alone = SpotScenes(SCENES.pictures[:1])
    predict(alone, Spy(), scales=(0.5, 1, 2), flip=True)
    sides = (96, 96, 48, 48, 192, 192)
    assert seen == [(1, 3, side, side) for side in sides]


def test_same_results_every_time_and_for_every_batch_size():
    first = predict(batch_size=4)
    assert predict(batch_size=4) == first
    for own, other in zip(predict(batch_size=1), first, strict=True):
        np.testing.assert_allclose(own["keypoints"], other["keypoints"], atol=1e-4)


def test_a_cpu_is_given_no_more_than_its_cache_holds():
    network, seen = ColourNetwork().eval(), []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    images = torch.arange(5 * 3 * 256 * 256).remainder_(251).byte().view(5, 3, 256, 256)
    pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
    batch = PictureBatch(pixels, tuple(range(5)), tuple(range(5)), (np.eye(2, 3),) * 5)
    mapper = mapper_of(network, pixel_mean=MEAN, pixel_std=STD)
    with torch.no_grad():
        ((plain, mirrored),) = run_passes(mapper, batch, flip=True)
        expected = network(normalize(images, MEAN, STD))
    assert [shape[0] for shape in seen] == [2, 2, 1, 2, 2, 1, 5]
    assert mirrored is not None
    for maps, whole in zip(plain, expected, strict=True):
        np.testing.assert_array_equal(maps, whole.numpy())
    # The mirror image of the first colour's heatmap is the heatmap of the mirrored colour.
    np.testing.assert_allclose(mirrored[1], expected[1].flip(3).numpy(), atol=1e-5)


def test_network_is_left_in_its_modes():
    network = ColourNetwork().train()
    network.frozen.eval()
    predict(network=network)
    assert network.training
    assert not network.frozen.training


def test_network_is_left_in_its_modes_after_an_error():
    network = ColourNetwork().train()
    with torch.no_grad():
        network.gain.fill_(torch.nan)
    with pytest.raises(WeightsError, match="NaN"):
        predict(network=network)
    assert network.training


def test_network_sees_channels_last_and_no_gradients():
    seen = []

    class Spy(ColourNetwork):
        def forward(self, images: Tensor) -> list[Tensor]:
            seen.append(images.is_contiguous(memory_format=torch.channels_last))
            assert torch.is_inference_mode_enabled()
            return super().forward(images)

    predict(network=Spy(), flip=True)
    assert len(seen) == 2 * 3  # three sizes, each also mirrored
    assert all(seen[0::2])


def test_progress_counts_pictures():
    seen: list[int] = []
    predict(batch_size=2, progress=seen.append)
    # Sizes: three of 96x96, two of 96x150, one of 200x150; full batches first.
    assert seen == [2, 4, 5, 6]


def test_a_stand_in_for_a_damaged_picture_counts_once():
    class Damaged(SpotScenes):
        def __getitem__(self, index: int) -> Scene:
            return super().__getitem__(5 if index == 4 else index)

    results = predict(Damaged(SCENES.pictures))
    assert [result["image_id"] for result in results] == [100, 100, 101, 103, 105]


def test_another_number_of_joints_is_refused():
    class Labelled17(SpotScenes):
        skeleton = load_skeleton("coco")

    with pytest.raises(SkeletonError, match=r"predicts 3 joints.*17.*'coco'"):
        predict(Labelled17(SCENES.pictures))


def test_wrong_arguments_are_refused():
    with pytest.raises(UsageError, match="batch size"):
        predict(batch_size=0)


def test_a_network_that_sees_everything_has_ap_1():
    scores = evaluate_network(ColourNetwork(), SCENES, resolution=96, space=SPACE)
    assert scores["AP"] == pytest.approx(1.0)
    assert scores["AR"] == pytest.approx(1.0)


def test_a_network_that_sees_one_person_of_six_has_the_ap_of_one():
    class OneScene(ColourNetwork):
        def forward(self, images: Tensor) -> list[Tensor]:
            outputs = super().forward(images)
            return outputs if images.shape[2] > 100 else [0 * output for output in outputs]

    scores = evaluate_network(OneScene(), SCENES, resolution=96, space=SPACE)
    # Recall 1/6: of the 101 recall points 0, 0.01 .. 1, the 17 up to 0.16 have precision 1.
    assert scores["AP"] == pytest.approx(17 / 101)
    assert scores["AR"] == pytest.approx(1 / 6)


def test_scenes_without_labels_have_no_ap():
    with pytest.raises(DataError, match="none of the 2 scenes"):
        evaluate_network(
            ColourNetwork(),
            SpotScenes([((96, 96), []), ((96, 96), [])]),
            resolution=96,
            space=SPACE,
        )


def test_pictures_do_not_change_a_network_that_still_trains():
    network = nn.Sequential(nn.Conv2d(3, 6, 1), nn.BatchNorm2d(6))
    run = mapper_of(network, pixel_mean=MEAN, pixel_std=STD)
    with pytest.raises(UsageError, match=r"training mode; call network.eval\(\)"):
        run(np.zeros((1, 8, 8, 3), np.uint8))
    assert int(network[1].num_batches_tracked) == 0  # pyright: ignore[reportArgumentType]
    network.eval()
    assert run(np.zeros((1, 8, 8, 3), np.uint8))[0].shape == (6, 8, 8)
