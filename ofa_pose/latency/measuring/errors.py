"""What can go wrong while measuring."""

from __future__ import annotations


class MeasureError(Exception):
    """What the user can do something about; one line."""
