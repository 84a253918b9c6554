"""What weights say of themselves: skeletons of one's own are in it, whole; damage is refused."""

import dataclasses
import json
import re
import runpy
from pathlib import Path

import pytest
import yaml

import ofa_pose as op
from ofa_pose.catalog import catalog_folder, space_names
from ofa_pose.errors import UnknownNameError, WeightsError
from ofa_pose.skeleton import Skeleton, load_skeleton
from ofa_pose.space import restore_space
from ofa_pose.supernet import load_supernet, load_weights, save_supernet, save_weights
from ofa_pose.supernet.metadata import read_options, read_space_of, weights_metadata

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


@pytest.fixture
def own(tmp_path: Path) -> op.SearchSpace:
    """A space that no folder of spaces holds."""
    text = catalog_folder("search_spaces").joinpath("toy.yaml").read_text()
    path = tmp_path / "elsewhere" / "mine.yaml"
    path.parent.mkdir()
    path.write_text(text.replace("name: toy", "name: mine"))
    return op.load_space(path)


def test_a_space_of_ones_own_comes_back_whole(own: op.SearchSpace, tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    save_supernet(path, op.Supernet(own))
    space = load_supernet(path).space
    assert space == own
    assert (space.hash, space.recipe, space.tiers) == (own.hash, own.recipe, own.tiers)


ROOT = Path(op.__file__).parent.parent
EXAMPLES = [
    path for path in sorted((ROOT / "examples").glob("*.py")) if "SearchSpace(" in path.read_text()
]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "search_spaces" / "README.md"]


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> list[op.SearchSpace]:
    """The spaces of examples and pages, in Python and in YAML; their families get registered."""
    found = [value for path in EXAMPLES for value in runpy.run_path(str(path)).values()]
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S):
            if "SearchSpace(" in block:
                names: dict[str, object] = {"__name__": "page"}
                exec(compile(block, page.name, "exec"), names)  # noqa: S102
                found += names.values()
        for block in re.findall(r"^```yaml\n(.*?)^```", text, re.M | re.S):
            if "\nfamily:" in block:
                path = tmp_path_factory.mktemp("space") / "space.yaml"
                path.write_text(block, encoding="utf-8")
                found.append(op.load_space(path))
    return [space for space in found if isinstance(space, op.SearchSpace)]


def test_documented_spaces_come_back_from_weights(
    documented: list[op.SearchSpace], tmp_path: Path
) -> None:
    assert {space.name for space in documented} == {"digits", "mine", "my-space"}
    for space in documented:
        save_supernet(tmp_path / "s.safetensors", op.Supernet(space))
        assert load_supernet(tmp_path / "s.safetensors").space == space


def test_resolutions_of_another_divisor_come_back(tmp_path: Path) -> None:
    text = catalog_folder("search_spaces").joinpath("toy.yaml").read_text()
    path = tmp_path / "mine.yaml"
    resolution = "resolution: {values: [56, 40], divisor: 8}"
    path.write_text(
        re.sub(r"resolution: \{.*\}", resolution, text.replace("name: toy", "name: mine"), count=1)
    )
    space = op.load_space(path)
    metadata = weights_metadata("supernet", space, options={})
    assert read_space_of(metadata, source="x").choices[0].values == (56, 40)


@pytest.mark.parametrize("name", sorted(space_names()))
def test_shipped_spaces_survive_being_written_out(name: str) -> None:
    space = op.load_space(name)
    metadata = weights_metadata("supernet", space, options={})
    assert restore_space(yaml.safe_load(metadata["space_declaration"])) == space


def test_the_weights_own_space_counts_and_not_its_namesake(
    own: op.SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, folder = tmp_path / "s.safetensors", tmp_path / "known"
    save_supernet(path, op.Supernet(own))
    folder.mkdir()
    text = (tmp_path / "elsewhere" / "mine.yaml").read_text()
    (folder / "mine.yaml").write_text(text.replace("[48, 32]", "[48]"))
    monkeypatch.setenv("OFA_POSE_PATH", str(folder))
    assert op.load_space("mine").hash != own.hash
    assert load_supernet(path).space == own
    assert load_supernet(path, space=own).space == own
    for file in (path, rewrite(path, space_declaration=None)):  # what is asked for is compared
        with pytest.raises(WeightsError, match=r"trained on space 'mine' .*, not on 'mine'"):
            load_supernet(file, space=op.load_space("mine"))
    with pytest.raises(WeightsError, match=r"trained on space 'mine' .*, not on 'mine'"):
        load_supernet(path)  # as was written before weights carried their space


def test_a_space_that_was_edited_in_the_file_is_refused(
    own: op.SearchSpace, tmp_path: Path
) -> None:
    path = tmp_path / "s.safetensors"
    save_supernet(path, op.Supernet(own))
    declaration = yaml.safe_load(load_weights(path)[1]["space_declaration"])
    declaration["choices"]["resolution"]["values"] = [48]
    rewrite(path, space_declaration=yaml.safe_dump(declaration, sort_keys=False))
    with pytest.raises(WeightsError, match=r"trained on space 'mine' .*, not on 'mine'"):
        load_supernet(path)


def test_a_damaged_or_missing_space(own: op.SearchSpace, tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    save_supernet(path, op.Supernet(own))
    for damaged, expected in (
        ("name: [", "is not valid YAML"),
        ("3", ": a mapping is expected, not 3"),
        ("network: &a {x: *a}", ": format: this key is missing; .*"),
    ):
        rewrite(path, space_declaration=damaged)
        with pytest.raises(
            WeightsError, match=rf"^the space in the metadata of .*s\.safetensors ?{expected}$"
        ):
            load_supernet(path)
    rewrite(path, space_declaration=None)
    with pytest.raises(UnknownNameError, match="unknown search space 'mine'"):
        load_supernet(path)
    assert load_supernet(path, space=own).space == own


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
