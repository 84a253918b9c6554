"""The key of a unit, which is what latency tables know it by; to read one needs no PyTorch."""

from __future__ import annotations

import re

from ofa_pose.errors import UsageError

_KEY = re.compile(
    r"(?P<kind>[^:]+):(?P<shapes>\d+x\d+x\d+(\+\d+x\d+x\d+)*):(?P<out>\d+)"
    r":k(?P<kernel>\d+):s(?P<stride>\d+)(:h(?P<hidden>[1-9]\d*))?(?P<residual>:r)?"
)


def split_key(key: str) -> re.Match[str]:
    """Return the parts of a unit's key, as texts by name: kind, shapes, out, kernel, stride, ….

    Raises:
        UsageError: it is no unit's key.
    """
    match = _KEY.fullmatch(key)
    if match is None:
        raise UsageError(
            f"{key!r} is no unit's key; one looks like inverted_residual:16x64x64:24:k7:s2:h96"
        )
    return match
