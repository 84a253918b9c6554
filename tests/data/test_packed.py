"""A packed list gives what was put in, and takes little memory."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa_pose.data.packed import PackedList

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.lists(VALUES, max_size=6))
def test_it_is_what_was_put_in(items: list) -> None:
    packed = PackedList(iter(items))
    assert len(packed) == len(items)
    assert list(packed) == items
    assert [packed[i - len(items)] for i in range(len(items))] == items
    assert list(pickle.loads(pickle.dumps(packed))) == items


def test_what_is_read_is_a_copy() -> None:
    packed = PackedList([{"boxes": [1.0]}])
    packed[0]["boxes"].append(2.0)
    assert packed[0] == {"boxes": [1.0]}


def test_beyond_the_end() -> None:
    with pytest.raises(IndexError):
        PackedList(["a"])[1]


def test_a_person_of_17_joints_takes_less_than_a_kilobyte() -> None:
    rng = np.random.default_rng(0)
    people = [{"id": i, "keypoints": rng.uniform(0, 600, 51).tolist()} for i in range(200)]
    assert len(pickle.dumps(PackedList(people))) < 200 * 1024
