"""A tier: one arch under a budget, with everything its weights need, in one YAML file."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_pose import __version__
from ofa_pose.errors import ArchError, OfaPoseError, UsageError
from ofa_pose.export.declare import carried_space, check_same_space, restore_skeleton
from ofa_pose.export.schema import FORMAT, CostSection, TierFile
from ofa_pose.skeleton import Skeleton
from ofa_pose.space import Arch, FrozenDict, SearchSpace, declare_space, freeze, thaw
from ofa_pose.space.schema import file_stem

if TYPE_CHECKING:
    import numpy as np
    import torch

    from ofa_pose.evaluate import Mapper
    from ofa_pose.models import Network


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
        return family_options(self.skeleton, self.options)

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
        return describe_tier(self, self._saved_weights().name, self.sha256)

    def build(self, *, device: str | torch.device = "cpu") -> Network:
        """Return the network with the tier's weights, in eval mode.

        Raises:
            UsageError: the tier has not been saved, or this machine has no such device.
            WeightsError: the weights are missing, damaged, changed, or another network's.
        """
        weights = self._saved_weights()
        from ofa_pose.export.tier_files import read_network
        from ofa_pose.models import check_device

        check_device(device)
        return read_network(self, weights).to(device).eval()

    def mapper(self, *, device: str | torch.device = "cpu", threads: int | None = None) -> Mapper:
        """Return the network as `find_people` takes it: from pixels to maps, batch norms folded.

        Args:
            device: where to compute.
            threads: that PyTorch uses while the network runs; by default as many as it does now.

        Raises:
            UsageError: threads is no such number, or another error as of `build`.
        """
        check_threads(threads)
        from ofa_pose.evaluate import mapper_of
        from ofa_pose.models import fold_batch_norms

        space = self.space
        network = self.build(device=device)
        fold_batch_norms(network)
        mapper = mapper_of(network, pixel_mean=space.pixel_mean, pixel_std=space.pixel_std)
        return mapper if threads is None else _on_threads(mapper, threads)

    def _saved_weights(self) -> Path:
        if self.weights is None:
            raise UsageError(f"tier {self.name!r} has no weights yet: save it first")
        return self.weights


def check_threads(threads: int | None) -> None:
    """Refuse a number of threads that is none.

    Raises:
        UsageError: it is neither None nor a whole number from 1 on.
    """
    if threads is not None and (type(threads) is not int or threads < 1):
        raise UsageError(f"threads must be a whole number from 1 on, got {threads!r}")


def _on_threads(mapper: Mapper, threads: int) -> Mapper:
    """Return a network that runs on so many of PyTorch's threads, and nothing else does."""
    import torch

    def run(pixels: np.ndarray) -> list[np.ndarray]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            return mapper(pixels)
        finally:
            torch.set_num_threads(before)

    return run


def restore_tier(document: TierFile, *, path: Path, space: SearchSpace | None = None) -> Tier:
    """Return the tier that a document describes, with the costs that it tells.

    Args:
        document: what a tier's YAML holds; see `check_document`.
        path: the file that it was found in.
        space: as in `load_tier`.

    Raises:
        UsageError: or another error, as of `load_tier`, which looks at costs and weights, too.
    """
    with naming(path):
        own = carried_space(document.space)
        if space is not None:
            check_same_space(own, space)
        return _tier(path, document, own)


def _tier(path: Path, document: TierFile, space: SearchSpace) -> Tier:
    arch = space.arch(document.arch)
    if document.resolution != arch.resolution:
        raise UsageError(
            f"resolution {document.resolution} is not the arch's, which is {arch.resolution}"
        )
    if document.pixels != document.space.declaration.pixels:
        raise UsageError("pixels are not those of the space the tier declares")
    return Tier(
        name=document.name,
        space=space,
        arch=arch,
        skeleton=None if document.skeleton is None else restore_skeleton(document.skeleton),
        costs=_told(document.costs),
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


def _told(section: CostSection) -> TierCosts:
    return TierCosts(
        macs=FrozenDict(section.macs.model_dump()),
        params=section.params,
        peak_memory_bytes=section.peak_memory_bytes,
        latency_ms=FrozenDict(section.latency_ms),
    )


def family_options(skeleton: Skeleton | None, others: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords that a family builds a network with."""
    return {**others} if skeleton is None else {"skeleton": skeleton, **others}


def describe_tier(tier: Tier, weights: str, sha256: str) -> dict[str, Any]:
    """Return the document of a tier whose weights have this file name and sum."""
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


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the name of a file in front of an error."""
    try:
        yield
    except OfaPoseError as error:
        error.args = (f"{path}: {error}",)
        raise
