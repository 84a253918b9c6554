"""The search space: a family, its choices, and every arch they span, by index or by genes."""

from __future__ import annotations

import hashlib
import itertools
import json
import operator
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, SupportsIndex

import numpy as np

from ofa_pose.errors import ArchError, SpaceError, UnknownNameError, suggest
from ofa_pose.space.arch import Arch, ArchLike
from ofa_pose.space.choice import Choice
from ofa_pose.space.frozen import FrozenDict, freeze

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SearchSpace:
    """A family plus its choices; immutable, and a sequence of all its archs, largest first.

    Attributes:
        network: the family's parameters, frozen; a string inside it names a choice.
        pixel_mean: RGB mean that inputs are normalised with, in 0..255 units.
        pixel_std: RGB standard deviation, in 0..255 units.
        archs: named archs (given as mappings, held as `Arch`).
        tiers: tier name → budget text.
        recipe: how the space's networks are trained; raw.
        skeleton: name or path of the default skeleton; only passed on.
        hash: 16 hex digits over family, choices, network and pixels: what gives shared weights
            their meaning. Stable over runs and platforms.

    Raises:
        SpaceError: no `resolution` choice, two choices of one name, too many archs, a `network`
            of more than mappings, lists, numbers and text, or pixels that cannot be normalised.
        ArchError: a named arch that is not in the space.
    """

    name: str
    family: str
    choices: tuple[Choice, ...]
    network: Mapping[str, Any] = field(default_factory=FrozenDict)
    pixel_mean: tuple[float, float, float] = IMAGENET_MEAN
    pixel_std: tuple[float, float, float] = IMAGENET_STD
    archs: Mapping[str, Arch] = field(default_factory=FrozenDict)
    tiers: Mapping[str, str] = field(default_factory=FrozenDict)
    recipe: Mapping[str, Any] = field(default_factory=FrozenDict)
    skeleton: str = "crowdpose"
    description: str = ""
    hash: str = field(init=False)
    _names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        put("choices", tuple(self.choices))
        put("_names", tuple(choice.name for choice in self.choices))
        _check_choices(self.choices)
        for name in ("network", "tiers", "recipe"):
            put(name, freeze(getattr(self, name)))
        put("pixel_mean", tuple(float(value) for value in self.pixel_mean))
        put("pixel_std", tuple(float(value) for value in self.pixel_std))
        _check_pixels(self.pixel_mean, self.pixel_std)
        put("hash", self._hash())
        put("archs", FrozenDict({name: self.arch(dict(arch)) for name, arch in self.archs.items()}))

    def _hash(self) -> str:
        content = {
            "family": self.family,
            "choices": [[choice.name, choice.values] for choice in self.choices],
            "network": _plain_numbers(self.network),
            "pixels": [_plain_numbers(self.pixel_mean), _plain_numbers(self.pixel_std)],
        }
        try:
            text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        except TypeError as error:
            raise SpaceError(f"network holds more than numbers and text: {error}") from None
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def gene_counts(self) -> tuple[int, ...]:
        """How many values each choice has."""
        return tuple(len(choice.values) for choice in self.choices)

    @property
    def largest(self) -> Arch:
        """The arch with the largest value of every choice."""
        return self[0]

    @property
    def smallest(self) -> Arch:
        """The arch with the smallest value of every choice."""
        return self[len(self) - 1]

    def __len__(self) -> int:
        return prod(self.gene_counts)

    def __getitem__(self, index: SupportsIndex) -> Arch:
        size = len(self)
        position = operator.index(index)
        position += size if position < 0 else 0
        if not 0 <= position < size:
            raise IndexError(f"arch {index} of {size} in space {self.name!r}")
        genes = []
        for count in reversed(self.gene_counts):
            position, gene = divmod(position, count)
            genes.append(gene)
        return self.decode(genes[::-1])

    def __iter__(self) -> Iterator[Arch]:
        for values in itertools.product(*(choice.values for choice in self.choices)):
            yield self._make(values)

    def __contains__(self, arch: object) -> bool:
        return isinstance(arch, Arch) and arch.space_hash == self.hash

    def sample(self, rng: np.random.Generator) -> Arch:
        """Return an arch drawn uniformly over the distinct archs with `rng`."""
        return self[int(rng.integers(len(self)))]

    def arch(self, arch: ArchLike) -> Arch:
        """Return the arch with these values, or of this name, or of this `Arch.key`.

        Args:
            arch: a value for every choice; or the name of one of `archs`, `"largest"` or
                `"smallest"`; or a key such as `"256-16-16-32-48-80-16-24-24"`.

        Raises:
            UnknownNameError: no arch has this name.
            ArchError: an unknown or a missing choice, a value that is not allowed, a key of
                another length, or an `Arch` of another space.
        """
        if isinstance(arch, str):
            return self._named(arch)
        if isinstance(arch, Arch):
            if arch.space_hash == self.hash:
                return arch
            raise ArchError(
                f"arch {arch.key} belongs to space {arch.space!r}, not to {self.name!r} "
                "(or to another version of it)"
            )
        if not isinstance(arch, Mapping):
            raise ArchError(f"an arch is a mapping from choice to value, not {arch!r}")
        faults = arch_faults({choice.name: choice for choice in self.choices}, arch)
        if faults:
            raise ArchError(f"not an arch of space {self.name!r}: {'; '.join(faults)}")
        return self._make(tuple(int(arch[name]) for name in self._names))

    def _named(self, name: str) -> Arch:
        if name in self.archs:
            return self.archs[name]
        if name == "largest":
            return self.largest
        if name == "smallest":
            return self.smallest
        parts = name.split("-")
        if all(part.isdecimal() for part in parts):
            if len(parts) != len(self.choices):
                raise ArchError(
                    f"not an arch of space {self.name!r}: {name!r} has {len(parts)} values of "
                    f"{len(self.choices)}: {', '.join(self._names)}"
                )
            return self.arch(dict(zip(self._names, map(int, parts), strict=True)))
        known = [*self.archs, "largest", "smallest"]
        key = f"a key does too: a value for every choice, such as {self.smallest.key}"
        raise UnknownNameError(f"arch of space {self.name!r}", name, known, hint=key)

    def _make(self, values: tuple[int, ...]) -> Arch:
        return Arch(self.name, self.hash, names=self._names, values=values)

    def encode(self, arch: ArchLike) -> tuple[int, ...]:
        """Return one gene a choice: the position of its value (0 is the largest)."""
        arch = self.arch(arch)
        return tuple(choice.gene(arch[choice.name]) for choice in self.choices)

    def decode(self, genes: Sequence[int]) -> Arch:
        """Return the arch of these genes, one a choice.

        Raises:
            ArchError: another number of genes than choices, or a gene out of range.
        """
        if len(genes) != len(self.choices):
            raise ArchError(f"{len(genes)} genes for the {len(self.choices)} choices of a space")
        for gene, choice in zip(genes, self.choices, strict=True):
            if not 0 <= gene < len(choice.values):
                raise ArchError(
                    f"gene {gene} of choice {choice.name!r} is not in 0..{len(choice.values) - 1}"
                )
        pairs = zip(self.choices, genes, strict=True)
        return self._make(tuple(choice.values[gene] for choice, gene in pairs))

    def index(self, arch: ArchLike) -> int:
        """Return the position of an arch: its genes as digits, first choice most significant."""
        position = 0
        for gene, count in zip(self.encode(arch), self.gene_counts, strict=True):
            position = position * count + gene
        return position

    def genes_of(self, indices: np.ndarray) -> np.ndarray:
        """Return genes (n, choices) int64 of indices (n,).

        Raises:
            ArchError: an index out of range, or what is no row of indices, such as a mask.
        """
        positions = _whole_numbers("indices", indices)
        if positions.ndim != 1:
            raise ArchError(f"indices are (n,), not {positions.shape}")
        if positions.size and (positions.min() < 0 or positions.max() >= len(self)):
            raise ArchError(f"indices of space {self.name!r} lie in 0..{len(self) - 1}")
        counts = np.array(self.gene_counts, dtype=np.int64)
        return positions[:, None] // self._place_values() % counts

    def indices_of(self, genes: np.ndarray) -> np.ndarray:
        """Return indices (n,) int64 of genes (n, choices); the inverse of `genes_of`.

        Raises:
            ArchError: another number of genes than choices, a gene out of range, or none at all.
        """
        table = _whole_numbers("genes", genes)
        if table.ndim != 2 or table.shape[1] != len(self.choices):
            raise ArchError(f"genes are (n, {len(self.choices)}), not {table.shape}")
        if ((table < 0) | (table >= np.array(self.gene_counts))).any():
            raise ArchError(f"genes of space {self.name!r} lie below {self.gene_counts}")
        return table @ self._place_values()

    def _place_values(self) -> np.ndarray:
        counts = self.gene_counts
        return np.array([prod(counts[i + 1 :]) for i in range(len(counts))], dtype=np.int64)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SearchSpace):
            return NotImplemented
        return self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self.hash)

    def _content(self) -> tuple[Any, ...]:
        return self.name, self.hash, self.archs, self.tiers, self.recipe, self.skeleton

    def __repr__(self) -> str:
        return f"SearchSpace({self.name}: {self.family}, {len(self):,} archs)"


