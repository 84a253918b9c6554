"""What weights say of themselves: skeletons of one's own are in it, whole; damage is refused."""

import dataclasses
import json
from pathlib import Path

import pytest

import ofa_pose as op
from ofa_pose.errors import WeightsError
from ofa_pose.skeleton import Skeleton, load_skeleton
from ofa_pose.supernet import load_supernet, load_weights, save_supernet, save_weights
from ofa_pose.supernet.metadata import read_options, weights_metadata

MINE = Skeleton(
    name="mine",
    joints=("head", "left", "right"),
    flip=(0, 2, 1),
    limbs=((0, 1), (0, 2)),
    sigmas=(0.1, 0.2, 0.2),
    matching_order=(0, 1, 2),
    area_rule="bbox0.53",
)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A supernet's file whose skeleton is in no file."""
    supernet = op.Supernet(op.load_space("toy"), skeleton=MINE)
    save_supernet(tmp_path / "s.safetensors", supernet)
    return tmp_path / "s.safetensors"


def rewrite(path: Path, **changes: str | None) -> Path:
    state, metadata = load_weights(path)
    changed = {**metadata, **changes}
    save_weights(path, state, metadata={k: v for k, v in changed.items() if v is not None})
    return path


def test_a_skeleton_of_ones_own_comes_back_whole(weights: Path) -> None:
    assert json.loads(load_weights(weights)[1]["options"]) == {"skeleton": "mine"}
    assert load_supernet(weights).options == {"skeleton": MINE}
    assert load_supernet(weights, skeleton=MINE).options == {"skeleton": MINE}


def test_another_skeleton_of_the_same_name(weights: Path) -> None:
    other = dataclasses.replace(MINE, sigmas=(0.1, 0.3, 0.3), area_rule="annotated")
    with pytest.raises(WeightsError, match="called 'mine': sigmas, area_rule differ"):
        load_supernet(weights, skeleton=other)


def test_another_skeleton_of_a_shipped_name(tmp_path: Path) -> None:
    coco = load_skeleton("coco")
    odd = dataclasses.replace(coco, sigmas=tuple(2 * sigma for sigma in coco.sigmas))
    path, space = tmp_path / "s.safetensors", op.load_space("toy")
    save_supernet(path, op.Supernet(space, skeleton="coco"))
    # Also where the file was written before skeletons were written whole.
    for file in (path, rewrite(path, skeleton_declaration=None)):
        with pytest.raises(WeightsError, match="called 'coco': sigmas differ"):
            load_supernet(file, skeleton=odd)
    save_supernet(path, op.Supernet(space, skeleton=odd))
    assert load_supernet(path).options == {"skeleton": odd}
    with pytest.raises(WeightsError, match="called 'coco': sigmas differ"):
        load_supernet(path, skeleton="coco")


def test_a_file_with_the_skeletons_name_alone(weights: Path) -> None:
    rewrite(weights, skeleton_declaration=None)
    assert load_supernet(weights, skeleton=MINE).options == {"skeleton": MINE}


def test_the_spaces_own_skeleton() -> None:
    metadata = weights_metadata("network", op.load_space("toy"), options={"skeleton": None})
    assert read_options(metadata, source="x") == {"skeleton": "crowdpose"}
    assert "skeleton_declaration" not in weights_metadata(
        "network", op.load_space("toy"), options={"classes": 3}
    )


@pytest.mark.parametrize("options", ["", "{", "[]", "3", "null", '{"skeleton": ["coco"]}'])
def test_damaged_options(weights: Path, options: str) -> None:
    with pytest.raises(WeightsError, match="options.* damaged"):
        load_supernet(rewrite(weights, options=options))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"joints": ["head", "left"]}, "flip must pair 2 joints"),
        ({"limbs": 3}, "limbs is no list"),
        ({"limbs": [[{}, {}]]}, "do not join"),
        ({"flip": ["a", 1, 2]}, "not the declaration"),
        ({"name": 3}, "no name"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_damaged_skeleton(weights: Path, changes: dict, expected: str) -> None:
    declaration = json.dumps({**MINE.to_dict(), **changes})
    with pytest.raises(WeightsError, match=f"s.safetensors: the skeleton in its.*{expected}"):
        load_supernet(rewrite(weights, skeleton_declaration=declaration))
