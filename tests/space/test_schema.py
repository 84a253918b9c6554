"""The schema: what is right is read, and every fault is named with file, line and key."""

import re
from pathlib import Path

import pytest
import yaml

from ofa_pose.errors import SpaceError
from ofa_pose.space import SearchSpace
from ofa_pose.space.schema import read_space

SOUND = """
format: 1
name: sound
family: litepose
choices:
  resolution: {values: [64, 32]}
  stem: {base: 16, ratios: [1.0, 0.5], divisor: 8}
  stage: {base: 48, ratios: [0.5, 0.75, 1]}
network:
  stem: stem
  stages: [{width: stage, kernel: 3}]
archs:
  S: {resolution: 32, stem: 8, stage: 24}
tiers: {S: 1.2G}
"""


def read(folder: Path, **sections: object) -> SearchSpace:
    """Read the sound space with some top-level sections replaced (None: left out)."""
    data = {**yaml.safe_load(SOUND), **sections}
    path = folder / "space.yaml"
    path.write_text(
        yaml.safe_dump({k: v for k, v in data.items() if v is not None}, sort_keys=False)
    )
    return read_space(path)


def choice(text: str) -> dict:
    """Return choices in which `stage` is declared by a YAML text."""
    return {**yaml.safe_load(SOUND)["choices"], "stage": yaml.safe_load(text)}


def test_a_sound_space_is_read(tmp_path: Path) -> None:
    space = read(tmp_path, description="words", skeleton="coco")
    assert (space.name, space.family, space.skeleton) == ("sound", "litepose", "coco")
    assert {c.name: c.values for c in space.choices} == {
        "resolution": (64, 32),
        "stem": (16, 8),
        "stage": (48, 40, 24),  # 48 * 0.75 = 36 -> 40
    }
    assert space.network["stages"][0]["width"] == "stage"
    assert space.archs["S"].key == "32-8-24"
    assert space.tiers == {"S": "1.2G"}
    assert space.pixel_mean == (123.675, 116.28, 103.53)
    assert space.pixel_std == (58.395, 57.12, 57.375)
    assert space.description == "words"
    assert space.recipe == {}


def test_pixels_are_read(tmp_path: Path) -> None:
    space = read(tmp_path, pixels={"mean": [127, 127, 127], "std": [128, 128, 128]})
    assert space.pixel_mean == (127.0, 127.0, 127.0)
    assert space.pixel_std == (128.0, 128.0, 128.0)
    assert read(tmp_path, pixels={"mean": [0, 0, 0]}).pixel_std == (58.395, 57.12, 57.375)


def test_a_resolution_may_state_its_own_divisor(tmp_path: Path) -> None:
    choices = {**yaml.safe_load(SOUND)["choices"], "resolution": {"values": [28], "divisor": 4}}
    assert read(tmp_path, choices=choices, archs=None).largest.resolution == 28


