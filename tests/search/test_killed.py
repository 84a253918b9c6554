"""A search that is killed at any moment goes on to the archive it would have had."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

SEARCH = """
import sys, time
import numpy as np
from ofa_pose.search import Limit, search
from ofa_pose.space import Choice, SearchSpace

widths = tuple(Choice(f"width{i}", (32, 24, 16, 8)) for i in range(4))
space = SearchSpace(name="x", family="none", choices=(Choice("resolution", (64, 32)), *widths))
macs = np.array([np.prod(list(arch.values())) for arch in space])

def evaluate(arch):
    time.sleep(0.01)
    return {"AP": float(sum(np.log(list(arch.values()))) + np.sin(space.index(arch)))}

limits = {"S": Limit("macs", float(np.median(macs))), "L": Limit("macs", float(macs.max()))}
print("begins", flush=True)
search(space, evaluate, budgets=limits, costs={"macs": macs}, evaluations=48,
       archive_path=sys.argv[1], resume=True)
"""


def start(path: Path) -> subprocess.Popen[bytes]:
    """Start the search and wait until it begins; importing is no part of what is killed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", SEARCH, str(path)], stdout=subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"begins\n"
    return process


def kill_and_resume(folder: Path, *, kills: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    began = time.monotonic()
    with start(folder / "whole.csv") as process:
        assert process.wait() == 0
    seconds = time.monotonic() - began
    killed = 0
    while killed < kills:
        killed_here = 0
        path = folder / f"killed-{killed}.csv"
        while not path.with_suffix(".done").exists():
            with start(path) as process:
                if killed_here < 5 and killed < kills:
                    try:
                        # Anywhere, the moments of making and writing proposals among them.
                        process.wait(timeout=float(rng.uniform(0, 0.5 * seconds)))
                    except subprocess.TimeoutExpired:
                        process.send_signal(signal.SIGKILL)
                        killed += 1
                        killed_here += 1
                if process.wait() == 0:
                    path.with_suffix(".done").touch()
        for suffix in (".csv", ".jsonl"):
            whole = (folder / f"whole{suffix}").read_bytes()
            assert path.with_suffix(suffix).read_bytes() == whole


def test_killed_three_times(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, kills=3, seed=0)


@pytest.mark.slow
def test_killed_twenty_times(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, kills=20, seed=1)
