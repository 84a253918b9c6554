"""Several ranks score what one process scores, and an error on one is an error on all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ofa_pose.errors import DataError, OfaPoseError, UnknownNameError, UsageError
from ofa_pose.evaluate import Shard, SubsetScenes, evaluate_network, predict_scenes
from ofa_pose.evaluate.shard import Failure

Dots = Callable[..., Any]
NINE = 9


@dataclass(frozen=True)
class Played(Shard):
    """A rank of several that run one after the other; what the others did is in `parts`."""

    parts: dict[int, Any] = field(default_factory=dict)

    def _exchange(self, own: Any) -> list[Any]:
        self.parts[self.rank] = own
        return [self.parts.get(rank, []) for rank in range(self.size)]


def play(size: int, run: Callable[[int, Shard], Any]) -> list[Any]:
    """Let each rank run twice: to leave its part for the others, and with everybody's."""
    parts: dict[int, Any] = {}
    for rank in range(size):
        run(rank, Played(rank, size, parts))
    return [run(rank, Played(rank, size, parts)) for rank in range(size)]


def evaluate(dots: Any, source: Any, shard: Shard | None = None) -> dict[str, float]:
    return evaluate_network(
        dots.network,
        source,
        resolution=64,
        space=dots.space,
        batch_size=2,
        shard=shard or Shard(),
    )


def predict(dots: Any, source: Any, shard: Shard | None = None) -> list[dict[str, Any]]:
    return predict_scenes(
        dots.network,
        source,
        resolution=64,
        pixel_mean=dots.space.pixel_mean,
        pixel_std=dots.space.pixel_std,
        batch_size=2,
        shard=shard or Shard(),
    )


def test_shares_are_disjoint_and_whole() -> None:
    assert [list(Shard(rank, 3).places(8)) for rank in range(3)] == [[0, 3, 6], [1, 4, 7], [2, 5]]
    assert list(Shard(2, 3).places(2)) == []


def test_alone_is_the_whole_work() -> None:
    assert Shard.of_process_group() == Shard() == Shard(0, 1)
    assert list(Shard().places(3)) == [0, 1, 2]
    assert Shard().gather(lambda: "all") == ["all"]
    with pytest.raises(ZeroDivisionError):
        Shard().gather(lambda: 1 / 0)


@pytest.mark.parametrize(("rank", "size"), [(1, 1), (-1, 2), (0, 0)])
def test_impossible_ranks_are_refused(rank, size) -> None:
    with pytest.raises(UsageError, match=f"no rank {rank} of {size}"):
        Shard(rank, size)


def test_an_error_keeps_its_kind_where_it_can() -> None:
    known = Failure.of(DataError("a picture is damaged"))
    assert known == Failure(DataError, "a picture is damaged")
    assert Failure.of(ValueError("odd")) == Failure(OfaPoseError, "ValueError: odd")
    assert Failure.of(UnknownNameError("space", "x", ["y"])).kind is OfaPoseError


def test_an_error_on_one_rank_is_one_on_all() -> None:
    parts: dict[int, Any] = {}

    def fail() -> str:
        raise DataError("no picture can be decoded")

    with pytest.raises(DataError, match="^no picture"):
        Played(1, 3, parts).gather(fail)
    for rank in (0, 2):
        with pytest.raises(DataError, match="^rank 1: no picture can be decoded$"):
            Played(rank, 3, parts).gather(lambda: "done")


def test_a_ctrl_c_on_one_rank_keeps_no_other_waiting() -> None:
    parts: dict[int, Any] = {}

    def interrupted() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Played(1, 2, parts).gather(interrupted)
    with pytest.raises(OfaPoseError, match="^rank 1: KeyboardInterrupt$"):
        Played(0, 2, parts).gather(lambda: "done")


# Of nine pictures and two ranks: none; the last, for which the first stands in on the same rank,
# and on the other of three; neighbours; all but one of a rank's; a long row.
@pytest.mark.parametrize("damaged", [(), (8,), (3, 4), (0, 1), (2, 4, 6, 8), (1, 2, 3, 4)])
@pytest.mark.parametrize("size", [2, 3])
def test_ranks_together_are_one_process(dots: Dots, damaged, size) -> None:
    written = dots(NINE, damaged)
    alone = written.open()
    results, scores = predict(written, alone), evaluate(written, alone)
    assert len(results) == NINE - len(damaged)
    assert len(alone.bad) == len(damaged)
    assert 0.1 < scores["AP"] < 0.9
    sources = [written.open() for _ in range(size)]
    for own in play(size, lambda rank, shard: predict(written, sources[rank], shard)):
        assert own == results
    sources = [written.open() for _ in range(size)]
    for own in play(size, lambda rank, shard: evaluate(written, sources[rank], shard)):
        assert own == scores
    for source in sources:
        assert source.bad == alone.bad


def test_parts_of_a_source_are_shared_too(dots: Dots) -> None:
    written = dots(NINE, (2, 3, 7))
    indices = [1, 2, 3, 6, 7]  # 6 stands in for 2 and 3, 1 for 7
    alone = SubsetScenes(written.open(), indices)
    scores = evaluate(written, alone)
    sources = [SubsetScenes(written.open(), indices) for _ in range(2)]
    for own in play(2, lambda rank, shard: evaluate(written, sources[rank], shard)):
        assert own == scores
    ids = [image["id"] for image in alone.ground_truth()["images"]]
    assert ids == [101, 106]
    for source in sources:
        assert [image["id"] for image in source.ground_truth()["images"]] == ids


def test_too_much_damage_for_all_is_too_much_for_each(dots: Dots) -> None:
    """Either rank comes across one damaged picture, which it would tolerate."""
    written = dots(NINE, (2, 5), max_bad=0.2)
    with pytest.raises(DataError, match="2 of 9 images are damaged"):
        evaluate(written, written.open())
    parts: dict[int, Any] = {}
    with pytest.raises(DataError):  # without the other's part, everything is doubtful
        evaluate(written, written.open(), Played(1, 2, parts))
    for rank in (0, 1):
        with pytest.raises(DataError, match="2 of 9 images are damaged"):
            evaluate(written, written.open(), Played(rank, 2, parts))


@pytest.mark.slow
def test_two_processes(dots: Dots, tmp_path: Path) -> None:
    written = dots(NINE, (3, 8))
    script = Path(__file__).with_name("two_ranks.py")
    ranks = [
        subprocess.Popen(
            [sys.executable, script, str(rank), tmp_path],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    told = []
    try:
        for child in ranks:
            out, errors = child.communicate(timeout=120)
            assert child.returncode == 0, errors
            told.append(json.loads(out))
    finally:
        for child in ranks:
            child.kill()
    first, second = told
    assert first["results"] == second["results"] == predict(written, written.open())
    assert first["scores"] == second["scores"] == evaluate(written, written.open())
    # Each scored a supernet's subnet alone before the group was formed, then together.
    assert first["subnet_alone"] == second["subnet_alone"]
    assert first["subnet"] == second["subnet"] == first["subnet_alone"]
    assert 0.1 < first["subnet"]["AP"] < 0.9
    assert first["statistics"] == second["statistics"]
    assert first["failure"] == ["DataError", "rank 1: the disk was pulled out"]
    assert second["failure"] == ["DataError", "the disk was pulled out"]
    # At last rank 1 left without a word.
    kind, message = first["deserted"]
    assert kind == "OfaPoseError"
    assert message.startswith("rank 0 waited in vain for the other ranks: ")
    assert first["deserted_seconds"] < 30
