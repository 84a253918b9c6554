"""What an evaluation says of its arch."""

import math
from typing import Any

import numpy as np
import pytest

from ofa_pose.errors import (
    DataError,
    UnknownNameError,
    UsageError,
    WeightsError,
    WorkerLostError,
)
from ofa_pose.search.evaluation import told


def test_scores_pass_through() -> None:
    assert told({"AP": 0.5, "AR": 0.6}, "AP") == ({"AP": 0.5, "AR": 0.6}, "")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_objective_that_is_no_number_is_a_failure(value: float) -> None:
    scores, error = told({"AP": value}, "AP")
    assert "AP" in scores
    assert error == f"AP is {value}"


def test_failure_of_the_arch_is_told_in_one_line() -> None:
    assert told(WeightsError("the network's\n  outputs hold NaN"), "AP") == (
        {},
        "the network's outputs hold NaN",
    )
    assert told(WorkerLostError(""), "AP") == ({}, "WorkerLostError")


def test_other_failures_stop_the_search() -> None:
    with pytest.raises(DataError, match="gone"):
        told(DataError("gone"), "AP")
    with pytest.raises(UnknownNameError, match="APP"):
        told({"AP": 0.5}, "APP")


@pytest.mark.parametrize("value", [np.float32(0.5), np.array(0.5), np.array([0.5])[0]])
def test_numbers_of_other_kinds_become_floats(value: Any) -> None:
    scores, error = told({"AP": value, "AR": 1}, "AP")
    assert (scores, error) == ({"AP": 0.5, "AR": 1.0}, "")
    assert {type(score) for score in scores.values()} == {float}


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (0.5, "an evaluation gives scores by name, such as {'AP': 0.5}, not 0.5"),
        (None, "an evaluation gives scores by name, such as {'AP': 0.5}, not None"),
        ({0: 0.5}, "an evaluation gives scores by name, such as {'AP': 0.5}, not {0: 0.5}"),
        ({"AP": None}, "an evaluation gives numbers as scores; 'AP' is None"),
        ({"AP": "0.5"}, "an evaluation gives numbers as scores; 'AP' is '0.5'"),
        ({"AP": 0.5, "AR": None}, "an evaluation gives numbers as scores; 'AR' is None"),
        (
            {"AP": np.array([1.0, 2.0])},
            "an evaluation gives numbers as scores; 'AP' is array([1., 2.])",
        ),
    ],
)
def test_what_holds_no_scores_is_refused(outcome: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        told(outcome, "AP")
    assert str(caught.value) == message
