"""Tiers made, written and read: their costs are counted, their networks filled with weights."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor, nn

from ofa_pose.cost import count
from ofa_pose.errors import UsageError, WeightsError
from ofa_pose.export.schema import check_document, read_tier_file
from ofa_pose.export.tier import (
    Tier,
    TierCosts,
    describe_tier,
    family_options,
    naming,
    restore_tier,
)
from ofa_pose.files import atomic_write, sha256_file
from ofa_pose.models import Network, empty_network, plan, takes_option
from ofa_pose.skeleton import Skeleton, load_skeleton
from ofa_pose.space import Arch, ArchLike, FrozenDict, SearchSpace, require_space
from ofa_pose.supernet import load_state, load_weights, save_weights
from ofa_pose.supernet.weights import WEIGHTS_FORMAT

_LOG = logging.getLogger(__name__)
_HEADER = "# A network found by ofa_pose: what it is, what it costs, how good it is.\n"


def make_tier(
    name: str,
    space: SearchSpace,
    arch: ArchLike,
    *,
    skeleton: str | Skeleton | None = None,
    budget: str = "",
    scores: Mapping[str, Mapping[str, float]] | None = None,
    seed: int = 0,
    created_by: str = "",
    options: Mapping[str, bool | int | float | str] | None = None,
    latency_ms: Mapping[str, float] | None = None,
) -> Tier:
    """Return the tier of an arch with its costs counted; the arguments are `Tier`'s.

    The skeleton is by default the space's, and none where the family has no such option.
    `latency_ms` are predicted latencies by the name of their table.

    Raises:
        SpaceError: the space is none, but a name or the like.
        ArchError: the arch is of another space.
        UsageError: the family has no such option.
    """
    require_space(space)
    if skeleton is None and takes_option(space, "skeleton"):
        skeleton = space.skeleton
    joints = None if skeleton is None else load_skeleton(skeleton)
    arch = space.arch(arch)
    return Tier(
        name=name,
        space=space,
        arch=arch,
        skeleton=joints,
        costs=_counted(space, arch, family_options(joints, options or {}), latency_ms or {}),
        budget=budget,
        scores=scores or {},
        seed=seed,
        created_by=created_by,
        options=options or {},
    )


def save_tier(folder: str | Path, tier: Tier, network: nn.Module) -> Tier:
    """Write `<tier>.safetensors`, then `<tier>.yaml`, each atomically.

    In this order a YAML never names weights that are not there yet. One that is overwritten
    names, for a moment, weights of another sum, which `load_tier` refuses.

    Args:
        folder: where to; made if it is absent.
        tier: what to write; its `path`, `weights` and `sha256` are not used.
        network: the tier's network, on any device.

    Returns:
        The tier with `path`, `weights` and `sha256` of the files.

    Raises:
        WeightsError: the network is not the arch's, or holds a NaN.
        UsageError: something of the tier cannot be written (a score that is NaN).
        OfaPoseError: the folder cannot be written.
    """
    folder = Path(folder)
    path, weights = folder / f"{tier.file_stem}.yaml", folder / f"{tier.file_stem}.safetensors"
    state = network.state_dict()
    _fill(tier, state, source=f"the network given for tier {tier.name!r}")
    check_document(describe_tier(tier, weights.name, "0" * 64), source=path)
    save_weights(weights, state, metadata=_metadata(tier))
    saved = dataclasses.replace(tier, path=path, weights=weights, sha256=sha256_file(weights))
    document = describe_tier(saved, weights.name, saved.sha256)
    text = yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=100)
    atomic_write(path, _HEADER + text)
    return saved


def load_tier(
    path: str | Path, *, space: SearchSpace | None = None, check_weights: bool = True
) -> Tier:
    """Read a tier and check all of it, weights included.

    The space is the one the tier carries, so that the file works where that space is not
    installed or means something else by now. Costs are counted anew: where the file says others,
    a warning tells them, and the counted ones are the tier's. Latencies are the file's.

    Args:
        path: the tier's YAML.
        space: the one that it is to be used with, which its own must equal; by default any is fine.
        check_weights: False leaves the weights alone, which need not be there then.

    Raises:
        UsageError: the file is absent or breaks the schema; every fault is in the message.
        WeightsError: weights missing, damaged, changed, with a NaN, or of another space, arch
            or skeleton.
        ArchError: the arch is not in the space.
        SkeletonError: the skeleton contradicts itself or the shipped one of its name.
    """
    path = Path(path)
    tier = restore_tier(read_tier_file(path), path=path, space=space)
    with naming(path):
        tier = _counted_anew(tier)
        if check_weights:
            tier.build()
    return tier


def read_network(tier: Tier, weights: Path) -> Network:
    """Return a tier's network with the weights in its file, on the CPU.

    Raises:
        WeightsError: the weights are missing, damaged, changed, or another network's.
    """
    return _fill(tier, _read_weights(tier, weights), source=weights)


def _counted_anew(tier: Tier) -> Tier:
    """Return a tier with the costs of its network; others in its file are warned of."""
    if tier.skeleton is None and takes_option(tier.space, "skeleton"):
        raise UsageError(f"skeleton: is missing, and family {tier.space.family!r} needs one")
    costs = _counted(tier.space, tier.arch, tier.family_options, tier.costs.latency_ms)
    _tell_other_costs(tier.path, tier.costs, costs)
    return dataclasses.replace(tier, costs=costs)


def _counted(
    space: SearchSpace, arch: Arch, options: Mapping[str, Any], latency_ms: Mapping[str, float]
) -> TierCosts:
    cost = count(space, arch, **options)
    return TierCosts(
        macs=FrozenDict(cost.macs),
        params=cost.params,
        peak_memory_bytes=cost.peak_memory,
        latency_ms=FrozenDict(latency_ms),
    )


def _tell_other_costs(path: Path | None, told: TierCosts, counted: TierCosts) -> None:
    """Warn of costs in a tier's file that are not those of its network."""
    pairs = {f"macs.{name}": (told.macs[name], counted.macs[name]) for name in counted.macs}
    for name in ("params", "peak_memory_bytes"):
        pairs[name] = getattr(told, name), getattr(counted, name)
    wrong = [f"{name} {own:,}, not {file:,}" for name, (file, own) in pairs.items() if file != own]
    if wrong:
        _LOG.warning("%s: costs are counted anew, and used: %s", path, "; ".join(wrong))


