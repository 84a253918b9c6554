"""A tier: one arch under a budget, with everything its weights need, in one YAML file."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from ofa_pose import __version__
from ofa_pose.cost import count
from ofa_pose.errors import ArchError, OfaPoseError, UsageError, WeightsError
from ofa_pose.export.declare import carried_space, check_installed_space, restore_skeleton
from ofa_pose.export.schema import (
    FORMAT,
    CostSection,
    TierFile,
    check_document,
    read_tier_file,
)
from ofa_pose.files import atomic_write, sha256_file
from ofa_pose.models import Network, empty_network, plan, takes_option
from ofa_pose.skeleton import Skeleton, load_skeleton
from ofa_pose.space import Arch, FrozenDict, SearchSpace, declare_space, freeze, thaw
from ofa_pose.space.schema import file_stem
from ofa_pose.supernet import load_state, load_weights, save_weights
from ofa_pose.supernet.weights import WEIGHTS_FORMAT

_LOG = logging.getLogger(__name__)
_HEADER = "# A network found by ofa_pose: what it is, what it costs, how good it is.\n"


@dataclass(frozen=True, kw_only=True)
class TierCosts:
    """What a tier's network costs for one picture at its resolution.

    Attributes:
        macs: by convention (`exact`, `paper`, `thop`).
        params: learnt numbers.
        peak_memory_bytes: of float32 activations.
        latency_ms: predicted, by the name of the latency table.
    """

    macs: Mapping[str, int]
    params: int
    peak_memory_bytes: int
    latency_ms: Mapping[str, float] = field(default_factory=FrozenDict)


@dataclass(frozen=True, kw_only=True)
class Tier:
    """One arch of a space, ready to be built with its weights; see `make_tier`, `load_tier`.

    Attributes:
        name: of the budget (`S`), which names the files too.
        space: the arch's space.
        arch: which network.
        skeleton: whose joints it predicts; None where the family has no such option.
        costs: by convention and unit.
        budget: the text of the bound the arch was chosen under; empty if it was not.
        scores: what was measured, by occasion (`search`, `finetuned`): metric → fraction; beside
            an AP that chose the weights, `best_of_validations` is the number it is the best of.
        seed: of the run that made it.
        created_by: the command or code that made it.
        options: the family's options other than the skeleton.
        package_version: of the ofa_pose that made it.
        path: its YAML file; None before it was saved.
        weights: its weights' file; None before it was saved.
        sha256: of the weights' file; empty before it was saved.
    """

    name: str
    space: SearchSpace
    arch: Arch
    skeleton: Skeleton | None
    costs: TierCosts
    budget: str = ""
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=FrozenDict)
    seed: int = 0
    created_by: str = ""
    options: Mapping[str, bool | int | float | str] = field(default_factory=FrozenDict)
    package_version: str = __version__
    path: Path | None = None
    weights: Path | None = None
    sha256: str = ""

    def __post_init__(self) -> None:
        if self.arch not in self.space:
            raise ArchError(
                f"arch {self.arch.key} belongs to space {self.arch.space!r}, "
                f"not to {self.space.name!r} (or to another version of it)"
            )
        scores = {
            occasion: {name: float(value) for name, value in values.items()}
            for occasion, values in self.scores.items()
        }
        object.__setattr__(self, "scores", freeze(scores))
        object.__setattr__(self, "options", freeze(self.options))

    @property
    def resolution(self) -> int:
        """Side of the network's input in pixels."""
        return self.arch.resolution

    @property
    def family_options(self) -> dict[str, Any]:
        """The keywords that the family builds the network with, the skeleton among them."""
        return _family_options(self.skeleton, self.options)

    def require_skeleton(self) -> Skeleton:
        """Return the skeleton.

        Raises:
            UsageError: the network predicts no joints.
        """
        if self.skeleton is None:
            raise UsageError(
                f"tier {self.name!r} is of family {self.space.family!r}, which predicts no joints"
            )
        return self.skeleton

    @property
    def file_stem(self) -> str:
        """The name of the tier's files, without suffix: the tier's, made safe for any disk."""
        return file_stem(self.name)

    def with_scores(self, occasion: str, scores: Mapping[str, float]) -> Tier:
        """Return the tier with the scores of one more occasion (an earlier one is replaced)."""
        return dataclasses.replace(self, scores={**self.scores, occasion: scores})

    def document(self) -> dict[str, Any]:
        """Return what the tier's YAML holds.

        Raises:
            UsageError: the tier has not been saved.
        """
        return _document(self, self._saved_weights().name, self.sha256)

    def build(self, *, device: str | torch.device = "cpu") -> Network:
        """Return the network with the tier's weights, in eval mode.

        Raises:
            UsageError: the tier has not been saved.
            WeightsError: the weights are missing, damaged, changed, or another network's.
        """
        weights = self._saved_weights()
        return _fill(self, _read_weights(self), source=weights).to(device).eval()

    def _saved_weights(self) -> Path:
        if self.weights is None:
            raise UsageError(f"tier {self.name!r} has no weights yet: save it first")
        return self.weights


