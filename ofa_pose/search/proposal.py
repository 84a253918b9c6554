"""What a search decides before it evaluates: single proposals, and phases under given budgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Proposal:
    """An arch that is to be evaluated.

    Attributes:
        order: its number among the proposals of the search, from 0.
        generation: the generation it belongs to, from 0.
        tier: the budget it was proposed for.
        index: the arch's index in the space.
    """

    order: int
    generation: int
    tier: str
    index: int


@dataclass(frozen=True)
class Phase:
    """A stretch of a search under one set of budgets; a resume with other budgets begins another.

    Attributes:
        settings: everything that decides the proposals, as JSON values, the budgets among them.
        generation: its first generation.
        order: its first proposal's number.
        done: evaluations made before it.
        added: tiers that no earlier phase had; they take all turns of the first `extra`.
        extra: evaluations that the added tiers may use beyond those asked for.
    """

    settings: Mapping[str, Any]
    generation: int = 0
    order: int = 0
    done: int = 0
    added: tuple[str, ...] = ()
    extra: int = 0
