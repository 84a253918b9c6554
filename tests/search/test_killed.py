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


def kill_later(process: subprocess.Popen[bytes], journal: Path, *, size: int, wait: float) -> None:
    """Kill the search some time after its journal has reached a size, if it still runs."""
    while process.poll() is None and (not journal.exists() or journal.stat().st_size < size):
        time.sleep(0.002)
    time.sleep(wait)
    process.send_signal(signal.SIGKILL)


def kill_and_resume(folder: Path, *, kills: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    with start(folder / "whole.csv") as process:
        assert process.wait() == 0
    expected = [(folder / f"whole{suffix}").read_bytes() for suffix in (".csv", ".jsonl")]
    path = folder / "killed.csv"
    journal = path.with_suffix(".jsonl")
    killed = 0
    while killed < kills:
        made = journal.stat().st_size if journal.exists() else 0
        target = made + int(rng.uniform(-0.1, 0.4) * (len(expected[1]) - made))
        with start(path) as process:
            kill_later(process, journal, size=target, wait=rng.uniform(0, 0.03))
            killed += process.wait() == -signal.SIGKILL
        if process.returncode == 0 or killed == kills:
            with start(path) as process:
                assert process.wait() == 0
            found = [path.with_suffix(suffix).read_bytes() for suffix in (".csv", ".jsonl")]
            assert found == expected
            path.unlink()
            journal.unlink()


def test_killed_three_times(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, kills=3, seed=0)


@pytest.mark.slow
def test_killed_twenty_times(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, kills=20, seed=1)
