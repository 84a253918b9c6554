"""What a checkpoint can hold: numpy's numbers become Python's, the rest is refused by its name."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import torch

from ofa_pose.errors import OfaPoseError
from ofa_pose.train.plain import check_plain, plain


def test_numbers_of_numpy_become_pythons():
    found = plain(
        {"a": np.int64(3), "b": [np.float32(0.5), (np.bool_(True), None)], "c": np.arange(2)}
    )
    assert found == {"a": 3, "b": [0.5, (True, None)], "c": [0, 1]}
    kinds = [type(value) for value in (found["a"], found["b"][0], found["b"][1][0])]
    assert kinds == [int, float, bool]


def test_what_torch_reads_again_passes():
    check_plain(
        {"w": torch.zeros(2), "list": [1, "a", None, (2.5, False)], "dtype": torch.float16},
        name="learner",
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"seed": np.int64(3)}, r"^identity\.seed is a numpy\.int64, which a checkpoint cannot"),
        ({"a": [1, {"b": Path("x")}]}, r"^identity\.a\[1\]\.b is a pathlib\."),
        ({Decimal(1): 2}, r"^a key of identity is a decimal\.Decimal"),
        ({"a": lambda: 0}, r"^identity\.a is a builtins\.function"),
    ],
)
def test_what_torch_would_not_read_again_is_named(value: object, message: str):
    with pytest.raises(OfaPoseError, match=message):
        check_plain(value, name="identity")
