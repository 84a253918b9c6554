"""The hash of nested values: every bit counts, where a tensor lies does not."""

import hashlib
from typing import Any

import pytest
import torch

from ofa_pose.digest import digest


def test_by_hand():
    value = {"a": [1, torch.tensor([1.0])], 2: None}
    parts = b"{2", b"str 'a';", b"[2", b"int 1;", b"torch.float32(1,)", b"\x00\x00\x80\x3f"
    expected = hashlib.sha256(b"".join((*parts, b"int 2;", b"NoneType None;")))
    assert digest(value) == expected.hexdigest()


def test_layout_does_not_count():
    images = torch.arange(48.0).reshape(2, 3, 2, 4)
    assert digest(images.contiguous(memory_format=torch.channels_last)) == digest(images)
    assert digest(images[:, ::2]) == digest(images[:, ::2].clone())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([1, [2]], [[1], 2]),
        ([1], [1.0]),
        (True, 1),
        ("1", 1),
        (0.0, -0.0),
        (torch.zeros(2, 3), torch.zeros(3, 2)),
        (torch.zeros(2), torch.zeros(2, dtype=torch.int32)),
        (torch.zeros(2), torch.tensor([0.0, -0.0])),
    ],
)
def test_differences(one: Any, other: Any):
    assert digest(one) != digest(other)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64, torch.bool])
def test_kinds_of_numbers(dtype: torch.dtype):
    tensors = [torch.tensor([0, 1], dtype=dtype), torch.tensor([1, 1], dtype=dtype)]
    assert len({digest(tensor) for tensor in tensors}) == 2


def test_scalars_and_empty_tensors():
    assert digest(torch.tensor(1.0)) != digest(torch.tensor([1.0]))
    assert digest(torch.empty(0)) != digest(torch.empty(0, 2))
