"""The option `--scales`: one text, several sizes of the input."""

from __future__ import annotations

from ofa_pose.errors import UsageError


def parse_scales(text: str) -> tuple[float, ...]:
    """Return the scales, 1 first.

    Raises:
        UsageError: they cannot be read, or not be tested at.
    """
    from ofa_pose.data import check_scales

    try:
        scales = [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(
            f"cannot read --scales {text!r}; write numbers with commas between, such as 0.5,1,2"
        ) from None
    return check_scales(scales)
