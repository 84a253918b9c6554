"""Racing: archs are scored on growing parts of the images, while they could still win something.

Archs are compared on the same images, by resamples of them (bootstrap): what two archs find hard
alike cancels out, so few images tell a poor arch from a good one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

import numpy as np

from ofa_pose import bootstrap
from ofa_pose.errors import UsageError
from ofa_pose.search.evaluation import FAILURES, PARTS
from ofa_pose.search.workers import Workers


class Measured(Protocol):
    """What one arch got, image by image."""

    def __len__(self) -> int: ...

    def join(self, other: Self, /) -> Self:
        """Return these images and then the other's."""
        ...

    def take(self, pictures: Sequence[int], /) -> Self:
        """Return some of the images, in the order given."""
        ...

    def scores_of(self, weights: np.ndarray, /) -> np.ndarray:
        """Return the score (B,) of resamples that hold each image as often as `weights` (B, N).

        NaN where there is nobody to find in a resample.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class RaceSettings:
    """How archs race.

    Attributes:
        parts: how many parts the images are cut into.
        confidence: an arch is dropped when, in this share of the resamples, another is better.
        resamples: of the images, for every comparison.
        interval: share of the resamples that a score's interval holds.
        seed: of the resamples.

    Raises:
        UsageError: a value out of its range.
    """

    parts: int
    confidence: float = 0.95
    resamples: int = 200
    interval: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.parts < 1 or self.resamples < 2:
            raise UsageError(
                f"a race has parts and at least 2 resamples, not {self.parts}, {self.resamples}"
            )
        for name in ("confidence", "interval"):
            if not 0.5 < getattr(self, name) < 1:
                raise UsageError(f"{name} lies between 0.5 and 1, not {getattr(self, name)}")


@dataclass(frozen=True)
class Standing:
    """The best arch of a tier, and those that cannot be told from it.

    Attributes:
        winner: index of the arch with the highest score on all images.
        ties: indices of the other archs seen on all images whose difference to it, resampled,
            has an interval that holds 0; best first.
    """

    winner: int
    ties: tuple[int, ...]


@dataclass(frozen=True)
class RaceProgress:
    """How far the archs of a race are.

    Attributes:
        images: as the race's.
        part: that is being seen, from 1.
        parts: of the images, in all.
        seen: archs that have seen it, or failed on it.
        racing: archs that are to see it: those dropped before it are not among them.
    """

    images: int
    part: int
    parts: int
    seen: int
    racing: int


@dataclass
class _Runner:
    """An arch in a race.

    Attributes:
        measured: what it got on the parts so far.
        parts: how many those are.
        behind: once it is dropped: behind whom in each tier, and by how much on the images both
            have seen.
    """

    measured: Measured
    parts: int = 1
    behind: list[tuple[int, float]] = field(default_factory=list)

    def lost_to(self, others: Container[int]) -> bool:
        """Whether the arch was dropped because of one of these."""
        return any(leader in others for leader, _ in self.behind)


def arch_of(task: tuple[int, int]) -> int:
    """Return the arch of a race's task, whose network a worker keeps for the next part."""
    return task[0]