def _metadata(tier: Tier) -> dict[str, str]:
    """Return what the weights' file says of itself, so that it cannot pass for another's."""
    return {
        "format": WEIGHTS_FORMAT,
        "kind": "tier",
        "space": tier.space.name,
        "space_hash": tier.space.hash,
        "arch": tier.arch.key,
        "skeleton": "" if tier.skeleton is None else tier.skeleton.name,
        "version": tier.package_version,
    }


def _read_weights(tier: Tier, path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise WeightsError(f"the weights {path} are missing; keep them beside the tier's YAML")
    sha256 = sha256_file(path)
    if sha256 != tier.sha256:
        raise WeightsError(
            f"the weights {path} are not those the tier was written with "
            f"(sha256 {sha256[:12]}…, expected {tier.sha256[:12]}…)"
        )
    state, metadata = load_weights(path)
    expected = _metadata(tier)
    for key in ("format", "kind", "space_hash", "arch", "skeleton"):
        if metadata.get(key) != expected[key]:
            raise WeightsError(
                f"the weights {path} are of another network: {key} is {metadata.get(key)!r}, "
                f"the tier's is {expected[key]!r}"
            )
    return state


def _fill(tier: Tier, state: Mapping[str, Tensor], *, source: str | Path) -> Network:
    """Return the tier's network with `state`, which must fit key by key."""
    network = empty_network(plan(tier.space, tier.arch, **tier.family_options))
    load_state(network, state, source=str(source))
    return network
