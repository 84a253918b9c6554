"""How the tests run the command: in this process, with what it printed and its exit code."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from ofa_pose.cli.main import run


@dataclass(frozen=True)
class Outcome:
    """What one command line did."""

    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `ofa-pose` with these arguments, here and now."""

    def call(*arguments: Any) -> Outcome:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Outcome(code, printed.out, printed.err)

    return call


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder that tests do not change, with the run of a supernet of `toy` after two steps."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    line = ["train", "--space", "toy", "--synthetic", 8, "--batch-size", 2, "--workers", 0]
    line += ["--val-scenes", 2, "--validations", 1, "--steps", 2, "--out", folder]
    assert run([str(word) for word in line]) == 0
    return folder


@pytest.fixture(scope="session")
def searched(trained):
    """A folder that tests do not change, with a search over that supernet at two budgets."""
    folder = trained.parent / "search"
    line = ["search", "--evaluations", 6, "--scenes", 2, "--calibration-scenes", 2]
    line += ["--supernet", trained, "--budget", "0.25M", "--budget", "9k params", "--out", folder]
    assert run([str(word) for word in line]) == 0
    return folder
