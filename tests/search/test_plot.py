"""The picture is a PNG that shows what the search holds."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ofa_pose.errors import UnknownNameError
from ofa_pose.search import Limit, search
from ofa_pose.search.plot import _plain, plot_front


@pytest.mark.parametrize("evaluations", [1, 60])
def test_a_png_is_written(
    make_landscape: Callable[..., Any], tmp_path: Path, evaluations: int
) -> None:
    land = make_landscape(0, 4, 4, 4)
    land.scores[5:9] = np.nan
    limits = {tier: Limit("macs", value) for tier, value in (("S", 9e7), ("M", 1e8), ("L", 1e12))}
    result = search(
        land.space, land, budgets=limits, costs={"macs": land.macs}, evaluations=evaluations
    )
    path = tmp_path / "front.png"
    plot_front(path, result, cost="macs", label="GMACs (exact)", unit=1e9)
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (1200, 750)
    with pytest.raises(UnknownNameError, match="did you mean 'macs'"):
        plot_front(path, result, cost="mac")
    assert [item.name for item in tmp_path.iterdir()] == ["front.png"]


def test_ticks_are_plain_numbers() -> None:
    printed = [_plain(value) for value in (0.02, 0.5, 1, 20, 883.4, 1200.0)]
    assert printed == ["0.02", "0.5", "1", "20", "883", "1,200"]
