"""The picture is a PNG that shows what the search holds."""

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text

from ofa_pose.errors import UnknownNameError
from ofa_pose.report.figures import draw_predictor
from ofa_pose.search import Limit, search
from ofa_pose.search.plot import CostAxis, _plain, draw_front, plot_front
from ofa_pose.space import FrozenDict


@pytest.mark.parametrize("evaluations", [1, 60])
def test_a_png_is_written(
    make_landscape: Callable[..., Any], tmp_path: Path, evaluations: int
) -> None:
    land = make_landscape(0, 4, 4, 4)
    land.scores[5:9] = np.nan
    limits = {tier: Limit("macs", value) for tier, value in (("S", 9e7), ("M", 1e8), ("L", 1e12))}
    result = search(
        land.space, land, budgets=limits, costs={"macs": land.macs}, evaluations=evaluations
    )
    path = tmp_path / "front.png"
    plot_front(path, result, [CostAxis("macs", "GMACs (exact)", 1e9)])
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (1500, 780)
    with pytest.raises(UnknownNameError, match="did you mean 'macs'"):
        plot_front(path, result, [CostAxis("mac")])
    assert [item.name for item in tmp_path.iterdir()] == ["front.png"]


def test_a_panel_a_cost_with_intervals_and_the_baseline(
    make_landscape: Callable[..., Any],
) -> None:
    land = make_landscape(1, 4, 4, 4)
    costs = {"macs": land.macs, "params": land.macs // 7 + 1}

    def evaluate(arch: Any) -> dict[str, float]:
        score = land(arch)["AP"]
        return {"AP": score, "AP_low": score - 0.125, "AP_high": score + 0.25}

    limits = {"S": Limit("macs", 2e8), "L": [Limit("macs", 6e8), Limit("params", 9e7)]}
    result = search(land.space, evaluate, budgets=limits, costs=costs, evaluations=40)
    uniform = list(result.archive)[:3]
    figure = draw_front(result, [CostAxis("macs", unit=1e6), CostAxis("params")], baseline=uniform)
    large, small = figure.axes
    assert (large.get_xlabel(), small.get_xlabel()) == ("macs, logarithmic", "params")
    lines: list[Any] = list(large.lines)
    limits_drawn = {line.get_xdata()[0] for line in lines if line.get_linewidth() == 1}
    assert {200.0, 600.0} <= limits_drawn
    squares = next(line for line in lines if line.get_marker() == "s")
    assert list(squares.get_xdata()) == [row.costs["macs"] / 1e6 for row in uniform]
    intervals: list[Any] = list(large.containers)
    bars = [container.lines[2][0].get_segments()[0] for container in intervals]
    ends = {(round(low[1], 6), round(high[1], 6)) for low, high in bars}
    winners = {tier.scores["AP"] for tier in result.tiers.values()}
    assert ends == {(round(ap - 0.125, 6), round(ap + 0.25, 6)) for ap in winners}


def test_an_arch_of_an_unknown_cost_is_left_out_of_its_panel(
    make_landscape: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Such as a latency that could not be measured of some."""
    land = make_landscape(1, 4, 4, 4)
    times = np.where(np.arange(64) % 3, land.macs / 1e6, np.nan)
    land.scores[0] = 9  # the largest arch wins where its time does not matter
    limits = {"S": Limit("ms", 200), "L": Limit("macs", 1e12)}
    costs = {"macs": land.macs, "ms": times}
    result = search(land.space, land, budgets=limits, costs=costs, evaluations=40)
    assert np.isnan(result.tiers["L"].costs["ms"])
    caplog.clear()
    figure = draw_front(result, [CostAxis("macs"), CostAxis("ms")])
    figure.canvas.draw()
    panels: list[Any] = figure.axes
    stars = [[line for line in panel.lines if line.get_marker() == "*"] for panel in panels]
    assert [len(marks) for marks in stars] == [3, 2]  # one is of the legend
    known = times[[row.index for row in result.archive]]
    low, high = panels[1].get_xlim()
    assert low < np.nanmin(known) < np.nanmax(known) < high
    assert caplog.messages == []  # matplotlib complains of texts that have no place


def test_a_cost_that_is_known_of_no_arch_has_an_empty_panel(
    make_landscape: Callable[..., Any],
) -> None:
    land = make_landscape(1, 4, 4, 4)
    costs = {"macs": land.macs, "ms": np.full(64, np.nan)}
    limits = {"S": Limit("macs", 1e12)}
    result = search(land.space, land, budgets=limits, costs=costs, evaluations=40)
    figure = draw_front(result, [CostAxis("macs"), CostAxis("ms")])
    figure.canvas.draw()
    empty: Any = figure.axes[1]
    assert not [line for line in empty.lines if line.get_marker() == "*" and len(line.get_xdata())]


@pytest.mark.parametrize("name", ["$\\foo$", "a$b$c", "50 $"])
def test_a_dollar_in_a_name_is_a_dollar(make_landscape: Callable[..., Any], name: str) -> None:
    """Matplotlib takes what stands between two of them for mathematics."""
    land = make_landscape(0, 4, 4, 4)
    space = replace(land.space, name=name)
    result = search(
        space,
        lambda arch: {name: float(arch.resolution)},
        objective=name,
        budgets={name: Limit(name, 1e12)},
        costs={name: land.macs},
        evaluations=20,
    )
    figure = draw_front(result, [CostAxis(name), CostAxis(name, f"M {name}")], score_label=name)
    figure.canvas.draw()
    large, small = figure.axes
    assert large.get_xlabel() == f"{name}, logarithmic"
    assert small.get_xlabel() == f"M {name}"
    assert any(name in text.get_text() for text in large.texts)
    assert result.predictor is not None
    draw_predictor(result.predictor, objective=name).canvas.draw()
    for panel in figure.axes:
        titles = [text for text in panel.get_children() if isinstance(text, Text)]
        texts = [*titles, panel.xaxis.label, panel.yaxis.label]
        assert not any(text.get_parse_math() for text in texts if name in text.get_text())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("limit", [1.5e7, 1e12])
def test_long_names_of_one_winner_stay_inside_the_picture(
    make_landscape: Callable[..., Any], limit: float
) -> None:
    land = make_landscape(0, 4, 4, 4)
    land.scores[:] = 0.25
    costs = {name: land.macs for name in ("macs", "a", "b", "c", "d")}
    limit = max(limit, float(land.macs.min()))
    names = ("25ms-raspberry-onnxruntime", "40ms-raspberry-ncnn", "12.5ms-pixel-litert")
    budgets = {name: Limit("macs", limit) for name in names}
    result = search(land.space, land, budgets=budgets, costs=costs, evaluations=12)
    figure = draw_front(result, [CostAxis(name) for name in costs])
    figure.canvas.draw()
    for panel in figure.axes:
        low, high = panel.get_ylim()
        assert low < 0.25 < high
        assert high - low >= 0.01
        width = panel.get_window_extent().width
        assert width > 0.15 * figure.bbox.width  # not squeezed by what is written
    large, *others = figure.axes
    winners = [text for text in large.texts if text.get_text().startswith(names[0] + "\n")]
    assert len(winners) == 1
    box = winners[0].get_window_extent()
    assert figure.bbox.x0 <= box.x0
    assert box.x1 <= figure.bbox.x1
    assert not any("raspberry" in text.get_text() for panel in others for text in panel.texts)


@pytest.mark.parametrize("spread", [0, 1, 1_000_000])
def test_costs_that_are_nearly_alike_have_ticks(
    make_landscape: Callable[..., Any], spread: int
) -> None:
    land = make_landscape(2, 3, 3, 3)
    costs = {"macs": land.macs, "ms": 10_000_000 + land.macs % 7 * spread // 7}
    limits = {"S": Limit("ms", 11_000_000)}
    result = search(land.space, land, budgets=limits, costs=costs, evaluations=12)
    (panel,) = draw_front(result, [CostAxis("ms", unit=1e6)]).axes
    low, high = panel.get_xlim()
    assert low < 10
    assert high > 11
    assert len([tick for tick in panel.get_xticks() if low <= tick <= high]) >= 3


def test_a_budget_far_above_every_arch_leaves_room_for_them(
    make_landscape: Callable[..., Any],
) -> None:
    land = make_landscape(1, 4, 4, 4)
    limits = {"S": Limit("macs", 2e8), "L": Limit("macs", 1e15)}
    result = search(land.space, land, budgets=limits, costs={"macs": land.macs}, evaluations=40)
    panel: Any = draw_front(result, [CostAxis("macs")]).axes[0]
    assert panel.get_xlim()[1] < 1e10
    assert [text.get_text() for text in panel.texts if "≤" in text.get_text()] == [
        "S ≤ 200,000,000"
    ]


def test_ticks_are_plain_numbers() -> None:
    printed = [_plain(value) for value in (0.02, 0.5, 1, 20, 883.4, 999.7, 1200.0)]
    assert printed == ["0.02", "0.5", "1", "20", "883", "1,000", "1,200"]


def test_archs_that_a_race_dropped_are_hollow(make_landscape: Callable[..., Any]) -> None:
    land = make_landscape(1, 4, 4, 4)

    def evaluate(arch: Any) -> dict[str, float]:
        return {**land(arch), "parts": 4.0 if land.space.index(arch) % 3 else 2.0}

    limits = {"L": Limit("macs", 1e12)}
    result = search(land.space, evaluate, budgets=limits, costs={"macs": land.macs}, evaluations=40)
    hollow = sum(row.scores["parts"] == 2 for row in result.archive)
    assert 0 < hollow < 40
    panel: Any = draw_front(result, [CostAxis("macs")]).axes[0]
    clouds = {cloud.get_label(): len(cloud.get_offsets()) for cloud in panel.collections}
    assert clouds == {
        "evaluated": 40 - hollow,
        "dropped from the race,\ntherefore estimated": hollow,
    }


def test_a_network_of_the_baseline_stands_in_one_place(make_landscape: Callable[..., Any]) -> None:
    land = make_landscape(1, 4, 4, 4)

    def evaluate(arch: Any) -> dict[str, float]:
        return {**land(arch), "parts": 4.0 if land.space.index(arch) % 3 else 2.0}

    limits = {"L": Limit("macs", 1e12)}
    result = search(land.space, evaluate, budgets=limits, costs={"macs": land.macs}, evaluations=40)
    cheap = sorted(
        (row for row in result.archive if row.scores["parts"] == 2),
        key=lambda row: row.costs["macs"],
    )
    seen, lost = (
        replace(row, scores=FrozenDict({"AP": 2.0, "parts": parts}))
        for row, parts in zip(cheap, (4.0, 2.0), strict=False)
    )
    panel: Any = draw_front(result, [CostAxis("macs")], baseline=[seen, lost]).axes[0]
    whole, hollow = (cloud.get_offsets().tolist() for cloud in panel.collections)
    assert [seen.costs["macs"], 2.0] in whole
    assert [lost.costs["macs"], 2.0] in hollow
    assert len(hollow) == len(cheap) - 1
    squares = [line for line in panel.lines if line.get_marker() == "s"]
    places = {line.get_markerfacecolor(): line.get_xdata().tolist() for line in squares}
    assert places == {"#e09f3e": [seen.costs["macs"]], "white": [lost.costs["macs"]]}
    front = next(line for line in panel.lines if line.get_label() == "front of the search")
    assert front.get_ydata()[-1] == 2.0
