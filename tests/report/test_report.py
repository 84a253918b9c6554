"""The page of a search: whole, self-contained, escaped, and a drawing for any family."""

import dataclasses
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import ofa_pose as op
from ofa_pose.api import search
from ofa_pose.models import NetworkPlan, plan
from ofa_pose.report import Finalist, Origin, Report, draw_architecture, write_report
from ofa_pose.search.plot import CostAxis
from ofa_pose.space import uniform_archs

VOID = {"meta", "link", "br", "img", "input"}
AXES = (CostAxis("macs_exact", "M MACs (exact)", 1e6), CostAxis("params", "M parameters", 1e6))


class Page(HTMLParser):
    """The page's tags in pairs, its texts, and every attribute that could fetch something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        names = {"src", "href", "xlink:href", "action", "data", "poster", "srcset"}
        self.fetched += [v for name, v in attrs if name in names and v and not v.startswith("#")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def toy_result() -> Any:
    """A search whose score is known: the sum of an arch's widths, with an interval."""
    toy = op.load_space("toy")

    def evaluate(arch: op.Arch) -> dict[str, float]:
        score = sum(arch.values()) / 1000
        return {"AP": score, "AP_low": score - 0.01, "AP_high": score + 0.02, "AP50": -1.0}

    return search(toy, evaluate, budgets={"S": "0.25M", "L": "1M"}, evaluations=30)


@pytest.fixture(scope="module")
def report() -> Report:
    result = toy_result()
    baseline = [row for row in result.archive if row.arch in uniform_archs(result.archive.space)]
    assert baseline
    winner = result.tiers["L"].arch
    return Report(
        result=result,
        axes=AXES,
        budgets={"S": "250k", "L": "<b>1M</b>"},
        origin=Origin(["ofa-pose search --out '</pre><script>alert(1)</script>'"], {"seed": "0"}),
        reported={winner: {"AP": 0.5, "AP_low": 0.4, "AP_high": 0.625}},
        gains={"L": (-0.01, 0.03)},
        baseline=baseline,
        finals={
            "S": [
                Finalist(winner, 0.48, -0.01, 0.05),
                Finalist(winner, 0.4, 0.01, 0.2),
                Finalist(winner, 0.6, -0.2, -0.1),
            ]
        },
        data=['photos in "C:\\a & b"'],
    )


