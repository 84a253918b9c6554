"""Joint names as people write them: one spelling of each, and which are each other's mirror."""

from __future__ import annotations

import re
from collections.abc import Sequence

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_GAP = re.compile(r"[\W_]+")
_SIDES = {"l": "left", "left": "left", "r": "right", "right": "right"}
_OTHER = {"left": "right", "right": "left"}


def plain_name(name: str) -> str:
    """Return a joint's name in lower case, its side written out and first.

    `left_ankle`, `LAnkle`, `ankle-left`, `l ankle` and `leftankle` are all `left_ankle`. A side in
    the middle (`upper_left_arm`) counts where neither end is one.
    """
    words = [word for word in _GAP.split(_HUMP.sub("_", name).lower()) if word]
    if words and words[0] not in _SIDES:
        for side in _OTHER:
            if words[0].startswith(side):
                words[:1] = [side, words[0].removeprefix(side)]
    for place in (0, -1, *range(1, len(words) - 1)):
        if words and words[place] in _SIDES:
            side = _SIDES[words.pop(place)]
            words.insert(0, side)
            break
    return "_".join(words) or name.strip().lower()


def guess_flip(joints: Sequence[str]) -> tuple[tuple[int, ...], list[str]]:
    """Pair the joints whose names differ in their side alone.

    Returns:
        For each joint the index of its mirror image (itself where the name has no side), and the
        names that have a side and no counterpart.
    """
    place = {plain_name(name): index for index, name in enumerate(joints)}
    flip, alone = list(range(len(joints))), []
    for index, name in enumerate(joints):
        side, _, rest = plain_name(name).partition("_")
        if side not in _OTHER:
            continue
        other = place.get("_".join(filter(None, (_OTHER[side], rest))))
        if other is None:
            alone.append(name)
        else:
            flip[index] = other
    return tuple(flip), alone
