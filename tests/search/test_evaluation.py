"""What an evaluation says of its arch."""

import math

import pytest

from ofa_pose.errors import DataError, UnknownNameError, WeightsError, WorkerLostError
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
