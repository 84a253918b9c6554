"""Parts of the scenes add up to the whole, here and in other processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ofa_pose import Supernet, load_space, search
from ofa_pose.data import SyntheticScenes
from ofa_pose.errors import UsageError
from ofa_pose.evaluate import PartsEvaluator, SubnetEvaluator, growing_parts
from ofa_pose.pose import ap_interval
from ofa_pose.search import Race, RaceSettings, WorkersSpec, open_workers
from ofa_pose.space import Arch


def painted(seed: int, count: int) -> SyntheticScenes:
    return SyntheticScenes(seed, count, size=64, skeleton="crowdpose")


@pytest.fixture
def evaluator() -> SubnetEvaluator:
    supernet = Supernet(load_space("toy"), seed=3)
    with torch.no_grad():  # an untrained network finds nobody; this one finds people anywhere
        for name, parameter in supernet.named_parameters():
            if "head" in name:
                parameter.mul_(40)
    return SubnetEvaluator(supernet, calibration=painted(1, 8), scenes=painted(2, 12))


def test_parts_are_disjoint_and_together_the_scenes(evaluator):
    parts = PartsEvaluator(evaluator, ends=(3, 6, 12), seed=1).parts
    assert [len(part) for part in parts] == [3, 3, 6]
    assert sorted(sum(map(list, parts), [])) == list(range(12))
    other = PartsEvaluator(evaluator, ends=(3, 6, 12), seed=2)
    assert other.parts != parts


@pytest.mark.parametrize("ends", [(3, 3, 12), (4, 8), (0, 12), ()])
def test_ends_that_do_not_ascend_to_all_are_refused(evaluator, ends):
    with pytest.raises(UsageError, match="the last at 12"):
        PartsEvaluator(evaluator, ends=ends)


def test_parts_add_up_to_the_whole(evaluator):
    """Forward passes in other batches differ in the last bits only, so the matches are equal."""
    space = evaluator.supernet.space
    parts = PartsEvaluator(evaluator, ends=(4, 12))
    index = space.index(space.largest)
    joined = parts((index, 0)).join(parts((index, 1)))
    whole = evaluator(space.largest)
    assert len(joined) == 12
    assert len(joined.pictures) > 0
    assert joined.ap() == pytest.approx(whole["AP"], abs=1e-3)
    assert whole["AP_low"] <= whole["AP"] <= whole["AP_high"]
    low, high = ap_interval(joined)
    assert low <= joined.ap() <= high


@pytest.mark.parametrize(
    ("total", "ends"),
    [
        (64, (16, 32, 64)),
        (100, (25, 50, 100)),
        (31, (31,)),
        (1, (1,)),
        (257, (16, 32, 64, 128, 257)),
    ],
)
def test_parts_grow_by_doubling(total, ends):
    assert growing_parts(total) == ends


class Weight:
    """Returns the supernet's first weight, to see whose memory it is."""

    def __init__(self, supernet: Supernet) -> None:
        self.supernet = supernet

    def __call__(self, task: int) -> float:
        return float(next(self.supernet.parameters()).flatten()[task])


def test_weights_are_shared_with_worker_processes_and_not_copied():
    supernet = Supernet(load_space("toy"), seed=3)
    workers = open_workers(Weight(supernet), WorkersSpec.parse("2"))
    try:
        before = dict(workers.evaluate([0, 1]))
        assert before == {0: pytest.approx(before[0]), 1: pytest.approx(before[1])}
        with torch.no_grad():
            next(supernet.parameters()).flatten()[0] = 42.0
        assert dict(workers.evaluate([0, 0, 0])) == {0: 42.0}
    finally:
        workers.close()


def archive_of(evaluator: SubnetEvaluator, path: Path, workers: str, *, racing: bool) -> bytes:
    space = evaluator.supernet.space
    options = {"budgets": {"S": "0.3M", "M": "0.6M"}, "evaluations": 10, "population": 6}
    if racing:
        ends = (3, 6, 12)
        opened = open_workers(PartsEvaluator(evaluator, ends=ends), WorkersSpec.parse(workers))
        masks = {"all": np.ones(len(space), bool)}
        race = Race(opened, masks, RaceSettings(parts=len(ends)))
        search(space, evaluator, archive_path=path, workers=race, **options)
        race.close()
    else:
        search(space, evaluator, archive_path=path, workers=workers, **options)
    return path.read_bytes()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("racing", [False, True])
@pytest.mark.parametrize("workers", ["2", "ray:2"])
def test_archives_are_equal_to_the_byte(evaluator, tmp_path, workers, racing):
    if "ray" in workers:
        pytest.importorskip("ray")
    alone = archive_of(evaluator, tmp_path / "alone.csv", "1", racing=racing)
    assert archive_of(evaluator, tmp_path / "many.csv", workers, racing=racing) == alone


class Interrupted(SubnetEvaluator):
    """Stops at an arch, as a killed search does."""

    stop_at = -1
    calls = 0

    def prepared(self, arch: Arch):
        self.calls += 1
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        return super().prepared(arch)


def test_an_interrupted_race_goes_on_to_the_same_archive(evaluator, tmp_path):
    expected = archive_of(evaluator, tmp_path / "whole.csv", "1", racing=True)
    evaluator.__class__ = Interrupted
    evaluator.stop_at = 9
    path = tmp_path / "broken.csv"
    with pytest.raises(KeyboardInterrupt):
        archive_of(evaluator, path, "1", racing=True)
    assert 0 < len(path.read_text().splitlines()) - 1 < 10
    space = evaluator.supernet.space
    opened = open_workers(PartsEvaluator(evaluator, ends=(3, 6, 12)), WorkersSpec.parse("1"))
    race = Race(opened, {"all": np.ones(len(space), bool)}, RaceSettings(parts=3))
    search(
        space,
        evaluator,
        archive_path=path,
        workers=race,
        resume=True,
        budgets={"S": "0.3M", "M": "0.6M"},
        evaluations=10,
        population=6,
    )
    assert path.read_bytes() == expected
