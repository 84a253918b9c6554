"""Uniform scaling: the ratios of a space's YAML, one at a time, at every resolution."""

import pytest
import yaml

from ofa_pose.catalog import load_space, search_folders
from ofa_pose.space import Choice, SearchSpace, make_divisible, uniform_archs


@pytest.mark.parametrize("name", ["litepose-xs", "litepose", "litepose-lite0"])
def test_ratios_of_the_yaml_give_the_same_archs(name):
    path = next(f / f"{name}.yaml" for f in search_folders("search_spaces"))
    choices = yaml.safe_load(path.read_text())["choices"]
    resolutions = choices.pop("resolution")["values"]
    ratios = choices["stage3"]["ratios"]
    space = load_space(name)
    expected = {
        space.arch(
            {
                "resolution": resolution,
                **{n: make_divisible(c["base"] * ratio, 8) for n, c in choices.items()},
            }
        )
        for resolution in resolutions
        for ratio in ratios
    }
    found = uniform_archs(space)
    assert set(found) == expected
    assert len(found) == len(expected) == len(resolutions) * len(ratios)
    assert found[0] == space.largest


def test_other_choices_than_widths_take_the_same_place(space):
    other = SearchSpace(
        name="kernels",
        family="none",
        choices=(
            Choice("resolution", (64,)),
            Choice("kernel", (7, 5, 3)),
            Choice("width", (32, 24, 16)),
            Choice("depth", (4,)),
        ),
    )
    found = [tuple(arch.values()) for arch in uniform_archs(other)]
    assert found == [(64, 7, 32, 4), (64, 5, 24, 4), (64, 3, 16, 4)]
    # Half of 24 is 12 channels, which become 16; three quarters of it become 24.
    assert [arch["stem"] for arch in uniform_archs(space)] == [24, 24, 16] * 2


def test_resolution_alone():
    space = SearchSpace(name="one", family="none", choices=(Choice("resolution", (64, 32)),))
    assert uniform_archs(space) == tuple(space)