@pytest.fixture(scope="module")
def text(report: Report, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(path, report)
    return path.read_text(encoding="utf-8")


def test_the_page_is_whole_and_asks_nobody_for_anything(text: str) -> None:
    page = Page(text)
    assert page.open == []
    assert page.fetched == []
    assert "://" not in text
    assert not re.search(r"@import|url\((?!#)", text)
    assert "default-src 'none'" in text
    assert page.tags.count("svg") == 2 + 2  # front, predictor, a drawing a tier


def test_what_users_wrote_is_shown_and_not_run(text: str) -> None:
    page = Page(text)
    shown = "".join(page.texts)
    assert page.tags.count("script") == 1
    assert "</pre><script>alert(1)</script>" in shown
    assert "at most <b>1M</b>" in shown
    assert 'photos in "C:\\a & b"' in shown


def test_it_tells_what_was_found(text: str, report: Report) -> None:
    shown = " ".join("".join(Page(text).texts).split())
    result = report.result
    assert result.predictor is not None
    assert "30 of 64 archs evaluated" in shown
    assert "0.500 (0.400–0.625)" in shown
    told = "Tied: of the 3 next best by the search images, 1 cannot be told from the winner"
    assert told in shown
    assert "1 of the 3 next best by the search images is better than the winner on" in shown
    assert "Each 95 % is of one comparison by itself" in shown
    assert result.predictor.summary.split()[3].rstrip(",") in shown
    body = text[text.index("<tbody>") : text.index("</tbody>")]
    assert body.count("<tr") == len(result.archive) + len(report.baseline)
    assert body.count('class="winner"') == len({t.arch for t in result.tiers.values()})
    assert f"{result.tiers['L'].scores['AP']:.4f}" in body


def test_what_is_not_known_is_not_claimed(report: Report, tmp_path: Path) -> None:
    winner = report.result.tiers["S"].arch
    unknown = Finalist(winner, 0.48, math.nan, math.nan)
    assert (unknown.known, unknown.tied, unknown.better) == (False, True, False)
    assert Finalist(winner, 0.48, -0.1, 0.1).known
    page = dataclasses.replace(
        report,
        reported={row.arch: {"AP": 0.5, "AP_low": math.nan, "AP_high": math.nan}
                  for row in report.result.archive},
        gains={"S": (math.nan, math.nan), "L": (math.nan, math.nan)},
        finals={"S": [unknown, unknown]},
    )  # fmt: skip
    write_report(tmp_path / "page.html", page)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    shown = " ".join("".join(Page(text).texts).split())
    assert (
        "Tied: of the 2 next best by the search images, 2 cannot be told from the winner" in shown
    )
    assert "on the report images as too few show people" in shown
    assert "Winner minus that, same report images: not known" in shown
    assert "the winner is better than each" not in shown
    assert "better than the winner" not in shown
    assert not re.search(r"\bnan\b", shown)


def test_it_tells_who_was_dropped_from_a_race(tmp_path: Path) -> None:
    def evaluate(arch: op.Arch) -> dict[str, float]:
        score = sum(arch.values()) / 1000
        return {"AP": score, "parts": 3.0 if score > 0.1 else 1.0}

    space = op.load_space("toy")
    result = search(space, evaluate, budgets={"L": "1M"}, evaluations=12)
    dropped = sum(row.scores["parts"] == 1 for row in result.archive)
    assert 0 < dropped < 12
    origin = Origin(["ofa-pose search"], {})
    page = Report(result=result, axes=AXES, budgets={"L": "1M"}, origin=origin)
    write_report(tmp_path / "page.html", page)
    shown = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert shown.count("dropped after part 1 of 3") == dropped
    assert "Archs that were dropped from the race" in shown


def test_the_same_search_gives_the_same_page(text: str, report: Report, tmp_path: Path) -> None:
    write_report(tmp_path / "again.html", report)
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", ["toy", "litepose-xs", "litepose-lite0", "litepose-k"])
def test_every_unit_is_drawn_with_its_channels(name: str) -> None:
    space = op.load_space(name)
    for arch in (space.largest, space.smallest):
        drawing = ElementTree.fromstring(draw_architecture(space, arch))  # noqa: S314
        network: NetworkPlan = plan(space, arch)
        drawn = [text.text for text in drawing.iter("text") if text.get("class") == "channels"]
        assert drawn == [str(unit.spec.out_channels) for unit in network.units]
        outputs = [bar for bar in drawing.iter("rect") if "output" in bar.get("class", "")]
        assert len(outputs) == len(network.outputs)
        first = next(text.text for text in drawing.iter("text") if text.get("class") == "size")
        assert first == f"{arch.resolution // 2} × {arch.resolution // 2}"


def test_any_family_is_drawn(make_classifier: Callable[[], op.SearchSpace]) -> None:
    space = make_classifier()
    drawing = ElementTree.fromstring(draw_architecture(space, space.smallest, num_classes=4))  # noqa: S314
    sizes = [text.text for text in drawing.iter("text") if text.get("class") == "size"]
    # 3 x 3 kernels with stride 2 and no border leave 7 of 16 cells; the classifier leaves one.
    assert sizes == ["7 × 7", "1 × 1"]
    bars = [float(bar.get("height", 0)) for bar in drawing.iter("rect")]
    # Pale, then own: 12 and 5 channels at the convolution, 4 and 4 classes; 40 is for 12.
    assert bars == pytest.approx([40, 40 * (5 / 12) ** 0.5, *[40 * (4 / 12) ** 0.5] * 2], abs=0.1)
