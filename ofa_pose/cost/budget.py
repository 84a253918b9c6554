"""Budgets: a bound with a unit and, for MACs, the convention it is counted in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from ofa_pose.cost.count import Cost
from ofa_pose.cost.formulas import CONVENTIONS
from ofa_pose.errors import BudgetError, suggest

_PREFIXES = {"": Decimal(1), "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9)}
_EXAMPLES = "such as 1.2G, 900M, 1.2G:paper, '1.7M params' or '64MB peak'"
_PATTERN = re.compile(
    r"\s*(?P<number>[0-9.eE+-]+?)\s*(?P<prefix>[kKMG]?)"
    r"(?:(?P<macs>\s*MACs)?(?::(?P<convention>\w+))?|\s+(?P<params>params)|B\s+(?P<peak>peak))\s*"
)


@dataclass(frozen=True)
class Budget:
    """An upper bound on one cost of a network.

    Attributes:
        kind: `macs`, `params` or `peak_memory`.
        limit: the bound, in MACs, parameters or bytes; whole.
        convention: for MACs `exact`, `paper` or `thop`; otherwise empty.
    """

    kind: str
    limit: int
    convention: str = ""

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read a budget: `1.2G` (exact MACs), `1.2G:paper`, `1.7M params`, `64MB peak`.

        Prefixes are decimal (k, M, G = 10³, 10⁶, 10⁹).

        Raises:
            BudgetError: the text is none of these, or the bound is not above zero.
        """
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise BudgetError(f"cannot read the budget {text!r}; write one {_EXAMPLES}")
        prefix = match["prefix"].replace("K", "k")
        try:
            limit = Decimal(match["number"]) * _PREFIXES[prefix]
        except ArithmeticError:
            raise BudgetError(f"cannot read the number in budget {text!r}") from None
        if not limit.is_finite() or limit < 1:
            raise BudgetError(f"budget {text!r} must be at least 1")
        convention = match["convention"] or "exact"
        if convention not in CONVENTIONS:
            raise BudgetError(
                f"budget {text!r}: unknown MACs convention {convention!r}"
                f"{suggest(convention, CONVENTIONS)}"
            )
        if match["params"]:
            return cls("params", int(limit))
        if match["peak"]:
            return cls("peak_memory", int(limit))
        return cls("macs", int(limit), convention)

    @property
    def cost(self) -> str:
        """Name of the bounded cost as `CostTable` knows it, such as `macs_exact` or `params`."""
        return f"macs_{self.convention}" if self.kind == "macs" else self.kind

    def value(self, cost: Cost) -> int:
        """The cost that this budget bounds, in the budget's unit."""
        if self.kind == "macs":
            return cost.macs[self.convention]
        return cost.params if self.kind == "params" else cost.peak_memory

    def __str__(self) -> str:
        number = _with_prefix(self.limit)
        if self.kind == "params":
            return f"{number} params"
        if self.kind == "peak_memory":
            return f"{number}B peak"
        return number if self.convention == "exact" else f"{number}:{self.convention}"


def _with_prefix(value: int) -> str:
    """The shortest exact form: the largest prefix below the value, no digit lost."""
    for prefix in ("G", "M", "k", ""):
        if value >= _PREFIXES[prefix]:
            number = (Decimal(value) / _PREFIXES[prefix]).normalize()
            return f"{number:f}{prefix}"
    return str(value)
