"""The colours that people are drawn in: one a person, left and right told apart."""

from __future__ import annotations

from ofa_pose.sides import Side

Colour = tuple[int, int, int]

COLOURS: tuple[Colour, ...] = (
    (242, 84, 72), (66, 152, 246), (250, 196, 48), (88, 200, 96),
    (214, 92, 224), (250, 138, 40), (48, 206, 198), (152, 118, 250),
)  # fmt: skip
"""RGB of the people, taken in turn."""
BLACK, WHITE = (20, 20, 20), (255, 255, 255)
_SHADES = {Side.LEFT: (WHITE, 0.35), Side.RIGHT: (BLACK, 0.35), Side.MIDDLE: (WHITE, 0.0)}


def shade(colour: Colour, side: Side) -> Colour:
    """Return the tint of a person's colour that a side of theirs is drawn in."""
    towards, share = _SHADES[side]
    red, green, blue = (
        round(own * (1 - share) + other * share) for own, other in zip(colour, towards, strict=True)
    )
    return red, green, blue
