"""One value for every choice of a space: the name of a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import total_ordering
from typing import Any, NoReturn

ArchLike = str | Mapping[str, int]
"""What `SearchSpace.arch` makes an `Arch` of: one itself, a name, a key, or a value per choice."""


@total_ordering
class Arch(Mapping[str, int]):
    """One value for every choice; frozen, hashable, ordered, and made by a `SearchSpace`.

    Two archs are equal when their spaces mean the same (equal hashes) and their values are
    equal: widths, not ratios, so equal archs are equal networks.
    """

    __slots__ = ("_names", "_space", "_space_hash", "_values")

    def __init__(
        self, space: str, space_hash: str, *, names: tuple[str, ...], values: tuple[int, ...]
    ) -> None:
        put = object.__setattr__
        put(self, "_space", space)
        put(self, "_space_hash", space_hash)
        put(self, "_names", names)
        put(self, "_values", values)

    @property
    def space(self) -> str:
        """The name of the space that this arch belongs to."""
        return self._space

    @property
    def space_hash(self) -> str:
        """The hash of the space that this arch belongs to."""
        return self._space_hash

    @property
    def resolution(self) -> int:
        """Height and width of the network's input in pixels."""
        return self["resolution"]

    @property
    def key(self) -> str:
        """A short stable id: the values in the order of the choices, joined by dashes."""
        return "-".join(map(str, self._values))

    def to_dict(self) -> dict[str, int]:
        """Return a plain dict from choice name to value, in the order of the choices."""
        return dict(zip(self._names, self._values, strict=True))

    def __getitem__(self, name: str) -> int:
        try:
            return self._values[self._names.index(name)]
        except ValueError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Arch):
            return NotImplemented
        return self._values == other._values and self._space_hash == other._space_hash

    def __hash__(self) -> int:
        return hash((self._space_hash, self._values))

    def __lt__(self, other: Arch) -> bool:
        if not isinstance(other, Arch):
            return NotImplemented
        return (self._space_hash, self._values) < (other._space_hash, other._values)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError("an Arch cannot be changed; use space.arch({**arch, ...})")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("an Arch cannot be changed; use space.arch({**arch, ...})")

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._space, self._space_hash, self._names, self._values)

    def __repr__(self) -> str:
        return f"Arch({self._space}: {self.key})"


def _restore(space: str, space_hash: str, names: tuple[str, ...], values: tuple[int, ...]) -> Arch:
    return Arch(space, space_hash, names=names, values=values)
