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
