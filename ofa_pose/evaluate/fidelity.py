"""How good an arch is on a part of the scenes, so that a poor one need not see them all."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ofa_pose.errors import UsageError
from ofa_pose.evaluate.subnet import SubnetEvaluator
from ofa_pose.models import Network
from ofa_pose.pose import Matches
from ofa_pose.space import Arch

NETWORK_BYTES = 1 << 28
"""Memory that re-calibrated networks may take until the next part of the scenes."""


FIRST_PART = 16
"""The first part of the scenes has at least so many, if there are as many."""


def growing_parts(total: int) -> tuple[int, ...]:
    """Return where parts end of which each doubles what was seen: 16, 32, 64, … or a bit more.

    Args:
        total: scenes in all, the last end.
    """
    ends = [total]
    while ends[0] >= 2 * FIRST_PART:
        ends.insert(0, ends[0] // 2)
    return tuple(ends)


class PartsEvaluator:
    """Scores archs on one part of the scenes at a time; called with (index of the arch, part).

    The scenes are put in random order and cut: part 0 is the first few, part 1 the next ones. A
    pure function like the `SubnetEvaluator` it is made of, whose supernet must stay as it is.

    Args:
        evaluator: whose scenes, settings and bounds are used.
        ends: where each part ends in the random order, ascending; the last one is all scenes.
        seed: of the order.

    Raises:
        UsageError: `ends` do not ascend to the number of scenes.
    """

    def __init__(self, evaluator: SubnetEvaluator, *, ends: Sequence[int], seed: int = 0) -> None:
        total = len(evaluator.scenes)
        bounds = [0, *ends]
        if any(low >= high for low, high in pairwise(bounds)) or bounds[-1] != total:
            raise UsageError(f"parts must end ever later, the last at {total}, not at {list(ends)}")
        order = np.random.default_rng((seed, total)).permutation(total)
        self.parts = tuple(np.sort(order[low:high]).tolist() for low, high in pairwise(bounds))
        self._evaluator = evaluator
        self._networks: OrderedDict[Arch, Network] = OrderedDict()

    def __call__(self, task: tuple[int, int]) -> Matches:
        """Return what the arch with this index gets on this part."""
        index, part = task
        arch = self._evaluator.supernet.space[index]
        return self._evaluator.matches(self._network(arch), arch, self.parts[part])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_networks": OrderedDict()}

    def to(self, device: str) -> PartsEvaluator:
        """Move the supernet to another device."""
        self._evaluator.to(device)
        self._networks.clear()
        return self

    def _network(self, arch: Arch) -> Network:
        """Return the re-calibrated network, which the next part is likely to ask for again."""
        if arch not in self._networks:
            self._networks[arch] = self._evaluator.prepared(arch)
            while len(self._networks) > 1 and sum(map(_bytes, self._networks.values())) > (
                NETWORK_BYTES
            ):
                self._networks.popitem(last=False)
        self._networks.move_to_end(arch)
        return self._networks[arch]


def _bytes(network: Network) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
