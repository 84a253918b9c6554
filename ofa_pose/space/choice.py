"""One named thing that may vary, and the rule that turns a width ratio into channels."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral

from ofa_pose.errors import ArchError, SpaceError

LARGEST_VALUE = 16_384
"""The largest width, side or number of blocks that a space's YAML may declare."""


def make_divisible(value: float, divisor: int = 8) -> int:
    """Round channels to a multiple of `divisor`, never below it nor more than 10 % below `value`.

    MobileNetV2's rule (Sandler et al. 2018): 36 → 40, but 18 → 24, as 16 would lose over 10 %.
    """
    channels = max(divisor, int(value + divisor / 2) // divisor * divisor)
    if channels < 0.9 * value:
        channels += divisor
    return channels


@dataclass(frozen=True)
class Choice:
    """A named choice and its distinct actual values (pixels, channels, …), largest first.

    The values may be given in any order and with repeats: they are sorted and made distinct, so
    that two ratios that round to one width are one value.

    Raises:
        SpaceError: no values, or a value that is not a positive integer.
    """

    name: str
    values: tuple[int, ...]

    def __post_init__(self) -> None:
        if isinstance(self.values, str) or not isinstance(self.values, Iterable):
            raise SpaceError(f"choice {self.name!r}: values are a list, not {self.values!r}")
        values = tuple(self.values)
        if not values:
            raise SpaceError(f"choice {self.name!r} has no values")
        for value in values:
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
                raise SpaceError(f"choice {self.name!r}: {value!r} is not a positive integer")
        object.__setattr__(self, "values", tuple(sorted(set(map(int, values)), reverse=True)))

    @classmethod
    def from_ratios(
        cls, name: str, base: int, *, ratios: Iterable[float], divisor: int = 8
    ) -> Choice:
        """Make a width choice: `make_divisible(base * ratio, divisor)` for every ratio."""
        return cls(name, tuple(make_divisible(base * ratio, divisor) for ratio in ratios))

    def gene(self, value: object) -> int:
        """Return the position of `value` among the values (0 is the largest).

        Raises:
            ArchError: the value is not allowed; the message lists those that are.
        """
        try:
            if isinstance(value, bool):
                raise TypeError
            return self.values.index(operator.index(value))  # pyright: ignore[reportArgumentType]
        except (TypeError, ValueError):
            allowed = ", ".join(map(str, self.values))
            raise ArchError(f"{self.name}: {value!r} is not allowed; allowed: {allowed}") from None
