"""A network: a plan's units as modules, run in order."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ofa_pose.models.meta import ShapesOnly
from ofa_pose.models.unit import NetworkPlan, Unit


def run_plan(
    plan: NetworkPlan, image: Tensor, call: Callable[[Unit, list[Tensor]], Tensor]
) -> list[Tensor]:
    """Run `plan` on `image`, letting `call` compute each unit; values die after their last use."""
    values = {"input": image}
    for unit, dead in plan.steps:
        values[unit.name] = call(unit, [values[name] for name in unit.inputs])
        for name in dead:
            del values[name]
    return [values[name] for name in plan.outputs]


class Network(nn.Module):
    """The network of one arch: a plain module, `(N, 3, H, W)` float → list of maps.

    Height and width must be multiples of the network's total stride. The modules lie at the
    units' names, so `state_dict()` keys start with them (`stage1.0.…`).
    """

    def __init__(self, plan: NetworkPlan) -> None:
        super().__init__()
        self.plan = plan
        for unit in plan.units:
            _add_module_at(self, unit.name, unit.spec.build())

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the plan's outputs, in its order."""
        return run_plan(
            self.plan, image, lambda unit, inputs: self.get_submodule(unit.name)(*inputs)
        )


def _add_module_at(root: nn.Module, path: str, module: nn.Module) -> None:
    *parents, leaf = path.split(".")
    for name in parents:
        if not hasattr(root, name):
            root.add_module(name, nn.Module())
        root = root.get_submodule(name)
    root.add_module(leaf, module)


def empty_network(plan: NetworkPlan, *, device: str | torch.device = "cpu") -> Network:
    """Build the network with uninitialised weights (nothing is drawn from any generator)."""
    with ShapesOnly():
        network = Network(plan)
    return network.to_empty(device=device)


def initialize(network: Network, *, seed: int) -> None:
    """Initialise in place from one seed, independent of torch's global generator.

    Convolutions: normal, He's fan-out rule; linear layers: normal of deviation 0.01; biases 0;
    batch norm: identity. A unit that wants more says so in a method `initialize(generator)`.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        _initialize_layer(module, generator)
    for unit in network.plan.units:
        own = getattr(network.get_submodule(unit.name), "initialize", None)
        if own is not None:
            own(generator)


@torch.no_grad()
def _initialize_layer(layer: nn.Module, generator: torch.Generator) -> None:
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(
            layer.weight, mode="fan_out", nonlinearity="relu", generator=generator
        )
    elif isinstance(layer, nn.Linear):
        nn.init.normal_(layer.weight, std=0.01, generator=generator)
    elif hasattr(layer, "reset_running_stats"):
        layer.reset_running_stats()  # pyright: ignore[reportCallIssue]
        if getattr(layer, "weight", None) is not None:
            nn.init.ones_(layer.weight)  # pyright: ignore[reportArgumentType]
    elif any(True for _ in layer.parameters(recurse=False)) and hasattr(layer, "reset_parameters"):
        # A layer we have no rule for falls back on its own, under a fork of the global generator.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
            layer.reset_parameters()  # pyright: ignore[reportCallIssue]
        return
    bias = getattr(layer, "bias", None)
    if isinstance(bias, Tensor):
        nn.init.zeros_(bias)