FAULTS = [
    ({"format": 2}, "format: it should be 1, not 2"),
    ({"format": None}, "format: this key is missing"),
    ({"name": "a b"}, "name: string should match pattern"),
    ({"name": "../x"}, "name: string should match pattern"),
    ({"name": 3}, "name: text is expected, not 3"),
    ({"skeleton": ""}, "skeleton: string should have at least 1 character"),
    ({"choises": {}}, "choises: unknown key 'choises'; did you mean 'choices'?"),
    ({"choices": None}, "choices: this key is missing"),
    ({"choices": {}}, "choices: at least 1 expected"),
    ({"choices": [1]}, "choices: a mapping is expected, not [1]"),
    ({"network": "stem"}, "network: a mapping is expected, not 'stem'"),
    ({"pixels": 127}, "pixels: a mapping is expected, not 127"),
    ({"pixels": {"mean": [1, 2]}}, "pixels.mean: at least 3 expected, not [1, 2]"),
    ({"pixels": {"mean": [1, 2, 3, 4]}}, "pixels.mean: at most 3 expected"),
    ({"pixels": {"mean": [1, 2, "x"]}}, "pixels.mean[2]: a number is expected, not 'x'"),
    ({"pixels": {"mean": [1, 2, float("nan")]}}, "pixels.mean[2]: a finite number is expected"),
    ({"pixels": {"std": [1, 0, 1]}}, "pixels.std[1]: it should be greater than 0, not 0"),
    ({"pixels": {"sdt": [1, 1, 1]}}, "pixels.sdt: unknown key 'sdt'; did you mean 'std'?"),
    ({"choices": choice("8")}, "choices.stage: a mapping is expected, not 8"),
    ({"choices": choice("{}")}, "choices.stage: give either values, or both base and ratios"),
    ({"choices": choice("{base: 8}")}, "give either values, or both base and ratios"),
    ({"choices": choice("{ratios: [1]}")}, "give either values, or both base and ratios"),
    (
        {"choices": choice("{values: [8], base: 8, ratios: [1]}")},
        "choices.stage: give either values, or base and ratios, not both",
    ),
    (
        {"choices": choice("{base: 8, ratios: [1.25, 1]}")},
        "choices.stage.ratios: a ratio is above 0 and at most 1, not 1.25",
    ),
    ({"choices": choice("{base: 8, ratios: [0]}")}, "a ratio is above 0 and at most 1, not 0"),
    ({"choices": choice("{base: 8, ratios: [-1]}")}, "a ratio is above 0 and at most 1, not -1"),
    ({"choices": choice("{base: 8, ratios: []}")}, "choices.stage.ratios: at least 1 expected"),
    ({"choices": choice("{base: 8, ratios: [1, 1]}")}, "stage.ratios: 1.0 stands twice"),
    ({"choices": choice("{base: 0, ratios: [1]}")}, "choices.stage.base: it should be greater"),
    ({"choices": choice("{base: 8, ratios: 1}")}, "choices.stage.ratios: a list is expected"),
    ({"choices": choice("{values: []}")}, "choices.stage.values: at least 1 expected, not []"),
    ({"choices": choice("{values: [8, 8]}")}, "choices.stage.values: 8 stands twice in [8, 8]"),
    ({"choices": choice("{values: [8, 4.5]}")}, "choices.stage.values[1]: a whole number is"),
    ({"choices": choice("{values: [true]}")}, "choices.stage.values[0]: a whole number is"),
    ({"choices": choice("{values: [0]}")}, "choices.stage.values[0]: it should be greater than"),
    ({"choices": choice("{values: [12], divisor: 8}")}, "choices.stage: not a multiple of 8: 12"),
    (
        {"choices": choice("{values: [8], divisors: 8}")},
        "choices.stage.divisors: unknown key 'divisors'; did you mean 'divisor'?",
    ),
    (
        {"choices": {"resolution": {"values": [100, 64]}}},
        "choices.resolution: not a multiple of 16: 100",
    ),
    (
        {"choices": {"resolutoin": {"values": [64]}}},
        "choices: there is no choice 'resolution', which every space needs",
    ),
    (
        {"choices": {**choice("{values: [8]}"), "a-b": {"values": [8]}}},
        "choices.a-b: the name of a choice is letters, digits and underscores",
    ),
    (
        {"choices": {**choice("{values: [8]}"), "deconv": {"values": [8]}}},
        "choices.deconv: choice 'deconv' is never used in network",
    ),
    (
        {"network": {"stem": "stem", "stages": [{"width": "stage"}, {"width": "stgae"}]}},
        "network.stages[1].width: unknown choice 'stgae'; did you mean 'stage'?",
    ),
    ({"archs": [1]}, "archs: a mapping is expected, not [1]"),
    ({"archs": {"S": 3}}, "archs.S: a mapping of choices to values is expected, not 3"),
    ({"archs": {"S": {"resolution": 32, "stem": 8}}}, "archs.S: no value for stage"),
    (
        {"archs": {"S": {"resolution": 32, "stem": 12, "stage": 24}}},
        "archs.S: stem: 12 is not allowed; allowed: 16, 8",
    ),
    (
        {"archs": {"S": {"resolution": 32, "stm": 8, "stem": 8, "stage": 24}}},
        "archs.S: unknown choice 'stm'; did you mean 'stem'?",
    ),
    (
        {"archs": {"largest": {"resolution": 32, "stem": 8, "stage": 24}}},
        "archs.largest: this name is kept for the largest arch of the space",
    ),
    ({"tiers": {"S": 150}}, "tiers.S: a budget with its unit is expected, such as 1.2G, not 150"),
    ({"tiers": {"S": "G"}}, "tiers.S: a budget with its unit is expected"),
    ({"tiers": {False: "1G"}}, "tiers.False: YAML reads this key as bool; put it in quotes"),
    ({"recipe": []}, "recipe: a mapping is expected, not []"),
    ({"recipe": {"finetune": {1: 2}}}, "YAML reads this key as int; put it in quotes"),
]