def require_space(space: object) -> None:
    """Refuse what is no search space, such as the name of one.

    Raises:
        SpaceError: the message says what makes one.
    """
    if not isinstance(space, SearchSpace):
        raise SpaceError(f"a search space is needed, not {space!r:.60}; load_space(...) gives one")


def arch_faults(choices: Mapping[str, Choice | None], arch: Mapping[Any, Any]) -> list[str]:
    """Return what is wrong with `arch` as one value for each choice; empty when nothing.

    Args:
        choices: by name; None for one whose values are not known, so any will do.
        arch: what is checked.
    """
    faults = []
    for name, value in arch.items():
        if name not in choices:
            faults.append(f"unknown choice {name!r}{suggest(str(name), choices)}")
            continue
        choice = choices[name]
        if choice is not None:
            try:
                choice.gene(value)
            except ArchError as error:
                faults.append(str(error))
    missing = [name for name in choices if name not in arch]
    if missing:
        faults.append(f"no value for {', '.join(missing)}")
    return faults


def _check_choices(choices: Sequence[Choice]) -> None:
    names = [choice.name for choice in choices]
    for name in names:
        if names.count(name) > 1:
            raise SpaceError(f"two choices are called {name!r}")
    if "resolution" not in names:
        raise SpaceError("a space needs a choice called 'resolution': it belongs to the arch")
    if prod(len(choice.values) for choice in choices) > sys.maxsize:
        raise SpaceError(f"the choices span more than {sys.maxsize} archs")


def _check_pixels(mean: Sequence[float], std: Sequence[float]) -> None:
    for name, values in (("pixel_mean", mean), ("pixel_std", std)):
        if len(values) != 3 or not np.isfinite(values).all():
            raise SpaceError(f"{name} is three numbers, for red, green and blue, not {values}")
    if min(std) <= 0:
        raise SpaceError(f"pixel_std must be above 0, got {std}")


def _whole_numbers(what: str, values: Any) -> np.ndarray:
    """Return values as int64; floats are refused, and truth values, which numpy takes for 0 and 1.

    Raises:
        ArchError: the values are a mask.
    """
    table = np.asarray(values)
    if table.dtype == bool:
        raise ArchError(f"{what} are whole numbers; np.flatnonzero gives those of a mask")
    return table.astype(np.int64, casting="same_kind" if table.size else "unsafe")


def _plain_numbers(value: Any) -> Any:
    """Write whole floats as integers, so that 6 and 6.0 give one hash."""
    if isinstance(value, Mapping):
        return {key: _plain_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
