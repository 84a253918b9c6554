"""The pages say what is so: commands parse, Python runs, links lead somewhere."""

import re
import shlex
from pathlib import Path

import cv2
import pytest
import typer
from typer.core import TyperGroup

import ofa_pose
from ofa_pose.cli.main import app
from ofa_pose.data import SyntheticScenes
from ofa_pose.export import Tier, export_onnx
from ofa_pose.predict import film_writer

ROOT = Path(ofa_pose.__file__).parent.parent
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *DOCS,
    *(ROOT / name / "README.md" for name in ("examples", "search_spaces", "predictors")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
    *sorted((ROOT / "search_spaces" / "weights").glob("*.md")),
]
VERBS = typer.main.get_command(app)
TORCHRUN = "torchrun --nproc-per-node 8 -m ofa_pose "
LONGEST_LINE = 112
RUNS = ("tiers.md", "families.md")  # whose Python runs as it stands


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def commands_of(page: Path) -> list[list[str]]:
    """Return the arguments of every `ofa-pose` in the page's shell blocks."""
    text = page.read_text(encoding="utf-8")
    shell = re.findall(r"^```(?:sh|bash|text)\n(.*?)^```", text, re.M | re.S)
    joined = "\n".join(shell).replace("\\\n", "").replace(TORCHRUN, "ofa-pose ")
    lines = re.findall(r"^ofa-pose (.*)$", joined, re.M)
    return [shlex.split(line.replace("…", ""), comments=True) for line in lines]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_parse(page: Path) -> None:
    for words in commands_of(page):
        command = VERBS
        while isinstance(command, TyperGroup):
            name = words.pop(0)
            assert name in command.commands, words
            command = command.commands[name]
        command.make_context("ofa-pose", words)


def test_there_are_commands() -> None:
    assert sum(len(commands_of(page)) for page in PAGES) > 20


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("http"):
            continue
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.M)
            slugs = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
            assert heading in slugs, link


def test_the_index_lists_every_page() -> None:
    listed = set(re.findall(r"\]\((\w+\.md)\)", (ROOT / "docs" / "README.md").read_text()))
    assert listed == {page.name for page in DOCS} - {"README.md"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_merge_is_left_half_done(page: Path) -> None:
    assert not re.findall(r"^(?:<<<<<<<|=======|>>>>>>>)", page.read_text("utf-8"), re.M)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_lines_are_short(page: Path) -> None:
    """Tables and code aside."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    lines = [line for line in text.splitlines() if not line.startswith("|")]
    assert [line for line in lines if len(line) > LONGEST_LINE] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_other_programs_import_is_there(page: Path) -> None:
    """Blocks called `py` need what is not installed here."""
    for block in re.findall(r"^```py\n(.*?)^```", page.read_text("utf-8"), re.M | re.S):
        for line in re.findall(r"^from ofa_pose.*$", block, re.M):
            exec(line, {})


@pytest.mark.parametrize("name", RUNS)
def test_python_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    found = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert found
    for block in found:
        exec(compile(block, name, "exec"), {"__name__": "page"})  # noqa: S102


@pytest.mark.parametrize("name", ["latency.md", "raspberry_pi.md"])
def test_a_device_is_to_install_the_runtime_that_was_tested(name: str) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    runtimes = re.findall(r"pip install numpy ([^\s`]+)", text)
    assert runtimes
    assert set(runtimes) <= set((ROOT / "constraints.txt").read_text().splitlines())


def test_live_joints_of_a_camera(
    finding_tier: Tier,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A video stands in for the camera."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    export_onnx(finding_tier, "pose.onnx")
    image = SyntheticScenes(0, 1, size=96, skeleton="crowdpose")[0].image
    with film_writer(tmp_path / "clip.mp4", fps=10) as write:
        for _ in range(2):
            write(image)
    opened = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: opened("clip.mp4"))
    text = (ROOT / "docs" / "raspberry_pi.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    exec(compile(block, "raspberry_pi.md", "exec"), {"__name__": "page"})  # noqa: S102
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 2
    assert all("'left_shoulder': [" in line for line in lines)
