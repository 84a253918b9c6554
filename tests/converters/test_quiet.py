"""What is printed in the block is gone, and what was printed before it is not."""

import subprocess
import sys

import pytest

PROGRAM = """
import os
from ofa_pose.converters.quiet import quiet
print("before")
with quiet():
    print("chatter")
    os.write(1, b"more chatter")
print("after")
"""
FAILING = """
from ofa_pose.converters.quiet import quiet
try:
    with quiet():
        print("the reason")
        raise ValueError("it failed")
except ValueError as error:
    print(error.__notes__)
"""


@pytest.mark.parametrize(
    ("program", "told"), [(PROGRAM, "before\nafter\n"), (FAILING, "['the reason\\n']\n")]
)
def test_a_pipe_that_python_holds_text_back_for(program: str, told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == told
