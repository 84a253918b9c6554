"""Budgets: a bound with a unit; for MACs the convention they are counted in, for ms the device."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Context, Decimal
from pathlib import Path

from ofa_pose.cost.counting import Cost
from ofa_pose.cost.formulas import CONVENTIONS
from ofa_pose.errors import BudgetError, suggest

_PREFIXES = {"": Decimal(1), "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9)}
_EXAMPLES = (
    "such as 1.2G, 900M, 1.2G:paper, '1.7M params', '64MB peak' or 30ms@x86-onnxruntime; "
    "with commas between several that hold together"
)
_PATTERN = re.compile(
    r"\s*(?P<number>[0-9.eE+-]+?)\s*(?P<prefix>[kKMG]?)"
    r"(?:(?P<macs>\s*MACs)?(?::(?P<convention>\w+))?|\s+(?P<params>params)|B\s+(?P<peak>peak))\s*"
)
_LATENCY = re.compile(r"\s*(?P<number>[0-9.eE+-]+)\s*ms\s*@\s*(?P<table>[^\s,](?:[^,]*[^\s,])?)\s*")
_DECIMAL_COMMA = re.compile(r"(?:^|,)\s*(\d{1,3}),(\d[^,]*)")
_SHOWN_DIGITS = 6
_LARGEST = 10**18


@dataclass(frozen=True)
class Budget:
    """An upper bound on one cost of a network.

    Attributes:
        kind: `macs`, `params`, `peak_memory` or `latency`.
        limit: the bound, in MACs, parameters or bytes (whole), or in ms.
        convention: for MACs `exact`, `paper` or `thop`; otherwise empty.
        device: for a latency the name of the table that predicts it; otherwise empty.
        table: where that table is, if not in the catalogue; a path.
    """

    kind: str
    limit: float
    convention: str = ""
    device: str = ""
    table: str = field(default="", compare=False)

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read a budget: `1.2G` (exact MACs), `1.2G:paper`, `1.7M params`, `64MB peak`, `30ms@x`.

        Prefixes are decimal (k, M, G = 10³, 10⁶, 10⁹). What follows the @ is the name of a
        latency table or the path of its file, which may hold spaces but no comma; whether there
        is one shows when it is used.

        Raises:
            BudgetError: the text is none of these, or the bound is not above zero.
        """
        _require_text(text)
        latency = _LATENCY.fullmatch(text)
        if latency is not None:
            return cls._parse_latency(text, latency["number"], latency["table"])
        match = _PATTERN.fullmatch(text)
        if match is None:
            _refuse_decimal_comma(text)
            raise _unreadable(text)
        prefix = match["prefix"].replace("K", "k")
        try:
            limit = Decimal(match["number"]) * _PREFIXES[prefix]
        except ArithmeticError:
            raise BudgetError(f"cannot read the number in budget {text!r}") from None
        if not limit.is_finite() or limit < 1:
            raise BudgetError(f"budget {text!r} must be at least 1")
        if limit > _LARGEST:
            raise BudgetError(f"budget {text!r} is more than any network needs")
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

    @classmethod
    def _parse_latency(cls, text: str, number: str, table: str) -> Budget:
        try:
            limit = float(number)
        except ValueError:
            raise BudgetError(f"cannot read the number in budget {text!r}") from None
        if not 0 < limit < float("inf"):
            raise BudgetError(f"budget {text!r} must be above 0 ms")
        path = Path(table)
        if path.name == table and path.suffix not in {".yaml", ".csv"}:
            if re.search(r"\s", table):  # which no name holds
                raise _unreadable(text)
            return cls("latency", limit, device=table)
        stem = path.stem if path.suffix in {".yaml", ".csv"} else path.name
        return cls("latency", limit, device=stem, table=table)

    @property
    def cost(self) -> str:
        """Name of the bounded cost as `CostTable` knows it, such as `macs_exact` or `params`."""
        if self.kind == "latency":
            return f"latency:{self.device}"
        return f"macs_{self.convention}" if self.kind == "macs" else self.kind

    def value(self, cost: Cost) -> int:
        """The cost that this budget bounds, in the budget's unit.

        Raises:
            BudgetError: it bounds a latency, which is predicted (`LatencyTable`), not counted.
        """
        if self.kind == "latency":
            raise BudgetError(f"{self} bounds a latency, which a count does not hold")
        if self.kind == "macs":
            return cost.macs[self.convention]
        return cost.params if self.kind == "params" else cost.peak_memory

    def __str__(self) -> str:
        if self.kind == "latency":
            return f"{Decimal(repr(self.limit)).normalize():f}ms@{self.device}"
        number = _with_prefix(int(self.limit))
        if self.kind == "params":
            return f"{number} params"
        if self.kind == "peak_memory":
            return f"{number}B peak"
        return number if self.convention == "exact" else f"{number}:{self.convention}"


def parse_budgets(text: str) -> tuple[Budget, ...]:
    """Read budgets that hold together: `30ms@x86-onnxruntime, 1.7M params`.

    Raises:
        BudgetError: one of them is no budget, two bound the same cost, or a comma stands where a
            decimal point should.
    """
    _require_text(text)
    _refuse_decimal_comma(text)
    budgets = tuple(map(Budget.parse, text.split(",")))
    costs = [budget.cost for budget in budgets]
    twice = [cost for cost in costs if costs.count(cost) > 1]
    if twice:
        raise BudgetError(f"budget {text!r} bounds {twice[0]} twice")
    return budgets


def _require_text(text: object) -> None:
    if not isinstance(text, str):
        raise BudgetError(f"a budget is a text, not {text!r:.60}; write one {_EXAMPLES}")


def _unreadable(text: str) -> BudgetError:
    return BudgetError(f"cannot read the budget {text!r}; write one {_EXAMPLES}")


def _refuse_decimal_comma(text: str) -> None:
    """Refuse `1,7M params`, whose first part would be a budget of one MAC."""
    found = _DECIMAL_COMMA.search(text)
    if found is not None:
        raise BudgetError(
            f"cannot read the budget {text!r}: a comma joins budgets that hold together; is it a "
            f"decimal point, {found[1]}.{found[2].rstrip()}?"
        )


def spell_budgets(budgets: Iterable[Budget]) -> str:
    """Return the text that `parse_budgets` reads back; of a latency table only its name."""
    return ",".join(map(str, budgets))


def spell_latency(name: str, value: float) -> str:
    """Print a latency in ms, rounded up so that a budget of what is printed allows it."""
    shown = Context(prec=_SHOWN_DIGITS, rounding=ROUND_CEILING).create_decimal(repr(float(value)))
    return str(Budget("latency", float(shown), device=name))


def _with_prefix(value: int) -> str:
    """The shortest exact form: the largest prefix below the value, no digit lost."""
    for prefix in ("G", "M", "k", ""):
        if value >= _PREFIXES[prefix]:
            number = (Decimal(value) / _PREFIXES[prefix]).normalize()
            return f"{number:f}{prefix}"
    return str(value)
