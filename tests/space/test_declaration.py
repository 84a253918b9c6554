"""A space that is written out comes back; what is no declaration is refused, all of it at once."""

import datetime

import pytest

from ofa_pose.errors import ArchError, SpaceError
from ofa_pose.space import Choice, SearchSpace, declare_space, restore_space


def test_a_space_made_in_python_comes_back():
    """It keeps to fewer rules than a file: 12 px, and a choice that no network names."""
    space = SearchSpace(
        name="my own",
        family="mine",
        choices=(Choice("resolution", (12, 8)), Choice("width", (20_000, 3))),
        archs={"S": {"resolution": 8, "width": 3}},  # pyright: ignore[reportArgumentType]
        tiers={"S": "3k"},
        recipe={"supernet": {"milestones": [[3, 0.1]]}},
    )
    restored = restore_space(declare_space(space))
    assert restored == space
    assert restored.choices == space.choices
    assert restored.archs["S"]["width"] == 3


def test_every_fault_is_told(space: SearchSpace):
    declaration = declare_space(space)
    declaration["colour"] = "red"
    declaration["choices"]["stem"]["values"] = ["16"]
    del declaration["pixels"]["std"]
    with pytest.raises(SpaceError) as refused:
        restore_space(declaration)
    assert sorted(str(refused.value).split("; ")) == [
        "choices.stem.values[0]: a whole number is expected, not '16'",
        "colour: unknown key",
        "known: archs, choices, description, family, format, name, network, pixels, recipe, "
        "skeleton, tiers",
        "pixels.std: this key is missing",
    ]


def test_a_key_is_guessed_inside_what_choices_hold(space: SearchSpace):
    declaration = declare_space(space)
    declaration["choices"]["stem"]["valeus"] = declaration["choices"]["stem"].pop("values")
    with pytest.raises(SpaceError, match="stem.valeus: unknown key; did you mean 'values'"):
        restore_space(declaration)


def test_a_space_that_contradicts_itself_is_refused(space: SearchSpace):
    with pytest.raises(ArchError, match="17 is not allowed"):
        restore_space({**declare_space(space), "archs": {"S": {**space.smallest, "stem": 17}}})
    with pytest.raises(SpaceError, match="network holds more than numbers and text.* date "):
        restore_space({**declare_space(space), "network": {"x": datetime.date(2024, 1, 1)}})
    endless: dict[str, object] = {}
    endless["x"] = endless
    with pytest.raises(SpaceError, match="an alias holds itself"):
        restore_space({**declare_space(space), "network": endless})
