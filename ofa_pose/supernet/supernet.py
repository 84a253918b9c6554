"""The supernet: one set of full-size weights that every arch of the space shares."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from ofa_pose.errors import ArchError
from ofa_pose.models import (
    Network,
    NetworkPlan,
    Unit,
    UnitSpec,
    build,
    empty_network,
    plan,
    run_plan,
)
from ofa_pose.space import ArchLike, SearchSpace, require_space
from ofa_pose.supernet.cuts import depends_on_sizes, unit_cut
from ofa_pose.supernet.elastic import UnitCut, active, copy_cut, make_elastic

_without_sizes = lru_cache(maxsize=65536)(UnitSpec.without_sizes)  # asked for by every step


class Supernet(nn.Module):
    """Weights of the largest network, run as the network of any arch of the space.

    The arch is an argument of `forward`, never state. `state_dict()` is that of the largest
    network under the prefix `network.`.

    Args:
        space: whose archs share the weights.
        seed: of the initial weights.
        options: the family's own keywords, such as `skeleton="crowdpose"`.

    Raises:
        SpaceError: the space is none, but a name or the like.
    """

    def __init__(self, space: SearchSpace, *, seed: int = 0, **options: Any) -> None:
        require_space(space)
        super().__init__()
        self.space = space
        self.options = options
        self.network = build(space, space.largest, seed=seed, **options)
        self._full = {unit.name: unit.spec for unit in self.network.plan.units}
        self._sized = {name for name, spec in self._full.items() if depends_on_sizes(spec)}
        self._modules_by_name = {
            unit.name: self.network.get_submodule(unit.name) for unit in self.network.plan.units
        }
        for module in self._modules_by_name.values():
            make_elastic(module)

    def plan(self, arch: ArchLike) -> NetworkPlan:
        """List the units of one arch; all of them are the largest network's, cut smaller.

        Raises:
            ArchError: the arch is of another space.
        """
        return plan(self.space, arch, **self.options)

    def forward(self, images: Tensor, arch: ArchLike) -> list[Tensor]:
        """Run the subnet of `arch` with the shared weights.

        Args:
            images: `(N, 3, H, W)` normalised float; any size the network can take, though an
                arch is meant for its own resolution.
            arch: which subnet; also what `space.arch` takes.

        Returns:
            What the arch's own network returns, equal to `extract(arch)(images)`.
        """
        return run_plan(self.plan(arch), images, self._call)

    def _call(self, unit: Unit, inputs: list[Tensor]) -> Tensor:
        with active(self._cut(unit)):
            return self._modules_by_name[unit.name](*inputs)

    def _cut(self, unit: Unit) -> UnitCut:
        if unit.name not in self._full:
            raise ArchError(f"the largest network of {self.space.name!r} has no unit {unit.name!r}")
        part = unit.spec if unit.name in self._sized else _without_sizes(unit.spec)
        return unit_cut(self._full[unit.name], part)

    @torch.no_grad()
    def extract(self, arch: ArchLike) -> Network:
        """Cut out a stand-alone copy of one arch's network.

        Returns:
            A plain module with its own memory, on the supernet's device, in its precision and
            its mode (train or eval).
        """
        device = next(self.parameters()).device
        subnet = empty_network(self.plan(arch), device=device)
        for unit in subnet.plan.units:
            module = self._modules_by_name[unit.name]
            copy_cut(module, subnet.get_submodule(unit.name), self._cut(unit))
        return subnet.train(self.training)
