"""Every verb's --help runs, has an example, and that example's options exist."""

import re
import shlex
from pathlib import Path

import pytest
import typer

import ofa_pose.cli
from ofa_pose.cli.main import app

FOLDER = Path(ofa_pose.cli.__file__).parent
VERBS = sorted(path.stem for path in FOLDER.glob("[a-z]*.py") if path.stem != "main")
GROUPS = {
    group.name: [command.name for command in group.typer_instance.registered_commands]
    for group in app.registered_groups
    if group.typer_instance is not None
}
LINES = [
    *([verb] for verb in VERBS),
    *([group, verb] for group, verbs in GROUPS.items() for verb in verbs),
]


def test_every_file_is_a_verb():
    names = {command.name for command in app.registered_commands} | set(GROUPS)
    assert set(VERBS) == names
    assert len(VERBS) >= 8


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_help(command, line):
    outcome = command(*line, "--help")
    assert outcome.code == 0, outcome.err
    assert f"Usage: ofa-pose {' '.join(line)}" in outcome.out
    if line[0] not in GROUPS or len(line) > 1:
        assert "Example: ofa-pose" in outcome.out
        assert "--json" in outcome.out
    assert not re.search(r"extra\s*[),]", outcome.out)  # square brackets are markup, and vanish


@pytest.mark.parametrize("line", [line for line in LINES if line[0] not in GROUPS], ids=" ".join)
def test_examples_name_options_that_exist(command, line):
    text = " ".join(command(*line, "--help").out.split())
    examples = re.findall(r"Example: ofa-pose (.+?)(?= Example:|$)", text)
    assert examples
    options = set(re.findall(r"--[a-z-]+", text.partition("Example:")[0]))
    for example in examples:
        words = shlex.split(example)
        assert words[: len(line)] == line
        assert {word for word in words if word.startswith("--")} <= options


@pytest.mark.parametrize("arguments", [[], ["spaces"], ["data"], ["latency"]])
def test_no_verb_shows_the_help_and_is_wrong_use(command, arguments):
    outcome = command(*arguments)
    assert outcome.code == 2
    assert "Usage: ofa-pose" in outcome.out


def test_version(command):
    outcome = command("--version")
    assert outcome.code == 0
    assert outcome.out == f"ofa-pose {ofa_pose.__version__}\n"


@pytest.mark.parametrize("line", [[], *LINES], ids=" ".join)
def test_nothing_is_cut_on_a_narrow_terminal(command, line, monkeypatch):
    words = []
    for columns in (80, 50, 40):
        monkeypatch.setenv("COLUMNS", str(columns))
        outcome = command(*line, "--help")
        assert "…" not in outcome.out
        assert not re.search(r"\w\.\.\.$", outcome.out.partition("Options:")[2], re.MULTILINE)
        words.append(outcome.out.split())
    assert words[0] == words[1] == words[2]  # no name is broken, at a hyphen or elsewhere


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_no_option_is_told_under_a_heading(line):
    """Headings are not shown, so that what stands under one must be whole without it."""
    verb = typer.main.get_command(app)
    for name in line:
        verb = getattr(verb, "commands", {}).get(name, verb)
    for option in verb.params:
        assert getattr(option, "rich_help_panel", None) is None, option.name
