"""How far a search is: archs, the best of each tier, and pictures, so that it is seen to move."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ofa_pose.cli._progress import Meter
    from ofa_pose.search import Progress, RaceProgress


class Watch:
    """Tells a meter of a search.

    Args:
        meter: what shows it.
        total: evaluations that are allowed.
    """

    def __init__(self, meter: Meter, total: int) -> None:
        self._meter = meter
        self._done, self._total = 0, total
        self._best: dict[str, float] = {}
        self._pictures = self._of_this_arch = 0
        self._race = ""

    def evaluated(self, state: Progress) -> None:
        """Take note of an evaluation."""
        self._best = {name: round(row.score("AP"), 3) for name, row in state.best.items()}
        self.counted(state.done, state.total)

    def counted(self, done: int, total: int) -> None:
        """Take note of how many archs are done, and of how many; the race they were in is over."""
        self._done, self._total, self._race = done, total, ""
        self._show()

    def pictured(self, count: int) -> None:
        """Take note of `count` pictures that the arch at hand was scored on; it begins at 1."""
        self._pictures += count - self._of_this_arch if count > self._of_this_arch else count
        self._of_this_arch = count
        self._show()

    def raced(self, state: RaceProgress) -> None:
        """Take note of how far the archs of a race are: all of them are done at its end."""
        self._pictures = state.images
        archs = f"{state.seen} of {state.racing} archs"
        self._race = f"{archs} in part {state.part} of {state.parts} of the race"
        self._show()

    def _show(self) -> None:
        pictures = f"{self._pictures:,} pictures" if self._pictures else ""
        best = "best AP" if self._best else ""
        told = ", ".join(part for part in (self._race, pictures, best) if part)
        self._meter.show(self._done, self._total, self._best, of=told)