@pytest.mark.parametrize(("sections", "message"), FAULTS, ids=[message for _, message in FAULTS])
def test_a_fault_is_named_with_file_and_key(tmp_path: Path, sections, message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        read(tmp_path, **sections)
    assert message in str(caught.value)
    assert str(tmp_path / "space.yaml") in str(caught.value)


def test_one_fault_is_one_line_with_its_line_number(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(SOUND.replace("[1.0, 0.5]", "[1.5, 0.5]").replace("stem: 8,", "stem: 16,"))
    with pytest.raises(SpaceError) as caught:
        read_space(path)
    assert str(caught.value) == (
        f"{path}: line 7: choices.stem.ratios: a ratio is above 0 and at most 1, not 1.5; "
        "base is the full width"
    )


def test_a_skeletons_file_is_looked_for_from_the_spaces_folder(tmp_path: Path) -> None:
    folder = tmp_path.resolve()
    for text, found in {
        "own.yaml": folder / "own.yaml",
        "../joints/own.yml": folder.parent / "joints" / "own.yml",
        "joints/own": folder / "joints" / "own",
        "/joints/own.yaml": Path("/joints/own.yaml"),
    }.items():
        assert read(tmp_path, skeleton=text).skeleton == str(found)
    assert read(tmp_path, skeleton="aic").skeleton == "aic"


def test_every_fault_is_collected_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(
        "format: 1\n"
        "name: x\n"
        "familly: litepose\n"
        "pixels: {mean: [1]}\n"
        "choices:\n"
        "  resolution: {values: [33]}\n"
        "  stem: {base: 16, ratios: [2], divisr: 8}\n"
        "  stem: {base: 16, ratios: [3]}\n"
        "network: {width: stm}\n"
        "archs: {A: {foo: 1}}\n"
        "tiers: {S: 2020-01-01}\n"
    )
    with pytest.raises(SpaceError) as caught:
        read_space(path)
    head, *faults = str(caught.value).splitlines()
    assert head == f"{path} has {len(faults)} faults:"
    assert [fault.strip() for fault in faults] == [
        "family: this key is missing",
        "line 3: familly: unknown key 'familly'; did you mean 'family'?",
        "line 4: pixels.mean: at least 3 expected, not [1]",
        "line 6: choices.resolution: not a multiple of 16: 33",
        "line 8: choices.stem: this key stands twice in one mapping",
        "line 8: choices.stem.ratios: a ratio is above 0 and at most 1, not 3.0; "
        "base is the full width",
        "line 8: choices.stem: choice 'stem' is never used in network",
        "line 9: network.width: unknown choice 'stm'; did you mean 'stem'?",
        "line 10: archs.A: unknown choice 'foo'; known: resolution, stem",
        "line 10: archs.A: no value for resolution, stem",
        "line 11: tiers.S: YAML reads this value as date; put it in quotes",
        "line 11: tiers.S: a budget with its unit is expected, such as 1.2G, "
        "not datetime.date(2020, 1, 1)",
    ]


def test_a_space_with_too_many_archs_names_its_file(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(10)]
    choices = {name: {"values": list(range(1, 101))} for name in names}
    with pytest.raises(SpaceError, match=r"space.yaml: the choices span more than"):
        read(
            tmp_path,
            choices={"resolution": {"values": [32]}, **choices},
            network={name: name for name in names},
            archs=None,
        )


@pytest.mark.parametrize("name", ["config", "best", "Last", "best.", "!config"])
@pytest.mark.parametrize("section", ["tiers", "archs"])
def test_names_of_a_runs_own_files_are_kept(tmp_path: Path, section: str, name: str) -> None:
    value = {"tiers": "1.2G", "archs": yaml.safe_load(SOUND)["archs"]["S"]}[section]
    kept = name.lower().strip(".!")
    expected = f"{re.escape(name)}: this name is kept for the file '{kept}' of a run's folder"
    with pytest.raises(SpaceError, match=expected):
        read(tmp_path, **{section: {name: value}})
    assert read(tmp_path, **{section: {f"{kept}2": value}})
