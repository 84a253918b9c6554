"""Choices: MobileNetV2's rounding, canonical values, refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa_pose.errors import ArchError, SpaceError
from ofa_pose.space import Choice, make_divisible


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (36, 40),  # 48 * 0.75: halfway rounds up
        (18, 24),  # 24 * 0.75: 16 would lose more than 10 %
        (12, 16),
        (6, 8),  # never below the divisor
        (1, 8),
        (30, 32),
        (84, 88),
        (72, 72),
        (20, 24),
    ],
)
def test_rounding_by_hand(value: float, expected: int) -> None:
    assert make_divisible(value) == expected


@given(st.floats(0.1, 5000), st.integers(1, 64))
def test_rounding_never_loses_over_ten_percent(value: float, divisor: int) -> None:
    channels = make_divisible(value, divisor)
    assert channels % divisor == 0
    assert channels >= 0.9 * value
    assert channels <= value + divisor


def test_ratios_that_round_to_one_width_are_one_value() -> None:
    choice = Choice.from_ratios("stem", 24, ratios=[1.0, 0.75, 0.5])
    assert choice.values == (24, 16)


@given(st.lists(st.integers(1, 100), min_size=1))
def test_values_are_distinct_and_largest_first(values: list[int]) -> None:
    choice = Choice("width", tuple(values))
    assert choice.values == tuple(sorted(set(values), reverse=True))
    assert choice == Choice("width", tuple(reversed(values)))
    assert [choice.gene(value) for value in choice.values] == list(range(len(choice.values)))


@pytest.mark.parametrize("values", [(), (0,), (-8,), (True,), (8.0,), ("8",)])
def test_values_that_are_no_positive_integers_are_refused(values: tuple) -> None:
    with pytest.raises(SpaceError, match="choice 'width'"):
        Choice("width", values)


@pytest.mark.parametrize("value", [7, "8", 8.0, None, True])
def test_a_value_that_is_not_allowed_lists_those_that_are(value: object) -> None:
    with pytest.raises(ArchError, match=r"width: .* is not allowed; allowed: 16, 8, 1"):
        Choice("width", (1, 8, 16)).gene(value)


def test_values_may_come_one_by_one_or_from_numpy() -> None:
    given = Choice("a", (value for value in (2, 8, 2)))  # pyright: ignore[reportArgumentType]
    assert given == Choice("a", tuple(np.array([8, 2])))
    assert given.values == (8, 2)
    assert {type(value) for value in given.values} == {int}
    with pytest.raises(SpaceError, match="no values"):
        Choice("a", (value for value in ()))  # pyright: ignore[reportArgumentType]
    with pytest.raises(SpaceError, match="values are a list, not 3"):
        Choice("a", 3)  # pyright: ignore[reportArgumentType]