def make_tier(
    name: str,
    space: SearchSpace,
    arch: Arch,
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
        ArchError: the arch is of another space.
        UsageError: the family has no such option.
    """
    if skeleton is None and takes_option(space, "skeleton"):
        skeleton = space.skeleton
    joints = None if skeleton is None else load_skeleton(skeleton)
    return Tier(
        name=name,
        space=space,
        arch=arch,
        skeleton=joints,
        costs=_counted(
            space, space.arch(arch), _family_options(joints, options or {}), latency_ms or {}
        ),
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
    check_document(_document(tier, weights.name, "0" * 64), source=path)
    save_weights(weights, state, metadata=_metadata(tier))
    saved = dataclasses.replace(tier, path=path, weights=weights, sha256=sha256_file(weights))
    document = _document(saved, weights.name, saved.sha256)
    text = yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=100)
    atomic_write(path, _HEADER + text)
    return saved


def load_tier(
    path: str | Path, *, space: SearchSpace | None = None, check_weights: bool = True
) -> Tier:
    """Read a tier and check all of it, weights included.

    The space is the one the tier carries, so that the file works where that space is not
    installed; where it is, both must mean the same. Costs are counted anew: where the file says
    others, a warning tells them, and the counted ones are the tier's. Latencies are the file's.

    Args:
        path: the tier's YAML.
        space: what its space is compared with; by default the installed one of its name.
        check_weights: False leaves the weights alone, which need not be there then.

    Raises:
        UsageError: the file is absent or breaks the schema; every fault is in the message.
        WeightsError: weights missing, damaged, changed, with a NaN, or of another space, arch
            or skeleton.
        ArchError: the arch is not in the space.
        SkeletonError: the skeleton contradicts itself or the shipped one of its name.
    """
    path = Path(path)
    tier = _restored(path, read_tier_file(path), space)
    if check_weights:
        with _naming(path):
            tier.build()
    return tier


def restore_tier(document: Any, *, path: Path) -> Tier:
    """Return the tier that `Tier.document` describes; its weights are not looked at.

    Args:
        document: what a tier's YAML holds.
        path: the file that it was found in.

    Raises:
        UsageError: or another error, as of `load_tier`.
    """
    return _restored(path, check_document(document, source=path), None)


def _restored(path: Path, document: TierFile, installed: SearchSpace | None) -> Tier:
    with _naming(path):
        own = carried_space(document.space)
        check_installed_space(own, installed)
        return _tier(path, document, own)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the name of a file in front of an error."""
    try:
        yield
    except OfaPoseError as error:
        error.args = (f"{path}: {error}",)
        raise


def _tier(path: Path, document: TierFile, space: SearchSpace) -> Tier:
    arch = space.arch(document.arch)
    if document.resolution != arch.resolution:
        raise UsageError(
            f"resolution {document.resolution} is not the arch's, which is {arch.resolution}"
        )
    if document.pixels != document.space.declaration.pixels:
        raise UsageError("pixels are not those of the space the tier declares")
    skeleton = _skeleton(document, space)
    options = _family_options(skeleton, document.options)
    costs = _counted(space, arch, options, document.costs.latency_ms)
    _tell_other_costs(path, document.costs, costs)
    return Tier(
        name=document.name,
        space=space,
        arch=arch,
        skeleton=skeleton,
        costs=costs,
        budget=document.budget,
        scores=document.scores,
        seed=document.seed,
        created_by=document.created_by,
        options=document.options,
        package_version=document.package_version,
        path=path,
        weights=path.parent / document.weights.file,
        sha256=document.weights.sha256,
    )


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


def _tell_other_costs(path: Path, given: CostSection, counted: TierCosts) -> None:
    """Warn of costs in a tier's file that are not those of its network."""
    pairs = {
        f"macs.{name}": (getattr(given.macs, name), counted.macs[name]) for name in counted.macs
    }
    for name in ("params", "peak_memory_bytes"):
        pairs[name] = getattr(given, name), getattr(counted, name)
    wrong = [f"{name} {own:,}, not {told:,}" for name, (told, own) in pairs.items() if told != own]
    if wrong:
        _LOG.warning("%s: costs are counted anew, and used: %s", path, "; ".join(wrong))


def _family_options(skeleton: Skeleton | None, others: Mapping[str, Any]) -> dict[str, Any]:
    return {**others} if skeleton is None else {"skeleton": skeleton, **others}


def _skeleton(document: TierFile, space: SearchSpace) -> Skeleton | None:
    if document.skeleton is not None:
        return restore_skeleton(document.skeleton)
    if takes_option(space, "skeleton"):
        raise UsageError(f"skeleton: is missing, and family {space.family!r} needs one")
    return None


def _document(tier: Tier, weights: str, sha256: str) -> dict[str, Any]:
    declaration = declare_space(tier.space)
    return {
        "format": FORMAT,
        "kind": "tier",
        "name": tier.name,
        "arch": tier.arch.to_dict(),
        "resolution": tier.resolution,
        "budget": tier.budget,
        "costs": _costs(tier.costs),
        "scores": thaw(tier.scores),
        "seed": tier.seed,
        "weights": {"file": weights, "sha256": sha256},
        "package_version": tier.package_version,
        "created_by": tier.created_by,
        # A copy: YAML would write the second use of one object as an alias.
        "pixels": {key: list(value) for key, value in declaration["pixels"].items()},
        **({} if tier.skeleton is None else {"skeleton": tier.skeleton.to_dict()}),
        "options": dict(tier.options),
        "space": {"name": tier.space.name, "hash": tier.space.hash, "declaration": declaration},
    }


def _costs(costs: TierCosts) -> dict[str, Any]:
    counted = {
        "macs": dict(costs.macs),
        "params": costs.params,
        "peak_memory_bytes": costs.peak_memory_bytes,
    }
    return {**counted, "latency_ms": dict(costs.latency_ms)} if costs.latency_ms else counted


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


def _read_weights(tier: Tier) -> dict[str, Tensor]:
    path = tier.weights
    if path is None or not path.is_file():
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
