"""How many of a number of things each of several parts gets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from ofa_pose.errors import UsageError


def cut(count: int, shares: Sequence[float]) -> list[tuple[int, int]]:
    """Return where each part begins and ends among `count` things; what is left is in no part.

    A part has its share to within one, and is not empty if its share is a whole thing or more.

    Args:
        count: of things.
        shares: of the parts, each above 0, together at most 1.

    Raises:
        UsageError: impossible shares.
    """
    if not shares or any(not 0 < share <= 1 for share in shares):
        raise UsageError(f"shares must lie above 0 and at most at 1, got {list(shares)}")
    total = math.fsum(shares)
    if total > 1 + 1e-9:
        raise UsageError(f"shares must add up to at most 1, got {total:g}")
    # The running sum is rounded, not each part, so that shares that add up to 1 use everything;
    # halves go up, as rounding them to even could leave nothing of a whole thing. What is less
    # than a millionth below a half is one, for 0.1 is no binary number.
    sums = [math.fsum(shares[:parts]) * count for parts in range(len(shares) + 1)]
    ends = [min(math.floor(reached + 0.5 + 1e-6), count) for reached in sums]
    return list(pairwise(ends))
