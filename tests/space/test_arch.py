"""Archs: frozen mappings, equal by widths, ordered, picklable."""

import copy
import pickle

import pytest

from ofa_pose.space import Choice, SearchSpace


def test_is_a_mapping_in_the_order_of_the_choices(space: SearchSpace) -> None:
    arch = space.arch({"stage": 40, "stem": 16, "resolution": 32})
    assert list(arch) == ["resolution", "stem", "stage"]
    assert arch.to_dict() == {"resolution": 32, "stem": 16, "stage": 40} == dict(arch)
    assert (arch.resolution, arch["stage"], arch.key, arch.space) == (32, 40, "32-16-40", "small")
    assert len(arch) == 3
    assert "stem" in arch
    assert "width" not in arch
    with pytest.raises(KeyError):
        arch["width"]
    assert repr(arch) == "Arch(small: 32-16-40)"


def test_cannot_be_changed(space: SearchSpace) -> None:
    arch = space.largest
    with pytest.raises(AttributeError, match="cannot be changed"):
        arch.resolution = 1  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(AttributeError, match="cannot be changed"):
        del arch._values
    with pytest.raises(TypeError):
        arch["stem"] = 8  # pyright: ignore[reportIndexIssue]


def test_equal_when_the_networks_are_equal(space: SearchSpace) -> None:
    # A ratio 0.75 of 24 rounds to 24: the same arch as ratio 1.
    by_ratio = Choice.from_ratios("stem", 24, ratios=[0.75]).values[0]
    assert space.arch({**space.largest, "stem": by_ratio}) == space.largest
    assert len(set(space)) == len(space)
    assert space.largest != space.smallest
    assert space.largest != space.largest.to_dict()
    assert (space.largest == 1) is False


def test_archs_of_spaces_that_differ_are_not_equal(space: SearchSpace) -> None:
    other = SearchSpace(name="small", family="other", choices=space.choices)
    assert other.largest.to_dict() == space.largest.to_dict()
    assert other.largest != space.largest


def test_is_ordered(space: SearchSpace) -> None:
    archs = list(space)
    assert sorted(reversed(archs)) == archs[::-1]
    small, large = space.smallest, space.largest
    assert small < large
    assert large > small
    assert small <= small
    assert large >= small
    with pytest.raises(TypeError):
        assert small < 3  # pyright: ignore[reportOperatorIssue]


def test_copies_are_equal(space: SearchSpace) -> None:
    arch = space.arch("S")
    for copied in (pickle.loads(pickle.dumps(arch)), copy.copy(arch), copy.deepcopy(arch)):
        assert copied == arch
        assert hash(copied) == hash(arch)
        assert copied.to_dict() == arch.to_dict()
        assert copied.space == arch.space
