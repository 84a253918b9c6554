"""Frozen dictionaries: no change, pickles, plain copies."""

import copy
import json
import pickle

import pytest

from ofa_pose.space import FrozenDict, freeze, thaw

NESTED = {"a": [1, {"b": [2, 3]}], "c": "d"}


def test_freeze_and_thaw_are_inverse() -> None:
    frozen = freeze(NESTED)
    assert thaw(frozen) == NESTED
    assert isinstance(frozen["a"][1], FrozenDict)
    assert type(thaw(frozen)["a"][1]) is dict


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.__setitem__("c", 1),
        lambda d: d.__delitem__("c"),
        lambda d: d.update(c=1),
        lambda d: d.pop("c"),
        lambda d: d.popitem(),
        lambda d: d.clear(),
        lambda d: d.setdefault("x", 1),
        lambda d: d.__ior__({"x": 1}),
    ],
)
def test_every_change_is_refused(change) -> None:
    frozen = freeze(NESTED)
    with pytest.raises(TypeError, match="cannot be changed"):
        change(frozen)
    assert thaw(frozen) == NESTED


def test_copies_and_json() -> None:
    frozen = freeze(NESTED)
    assert hash(frozen) == hash(freeze(NESTED))
    for copied in (copy.deepcopy(frozen), copy.copy(frozen), pickle.loads(pickle.dumps(frozen))):
        assert isinstance(copied, FrozenDict)
        assert copied == frozen
    assert json.loads(json.dumps(frozen)) == NESTED
