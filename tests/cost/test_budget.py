"""Budgets: what parses, what it bounds, and that it prints back."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ofa_pose as op
from ofa_pose.cost import CONVENTIONS, parse_budgets, spell_budgets, spell_latency
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
    "text",
    ["", "G", "1.2T", "-1G", "0", "nan", "inf", "1e999999G", "1.2G:papper", "1.2 bananas"]
    + [
        "30ms",
        "30ms@",
        "30ms@ ",
        "0ms@x",
        "9ms@a b",
        "9ms@a,b/lap.yaml",
        "-1ms@x",
        "1e999ms@x",
        "3.0.0ms@x",
        "30Gms@x",
        "30@x",
    ],
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


@pytest.mark.parametrize(
    ("text", "limit", "device", "table"),
    [
        ("30ms@x86-onnxruntime", 30.0, "x86-onnxruntime", ""),
        (" 0.5 ms @ rpi4 ", 0.5, "rpi4", ""),
        ("1e2ms@tables/mine.yaml", 100.0, "mine", "tables/mine.yaml"),
        ("30ms@mine.csv", 30.0, "mine", "mine.csv"),
        ("30ms@v1.5", 30.0, "v1.5", ""),
        ("9ms@my tables/lap.yaml", 9.0, "lap", "my tables/lap.yaml"),
        (" 9 ms @ /a  b/c d/lap.csv ", 9.0, "lap", "/a  b/c d/lap.csv"),
        ("9ms@x", 9.0, "x", ""),
    ],
)
def test_latencies(text: str, limit: float, device: str, table: str) -> None:
    budget = op.Budget.parse(text)
    assert (budget.kind, budget.limit, budget.device, budget.table) == (
        "latency", limit, device, table,
    )  # fmt: skip
    assert budget.cost == f"latency:{device}"
    assert op.Budget.parse(str(budget)) == budget
    space = op.load_space("toy")
    with pytest.raises(BudgetError, match="bounds a latency"):
        budget.value(op.count(space, space.largest))


@given(limit=st.floats(1e-6, 1e6))
def test_latencies_print_back(limit: float) -> None:
    budget = op.Budget("latency", limit, device="x")
    assert op.Budget.parse(str(budget)) == budget


def test_several_hold_together() -> None:
    text = "30ms@x86-ncnn, 1.7M params,1.2G:paper"
    budgets = parse_budgets(text)
    assert [budget.cost for budget in budgets] == ["latency:x86-ncnn", "params", "macs_paper"]
    assert spell_budgets(budgets) == "30ms@x86-ncnn,1.7M params,1.2G:paper"
    assert parse_budgets(spell_budgets(budgets)) == budgets
    with pytest.raises(BudgetError, match="bounds params twice"):
        parse_budgets("1M params,2M params")
    for damaged in ("1G,", ",1G", "1G,,2M params", "1G;2M params"):
        with pytest.raises(BudgetError):
            parse_budgets(damaged)


def test_a_path_with_spaces_holds_together_with_others() -> None:
    budgets = parse_budgets("9ms@my tables/lap.yaml , 1.7M params")
    assert [budget.table for budget in budgets] == ["my tables/lap.yaml", ""]
    with pytest.raises(BudgetError, match="with commas between several"):
        parse_budgets("9ms@lap 1.7M params")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1,7M params", "1.7M params"),
        ("1,2G", "1.2G"),
        ("9,5ms@x86-ncnn,1.7M params", "9.5ms@x86-ncnn"),
        ("1.2G, 1,7M params", "1.7M params"),
        ("1,25G:paper ", "1.25G:paper"),
    ],
)
def test_a_decimal_comma_is_hinted_at(text: str, meant: str) -> None:
    for read in (parse_budgets, op.Budget.parse):
        with pytest.raises(BudgetError, match=rf"is it a decimal point, {re.escape(meant)}\?"):
            read(text)


def test_whole_numbers_hold_together() -> None:
    (macs, params) = parse_budgets("650000,9000 params")
    assert (macs.limit, params.limit) == (650_000, 9000)
    assert len(parse_budgets("1.2G,64MB peak")) == 2
    assert len(parse_budgets("9ms@x-1,64MB peak")) == 2
    assert len(parse_budgets("9ms@a 1/lap.yaml,64MB peak")) == 2


@given(value=st.floats(1e-3, 1e5))
def test_a_printed_latency_is_one_that_allows_it(value: float) -> None:
    printed = op.Budget.parse(spell_latency("x", value))
    assert value <= printed.limit <= value * 1.0001


@pytest.mark.parametrize("parse", [op.Budget.parse, parse_budgets])
def test_a_number_is_no_budget(parse: Callable[[Any], object]) -> None:
    with pytest.raises(BudgetError, match="a budget is a text, not 1200000; write one such as"):
        parse(1_200_000)
