"""Fixtures that every test may use."""

import datetime
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from ofa_pose.catalog import load_space
from ofa_pose.export import Tier, make_tier, save_tier
from ofa_pose.models import build
from ofa_pose.skeleton import Skeleton

os.environ.setdefault("OFA_POSE_WORKERS", "1")  # processes take seconds to start
# A job in the background of a shell is deaf to Ctrl-C, for which some tests would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def three() -> Skeleton:
    """A left and a right hand that mirror, and a head."""
    return Skeleton(
        name="three",
        joints=("left_hand", "right_hand", "head"),
        flip=(1, 0, 2),
        limbs=((0, 2), (1, 2), (0, 1)),
        sigmas=(0.1, 0.1, 0.1),
        matching_order=(2, 0, 1),
    )


@pytest.fixture(scope="session")
def finding_tier(tmp_path_factory: pytest.TempPathFactory) -> Tier:
    """A tier of the toy space that finds people, if none who are there; tests do not change it."""
    space = load_space("toy")
    network = build(space, space.smallest, skeleton="crowdpose", seed=3)
    with torch.no_grad():
        for weight in network.parameters():
            if len(weight) in (14, 28):  # the maps start near zero, so that nobody would be found
                weight *= 1000
    made = make_tier("mine", space, space.smallest, scores={"search": {"AP": 0.25}})
    return save_tier(tmp_path_factory.mktemp("finding"), made, network)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of photographs that OFA_POSE_TEST_DATA names; the test is skipped without it."""
    folder = os.environ.get("OFA_POSE_TEST_DATA")
    if not folder:
        pytest.skip("OFA_POSE_TEST_DATA is not set")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"OFA_POSE_TEST_DATA names {path}, which is not a folder")
    return path


@pytest.fixture
def full_disk() -> Callable[[], AbstractContextManager[None]]:
    """A context in which no file can grow past 8 KiB.

    A context and not the whole test: pytest's own output may go to a file, too.
    """
    resource = pytest.importorskip("resource")

    @contextmanager
    def limited() -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited


@pytest.fixture
def no_home() -> dict[str, str]:
    """The environment of a process whose HOME cannot be written, and not that of a CI job."""
    hidden = ("CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return {**kept, "HOME": os.devnull}


@pytest.fixture
def latency_table() -> Callable[..., Any]:
    """A function that makes a latency table of a space's units from a formula."""
    from ofa_pose.cost import CostTable, LatencyTable, TableInfo, UnitLatency

    def make(space: Any, time: Callable[[Any], float], *, name: str = "made-up", **model: Any):
        covered = {"name": space.name, "hash": space.hash, "skeleton": space.skeleton}
        info = TableInfo.model_validate(
            {
                "name": name,
                "device": "a formula",
                "processor": "none",
                "runtime": {"name": "none", "version": "0"},
                "threads": 1,
                "date": datetime.date(2026, 11, 23),
                "method": "made up for a test",
                "spaces": [covered],
                "model": model,
            }
        )
        specs = CostTable(space).specs_of_all
        return LatencyTable.of(
            info, [UnitLatency(spec.key, time(spec), time(spec), 0.0, 5) for spec in specs]
        )

    return make
