"""Freed memory is kept: counted in page faults, which do not depend on the machine's load."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import torch
from ofa_pose.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def touch():
    torch.ones(16 << 20)  # 64 MB, freed at once
for _ in range(20):
    touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, mode], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_large_blocks_are_not_cleared_anew() -> None:
    pages = 5 * (64 << 20) // 4096
    assert faults("keep") < pages / 20
