"""A small space for the tests of this folder."""

import pytest

from ofa_pose.space import Choice, SearchSpace


@pytest.fixture
def space() -> SearchSpace:
    """2 · 2 · 3 = 12 archs: stem is 24 or 16, stage 48, 40 or 24."""
    return SearchSpace(
        name="small",
        family="litepose",
        choices=(
            Choice("resolution", (64, 32)),
            Choice.from_ratios("stem", 24, ratios=[1.0, 0.75, 0.5]),
            Choice.from_ratios("stage", 48, ratios=[1.0, 0.75, 0.5]),
        ),
        network={"stem": "stem", "stages": [{"width": "stage", "kernel": 7}]},
        archs={"S": {"resolution": 32, "stem": 16, "stage": 24}},  # pyright: ignore[reportArgumentType]
    )
