"""Several sources as one, in given proportions, so that photographs and synthetic scenes mix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ofa_pose.data.fingerprint import fingerprint_of
from ofa_pose.data.scene import Scene, SceneSource, ground_truth_of, place_in
from ofa_pose.data.shares import cut
from ofa_pose.errors import UsageError

_SEED = 401  # first word of the seeds: no other use of a user's seed shares this stream of numbers


class MixedScenes:
    """Scenes of several sources in a fixed random order; a pure function of the index.

    Each source gets its share of the indices exactly (to within one or, of scenes that stand
    together, one group) and is walked through in order, again from its start when it is used up.
    Image ids are the indices.

    Batch norm sees a batch as one kind of picture. Where a batch mixes sources, the statistics that
    a network learns to expect are the mixture's, and measuring them anew on one source's pictures
    alone, as a search does, misses them; with `together` a batch holds one source's.

    Args:
        sources: two or more, of one skeleton.
        weights: the sources' shares; they need not sum to 1.
        seed: of the order.
        count: number of scenes; by default as many as it takes for every scene of every source
            to appear.
        together: so many neighbours are of one source, and training keeps them in one batch if
            its batches are as large. A source around this one does not pass that on.

    Raises:
        UsageError: weights or skeletons that do not fit.
    """

    def __init__(
        self,
        sources: Sequence[SceneSource],
        weights: Sequence[float],
        *,
        seed: int = 0,
        count: int | None = None,
        together: int = 1,
    ) -> None:
        if len(sources) != len(weights) or not sources:
            raise UsageError(f"{len(sources)} sources need as many weights, got {len(weights)}")
        if any(not math.isfinite(weight) or weight <= 0 for weight in weights):
            raise UsageError(f"weights of sources must be positive numbers, got {list(weights)}")
        if together < 1:
            raise UsageError(f"at least 1 scene stands together, got {together}")
        names = [source.skeleton.name for source in sources]
        if any(source.skeleton != sources[0].skeleton for source in sources):
            raise UsageError(f"mixed sources must share one skeleton, got {', '.join(names)}")
        self.sources = tuple(sources)
        self.skeleton = sources[0].skeleton
        self.seed = seed
        self._shares = shares = np.array(weights, np.float64) / sum(weights)
        if count is None:
            groups = [
                math.ceil(math.ceil(len(source) / together) / float(share))
                for source, share in zip(sources, shares, strict=True)
            ]
            count = together * max(groups)
        self.together = together
        quotas = [end - start for start, end in cut(math.ceil(count / together), shares.tolist())]
        order = np.random.default_rng([_SEED, seed]).permutation(
            np.repeat(np.arange(len(sources), dtype=np.int16), quotas)
        )
        self._source = np.repeat(order, together)[:count]
        self._place = np.empty(count, np.int64)
        for number, source in enumerate(sources):
            mine = np.flatnonzero(self._source == number)
            self._place[mine] = np.arange(len(mine)) % len(source)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Scene:
        index = place_in(self, index)
        number, place = self.locate(index)
        return replace(self.sources[number][place], image_id=index)

    def locate(self, index: int) -> tuple[int, int]:
        """Return which source a scene comes from, and its index there."""
        return int(self._source[index]), int(self._place[index])

    def ground_truth(self) -> dict[str, Any]:
        """Read every scene and return the COCO JSON of its people."""
        return ground_truth_of((self[index] for index in range(len(self))), self.skeleton)

    def fingerprint(self) -> str:
        """Hash the sources' fingerprints with their shares, the seed, the count and the groups."""
        sources = [source.fingerprint() for source in self.sources]
        made = (sources, self._shares.tolist(), self.seed, len(self), self.together)
        return fingerprint_of("mixed", made)