class Race:
    """Workers for a search that race the archs of a batch; the outcome of each is its scores.

    After each part of the images, an arch is dropped if in every tier it belongs to another is
    better with confidence: the best of those in the race, or the tier's best of the batches
    before. The others see the next part. Scores: the objective, the ends `…_low` and `…_high` of
    its interval, and `parts`, on how many it was scored. The objective of a dropped arch is that of
    the one it lost to minus what it lacked to it on the images both have seen: comparable with that
    of those that saw all, and never above it. The lowest of its tiers counts. It has no interval:
    how uncertain the two are together is not known. Should an arch fail that others were dropped
    because of, these catch up and race on.

    What a batch gives depends on all of its members and on the scores of the batches before, and
    on nothing else. So a search that was killed within a batch must race all of it again, but for
    recorded failures, which are left out as if they had failed on the first part. Failures come
    last: once one is recorded, all that the others got is.

    Args:
        workers: evaluate (index of an arch, part) to what it got there.
        tiers: name -> (archs,) bool, who belongs to it.
        settings: see there.
        objective: what the score is called; larger is better.

    Attributes:
        images: seen so far, over all archs, those whose results were kept included.
        progress: called whenever an arch has seen a part.
    """

    def __init__(
        self,
        workers: Workers[tuple[int, int], Measured],
        tiers: Mapping[str, np.ndarray],
        settings: RaceSettings,
        *,
        objective: str = "AP",
    ) -> None:
        if objective == PARTS:
            raise UsageError(f"{PARTS!r} is what a race calls how many parts an arch has seen")
        self.settings = settings
        self.objective = objective
        self.images = 0
        self.progress: Callable[[RaceProgress], None] | None = None
        self._workers = workers
        self._tiers = tiers
        self._finished: dict[int, float] = {}  # the scores of those that saw all parts
        self._drawn: dict[int, np.ndarray] = {}  # on resamples; not of those of an earlier run
        self._measured: dict[int, Measured] = {}  # of the tiers' best

    def recall(self, rows: Iterable[tuple[int, Mapping[str, float]]]) -> None:
        """Take what a search has recorded for all that is known of earlier batches.

        A tier's best of which only that is known is measured again when it is needed.

        Args:
            rows: index of an arch, its scores.
        """
        self._finished = {
            index: scores[self.objective]
            for index, scores in rows
            if scores.get(PARTS) == self.settings.parts
        }

    def evaluate(
        self, tasks: Sequence[int]
    ) -> Iterator[tuple[int, Mapping[str, float] | Exception]]:
        """Race the archs with these indices; their outcomes come at the end, failures last.

        Raises:
            Exception: what an arch was measured with raised it, and it says nothing about the arch.
        """
        champions = self._champions()
        for index in sorted(set(champions.values()) - self._measured.keys()):
            self._measure_all(index)
        runners: dict[int, _Runner] = {}
        outcomes: dict[int, Mapping[str, float] | Exception] = {}
        racing = list(tasks)
        dropped: list[int] = []
        for part in range(self.settings.parts):
            outcomes.update(self._see(racing, part, runners))
            racing = [index for index in racing if index not in outcomes]
            while back := [index for index in dropped if runners[index].lost_to(outcomes)]:
                dropped = [index for index in dropped if index not in back]
                outcomes.update(self._catch_up(back, part, runners))
                racing += [index for index in back if index not in outcomes]
            if part < self.settings.parts - 1:
                self._compare(racing, runners, champions)
                dropped += [index for index in racing if runners[index].behind]
                racing = [index for index in racing if not runners[index].behind]
        for index in racing:
            outcomes[index] = self._own_scores(index, runners[index])
            self._measured[index] = runners[index].measured
        best = set(self._champions().values())
        self._measured = {i: got for i, got in self._measured.items() if i in best}
        known = {index: self._finished[index] for index in {*racing, *champions.values()}}
        for index in reversed(dropped):  # whoever was dropped later may be whom it is behind
            outcomes[index], known[index] = self._relative_scores(runners[index], known)
        for index in sorted(tasks, key=lambda index: isinstance(outcomes[index], Exception)):
            yield index, outcomes[index]

    def see_all(self, index: int) -> Mapping[str, float] | Exception:
        """Return the scores of an arch on all images, dropped or not, or what it ended in."""
        try:
            return self._own_scores(index, self._measure_all(index))
        except Exception as failure:
            return failure

    def close(self) -> None:
        """Close the workers."""
        self._workers.close()

    def standings(self) -> dict[str, Standing]:
        """Return each tier's best arch and those that cannot be told from it on all images.

        What an earlier run saw on all images is measured again, if the workers have not kept it.
        """
        for index in sorted(self._finished.keys() - self._drawn.keys()):
            self._measure_all(index)
        standings = {}
        for name, winner in self._champions().items():
            ties = [
                index
                for index in sorted(self._finished, key=lambda i: (-self._finished[i], i))
                if index != winner
                and self._tiers[name][index]
                and _low(self._drawn[winner] - self._drawn[index], self.settings.interval) <= 0
            ]
            standings[name] = Standing(winner, tuple(ties))
        return standings

    def _champions(self) -> dict[str, int]:
        """Return the best arch of each tier, among those that saw all images."""
        best = {}
        for name, members in self._tiers.items():
            seen = [index for index in self._finished if members[index]]
            if seen:
                best[name] = max(seen, key=lambda index: (self._finished[index], -index))
        return best

    def _see(
        self, racing: Sequence[int], part: int, runners: dict[int, _Runner]
    ) -> dict[int, Exception]:
        """Let everybody see one part; return the failures, raise any other error."""
        failures = {}
        outcomes = self._workers.evaluate([(index, part) for index in racing])
        for seen, ((index, _), outcome) in enumerate(outcomes, start=1):
            if isinstance(outcome, FAILURES):
                failures[index] = outcome
                continue
            if isinstance(outcome, Exception):
                raise outcome
            self.images += len(outcome)
            if self.progress is not None:
                now = part + 1, self.settings.parts, seen, len(racing)
                self.progress(RaceProgress(self.images, *now))
            if part:
                runner = runners[index]
                runner.measured, runner.parts = runner.measured.join(outcome), part + 1
            else:
                runners[index] = _Runner(outcome)
        return failures

    def _catch_up(
        self, back: Sequence[int], part: int, runners: dict[int, _Runner]
    ) -> dict[int, Exception]:
        """Let archs that were dropped see what the others saw since; return the failures."""
        failures: dict[int, Exception] = {}
        for index in back:
            runners[index].behind = []
        for missed in range(1, part + 1):
            late = [i for i in back if runners[i].parts == missed and i not in failures]
            failures.update(self._see(late, missed, runners))
        return failures

    def _measure_all(self, index: int) -> _Runner:
        """Let an arch see all parts, outside a race."""
        runners: dict[int, _Runner] = {}
        for part in range(self.settings.parts):
            for error in self._see([index], part, runners).values():
                raise error
        self._measured[index] = runners[index].measured
        self._drawn[index] = self._resamples(runners[index].measured)
        return runners[index]

    def _compare(
        self, racing: Sequence[int], runners: dict[int, _Runner], champions: Mapping[str, int]
    ) -> None:
        """Set `behind` of those that lose in all of their tiers."""
        if not racing:
            return
        measured = {index: runners[index].measured for index in racing}
        seen = len(measured[racing[0]])
        for index in champions.values():
            measured[index] = self._measured[index].take(range(seen))
        resamples = {index: self._resamples(got) for index, got in measured.items()}
        points = {index: self._point(got) for index, got in measured.items()}
        behind: dict[int, list[tuple[int, float]]] = {index: [] for index in racing}
        safe: set[int] = set()
        for name, members in self._tiers.items():
            inside = [index for index in racing if members[index]]
            rivals = [*inside, *([champions[name]] if name in champions else [])]
            if not inside:
                continue
            leader = max(rivals, key=lambda index: (points[index], -index))
            for index in inside:
                lead = resamples[leader] - resamples[index]
                if index == leader or _low(lead, 2 * self.settings.confidence - 1) <= 0:
                    safe.add(index)
                behind[index].append((leader, points[leader] - points[index]))
        for index in racing:
            if index not in safe:
                runners[index].behind = behind[index]

    def _own_scores(self, index: int, runner: _Runner) -> dict[str, float]:
        self._drawn[index] = self._resamples(runner.measured)
        low, high = bootstrap.interval(self._drawn[index], share=self.settings.interval)
        self._finished[index] = score = self._point(runner.measured)
        known = not math.isnan(low)
        ends = {f"{self.objective}_low": low, f"{self.objective}_high": high} if known else {}
        return {self.objective: score, **ends, PARTS: float(runner.parts)}

    def _relative_scores(
        self, runner: _Runner, known: Mapping[int, float]
    ) -> tuple[dict[str, float], float]:
        """Return the scores of a dropped arch, from those of the archs it is behind."""
        score = min(known[leader] - deficit for leader, deficit in runner.behind)
        return {self.objective: score, PARTS: float(runner.parts)}, score

    def _point(self, measured: Measured) -> float:
        """Return the score on all images; of NaN, that of nobody found, or of nothing at all."""
        (score,) = measured.scores_of(np.ones((1, len(measured)), np.int64)).tolist()
        if not math.isnan(score):
            return score
        return bootstrap.NOBODY if self.objective == "AP" else -math.inf

    def _resamples(self, measured: Measured) -> np.ndarray:
        """Return the scores (B,) on resamples, which are the same for all of as many images."""
        settings = self.settings
        drawn = bootstrap.resamples(len(measured), draws=settings.resamples, seed=settings.seed)
        return measured.scores_of(drawn)


def _low(leads: np.ndarray, share: float) -> float:
    """Return the lower end of a lead's interval; below 0 where nothing could be compared."""
    low, _ = bootstrap.interval(leads, share=share)
    return -math.inf if math.isnan(low) else low
