"""What a race has measured is on disk, so a race that was killed measures only what is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ofa_pose.errors import WeightsError
from ofa_pose.evaluate import ScoredArch
from ofa_pose.pose import Matches
from ofa_pose.search import InProcess, KeptWorkers, Race, RaceSettings

ARCHS, PICTURES = 6, 48
ENDS = (16, 32, 48)


@dataclass(frozen=True)
class Marks:
    """A mark for each picture; the score is their mean."""

    values: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def arrays(self) -> dict[str, np.ndarray]:
        return {"values": self.values}

    def join(self, other: Marks) -> Marks:
        return Marks(np.concatenate([self.values, other.values]))

    def take(self, pictures: Sequence[int]) -> Marks:
        return Marks(self.values[list(pictures)])

    def scores_of(self, weights: np.ndarray) -> np.ndarray:
        return weights @ self.values / weights.sum(axis=1)


class Counting:
    """Measures parts, remembers which, and is interrupted at one of them."""

    def __init__(self, stop_at: int | None = None) -> None:
        rng = np.random.default_rng(0)
        quality = np.array([[0.5], [0.1], [0.5], [0.0], [0.5], [0.2]])
        self.marks = rng.normal(quality, 0.1, (ARCHS, PICTURES))
        self.asked: list[tuple[int, int]] = []
        self.stop_at = stop_at

    def __call__(self, task: tuple[int, int]) -> Marks:
        if len(self.asked) == self.stop_at:
            raise KeyboardInterrupt
        self.asked.append(task)
        index, part = task
        return Marks(self.marks[index, (0, *ENDS)[part] : ENDS[part]])


def race(measure: Callable[[tuple[int, int]], Marks], folder: Path) -> dict[int, object]:
    workers = KeptWorkers(InProcess(measure), folder, Marks)
    everybody = {"all": np.ones(ARCHS, dtype=bool)}
    return dict(Race(workers, everybody, RaceSettings(parts=len(ENDS))).evaluate(range(ARCHS)))


@pytest.mark.parametrize("stop_at", [0, 4, 7, 9])
def test_a_race_that_was_killed_measures_only_what_is_left(tmp_path: Path, stop_at: int) -> None:
    whole = Counting()
    expected = race(whole, tmp_path / "whole")
    assert len(whole.asked) > 9
    killed = Counting(stop_at)
    with pytest.raises(KeyboardInterrupt):
        race(killed, tmp_path / "killed")
    resumed = Counting()
    assert race(resumed, tmp_path / "killed") == expected
    assert sorted(killed.asked + resumed.asked) == sorted(whole.asked)


def test_a_damaged_or_half_written_file_is_measured_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = Counting()
    expected = race(whole, tmp_path)
    (tmp_path / "0-0.safetensors").write_bytes((tmp_path / "0-0.safetensors").read_bytes()[:40])
    (tmp_path / "1-0.safetensors").write_bytes(b"")
    save_file({"others": np.zeros(3)}, tmp_path / "2-0.safetensors")
    half = tmp_path / ".3-0~a1b2c3d4.safetensors"
    half.touch()
    again = Counting()
    assert race(again, tmp_path) == expected
    assert again.asked == [(0, 0), (1, 0), (2, 0)]
    assert caplog.text.count("is damaged, what it held is measured again") == 3
    assert not half.exists()


def test_a_failure_is_not_kept(tmp_path: Path) -> None:
    def failing(_task: tuple[int, int]) -> Marks:
        raise WeightsError("NaN")

    workers = KeptWorkers(InProcess(failing), tmp_path, Marks)
    for _ in range(2):
        ((_, outcome),) = workers.evaluate([(0, 0)])
        assert isinstance(outcome, WeightsError)
    assert list(tmp_path.iterdir()) == []


def test_matches_come_back_as_they_were(tmp_path: Path) -> None:
    matches = Matches(
        pictures=np.array([0, 0, 2]),
        scores=np.array([0.9, 0.1, 0.30000000000000004]),
        right=np.asfortranarray(np.arange(30).reshape(10, 3) % 4 == 0),
        wrong=np.arange(30).reshape(10, 3) % 3 == 1,
        people=np.array([1, 0, 2]),
    )
    list(KeptWorkers(InProcess(lambda _: matches), tmp_path, Matches).evaluate([(5, 1)]))

    def forbidden(_task: tuple[int, int]) -> Matches:
        raise AssertionError

    ((_, kept),) = KeptWorkers(InProcess(forbidden), tmp_path, Matches).evaluate([(5, 1)])
    assert isinstance(kept, Matches)
    for name, array in matches.arrays().items():
        np.testing.assert_array_equal(kept.arrays()[name], array)
        assert kept.arrays()[name].dtype == array.dtype


def test_a_reports_scores_come_back_as_they_were(tmp_path: Path) -> None:
    nobody = np.zeros(0)
    found = np.zeros((10, 0), bool)
    matches = Matches(nobody.astype(np.int64), nobody, found, found, np.array([2, 0]))
    scored = ScoredArch({"AP": 0.1 + 0.2, "AP_M": -1.0, "AP at Ω": 0.0}, matches)
    list(KeptWorkers(InProcess(lambda _: scored), tmp_path, ScoredArch.of_arrays).evaluate([7]))
    assert [file.name for file in tmp_path.iterdir()] == ["7.safetensors"]

    def forbidden(_task: int) -> ScoredArch:
        raise AssertionError

    workers = KeptWorkers(InProcess(forbidden), tmp_path, ScoredArch.of_arrays)
    ((task, kept),) = workers.evaluate([7])
    assert isinstance(kept, ScoredArch)
    assert (task, kept.scores) == (7, scored.scores)
    for name, array in matches.arrays().items():
        np.testing.assert_array_equal(kept.matches.arrays()[name], array)


def test_a_reports_scores_with_damaged_names_are_measured_again(tmp_path: Path) -> None:
    nobody, found = np.zeros(0, np.int64), np.zeros((10, 0), bool)
    matches = Matches(nobody, np.zeros(0), found, found, np.array([2, 0]))
    for damaged in (b"A\xff", b"AP\nAP50"):
        names = np.frombuffer(damaged, np.uint8)
        save_file(
            {"names": names, "values": np.zeros(1), **matches.arrays()}, tmp_path / "7.safetensors"
        )
        again = InProcess(lambda _: ScoredArch({"AP": 0.5}, matches))
        ((_, kept),) = KeptWorkers(again, tmp_path, ScoredArch.of_arrays).evaluate([7])
        assert isinstance(kept, ScoredArch)
        assert kept.scores == {"AP": 0.5}
