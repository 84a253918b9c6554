"""Budgets: what parses, what it bounds, and that it prints back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ofa_pose as op
from ofa_pose.cost import CONVENTIONS
from ofa_pose.errors import BudgetError


@pytest.mark.parametrize(
    ("text", "kind", "limit", "convention"),
    [
        ("1.2G", "macs", 1_200_000_000, "exact"),
        ("900M", "macs", 900_000_000, "exact"),
        ("1.2G:paper", "macs", 1_200_000_000, "paper"),
        ("13.8G:thop", "macs", 13_800_000_000, "thop"),
        ("1.7M params", "params", 1_700_000, ""),
        ("64MB peak", "peak_memory", 64_000_000, ""),
        ("650000", "macs", 650_000, "exact"),
        (" 1.2 G MACs ", "macs", 1_200_000_000, "exact"),
    ],
)
def test_parse(text: str, kind: str, limit: int, convention: str) -> None:
    assert op.Budget.parse(text) == op.Budget(kind, limit, convention)


@pytest.mark.parametrize(
    "text", ["", "G", "1.2T", "-1G", "0", "nan", "inf", "1e999999G", "1.2G:papper", "1.2 bananas"]
)
def test_rubbish_is_refused(text: str) -> None:
    with pytest.raises(BudgetError):
        op.Budget.parse(text)


def test_near_convention_is_suggested() -> None:
    with pytest.raises(BudgetError, match="did you mean 'paper'"):
        op.Budget.parse("1.2G:papper")


@given(
    limit=st.integers(1, 10**13),
    kind=st.sampled_from(["macs", "params", "peak_memory"]),
    convention=st.sampled_from(CONVENTIONS),
)
def test_prints_back(limit: int, kind: str, convention: str) -> None:
    budget = op.Budget(kind, limit, convention if kind == "macs" else "")
    assert op.Budget.parse(str(budget)) == budget


def test_value_is_the_cost_it_bounds() -> None:
    space = op.load_space("toy")
    cost = op.count(space, space.largest)
    assert op.Budget.parse("1M:paper").value(cost) == cost.macs["paper"]
    assert op.Budget.parse("1M params").value(cost) == cost.params
    assert op.Budget.parse("1MB peak").value(cost) == cost.peak_memory
    assert op.Budget.parse("1M").cost == "macs_exact"
