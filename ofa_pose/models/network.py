"""A network: a plan's units as modules, run in order."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from ofa_pose.errors import SpaceError
from ofa_pose.models.made import constants, constants_in, made
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
        _ = plan.steps  # found and kept now: `torch.compile` cannot trace how (Python 3.11's lock)

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
    """Build the network with uninitialised weights (nothing is drawn from any generator).

    Buffers that no state dict holds have the values that their unit's constructor gives them.

    Raises:
        SpaceError: a unit holds a tensor that is neither a parameter nor a buffer, or one that
            two of its layers share.
    """
    with ShapesOnly():
        network = Network(plan)
    for unit in plan.units:
        _refuse_loose_tensors(unit, network.get_submodule(unit.name))
        _refuse_shared_tensors(unit, network.get_submodule(unit.name))
    network.to_empty(device=device)
    for unit in plan.units:
        module = network.get_submodule(unit.name)
        for path in constants_in(module):
            module.get_buffer(path).copy_(constants(unit.spec)[path])
    return network


def _refuse_loose_tensors(unit: Unit, module: nn.Module) -> None:
    for path, layer in module.named_modules():
        for name, value in vars(layer).items():
            if isinstance(value, Tensor) and value.is_meta:
                raise SpaceError(
                    f"unit {unit.spec.key}: {_joined(path, name)} is a tensor that is neither a "
                    f"parameter nor a buffer, so it is never given its values; keep it by "
                    f"register_buffer({name!r}, …, persistent=False)"
                )


def _refuse_shared_tensors(unit: Unit, module: nn.Module) -> None:
    first: dict[int, str] = {}
    for path, layer in module.named_modules():
        for name, tensor in (*layer._parameters.items(), *layer._buffers.items()):  # noqa: SLF001
            here = _joined(path, name)
            if tensor is not None and first.setdefault(id(tensor), here) != here:
                raise SpaceError(
                    f"unit {unit.spec.key}: {here} is the tensor {first[id(tensor)]}, and a "
                    "network keeps every layer's apart; call one layer twice instead, or read "
                    "the weight of the other by a function"
                )


def initialize(network: Network, *, seed: int) -> None:
    """Initialise in place from one seed, independent of torch's global generator.

    Convolutions: normal, He's fan-out rule; linear layers: normal of deviation 0.01; biases 0;
    batch norm: identity; torch's other layers: as torch does. A unit's own parameters and buffers
    have the values that its constructor gives them, what this draws from torch's generator
    included. A unit that wants more says so in a method `initialize(generator)`.

    Raises:
        SpaceError: a tensor that is given no value by any of these.
    """
    generator = torch.Generator().manual_seed(seed)
    for unit in network.plan.units:
        _take_from_constructor(unit, network.get_submodule(unit.name), seed=seed)
    for module in network.modules():
        _initialize_layer(module, generator)
    for unit in network.plan.units:
        own = getattr(network.get_submodule(unit.name), "initialize", None)
        if own is not None:
            own(generator)
    for unit in network.plan.units:
        _refuse_without_value(unit, network.get_submodule(unit.name))


@torch.no_grad()
def _take_from_constructor(unit: Unit, module: nn.Module, *, seed: int) -> None:
    """Give what no rule fills the values of the same unit made for real; most units have none."""
    wanted = dict(_without_rule(module))
    if not wanted:
        return
    # By its name, so that two units of one spec differ, and what others draw changes nothing.
    real = made(unit.spec, seed=(1_000_003 * seed + zlib.crc32(unit.name.encode())) % 2**63)
    values = {**dict(real.named_parameters()), **dict(real.named_buffers())}
    for path, tensor in wanted.items():
        tensor.copy_(values[path])


def _refuse_without_value(unit: Unit, module: nn.Module) -> None:
    for path, tensor in _without_rule(module):
        if tensor.is_floating_point() and tensor.isnan().any():
            raise SpaceError(
                f"unit {unit.spec.key}: {path} is given no value (it holds NaN); fill it where "
                "the unit is constructed, or in its method initialize(generator)"
            )


def _without_rule(unit: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the path of every tensor of a unit's state dict that no rule of ours fills."""
    for path, layer in unit.named_modules():
        ruled, constant = _ruled(layer), layer._non_persistent_buffers_set  # noqa: SLF001
        for name, tensor in (*layer._parameters.items(), *layer._buffers.items()):  # noqa: SLF001
            if tensor is not None and name not in ruled and name not in constant:
                yield _joined(path, name), tensor


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


_OF_NORM = frozenset({"weight", "bias", "running_mean", "running_var", "num_batches_tracked"})


def _ruled(layer: nn.Module) -> frozenset[str]:
    """Names of the layer's own tensors that `_initialize_layer` is certain to fill."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        return frozenset({"weight", "bias"})
    if hasattr(layer, "reset_running_stats"):
        return _OF_NORM
    if type(layer).__module__.startswith("torch.nn.") and hasattr(layer, "reset_parameters"):
        return frozenset(layer._parameters)  # noqa: SLF001
    return frozenset()


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
        # Another falls back on its own, under a fork of the global generator.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
            layer.reset_parameters()  # pyright: ignore[reportCallIssue]
        return
    else:
        return
    bias = getattr(layer, "bias", None)
    if isinstance(bias, Tensor):
        nn.init.zeros_(bias)
