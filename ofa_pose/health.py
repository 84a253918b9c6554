"""Whether a search can be believed: does a cheap score order networks as a dear one does?

A search ranks networks by inherited weights on some scenes. Two things have to hold: that few
scenes order the networks as many do, and that inherited weights order them as fine-tuning does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ofa_pose.data import SceneSource
from ofa_pose.errors import RunFolderError, TrainingDivergedError, UsageError, WeightsError
from ofa_pose.evaluate import SubnetEvaluator, evaluate_network, growing_parts
from ofa_pose.runs import RunFolder
from ofa_pose.search import journal
from ofa_pose.search.agreement import Agreement
from ofa_pose.space import Arch, SearchSpace
from ofa_pose.supernet import load_weights
from ofa_pose.train import Cadence, Recipe, finetune

_FORMAT = 1
_ERROR = "error"


@dataclass(frozen=True)
class CheckedArch:
    """What was measured of one arch.

    Attributes:
        arch: which network.
        inherited: AP of inherited weights on all scenes.
        subsets: number of scenes → AP on so many, and on all the others.
        tuned: AP on all scenes after fine-tuning; None where it was not fine-tuned, or gave none.
    """

    arch: Arch
    inherited: float
    subsets: Mapping[int, tuple[float, float]]
    tuned: float | None = None


@dataclass(frozen=True)
class Health:
    """The outcome of a health check.

    Attributes:
        archs: what was measured, in the order drawn; without those that failed.
        subsets: number of scenes → how far their AP agrees with the AP on all scenes (which hold
            them), and with the AP on the others.
        tuned: how far inherited and fine-tuned AP agree; None where fewer than two archs were
            fine-tuned.
        failed: arch → why it was not scored with inherited weights, in one line.
        failed_tuned: arch → why it was not scored after its fine-tuning, in one line.
    """

    archs: tuple[CheckedArch, ...]
    subsets: Mapping[int, tuple[Agreement, Agreement]]
    tuned: Agreement | None
    failed: Mapping[Arch, str] = field(default_factory=dict)
    failed_tuned: Mapping[Arch, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BriefTuning:
    """Fine-tunes an arch from inherited weights and scores it on the evaluator's scenes.

    Attributes:
        evaluator: gives the weights and the scenes.
        scenes: that are learnt from.
        recipe: how, and how long.
        run: the health check's; each network has a folder inside.
        seed: of the order of the scenes and the augmentation.
        workers: processes that prepare batches.
        progress: called with the share that is done, 0 to 1.
    """

    evaluator: SubnetEvaluator
    scenes: SceneSource
    recipe: Recipe
    run: RunFolder
    seed: int = 0
    workers: int = 0
    progress: Callable[[float], None] | None = None

    def __call__(self, arch: Arch) -> float:
        """Return the AP; a training that was interrupted goes on."""
        space = self.evaluator.supernet.space
        network = self.evaluator.subnet(arch)
        folder = self.run.file(f"tuned-{arch.key}")
        known = self.run.config.get("supernet_sha256", "")
        config = {"verb": "health", "arch": arch.key, "supernet_sha256": known}
        resume = folder.exists() and self.run.resumed
        force = folder.exists() and not resume
        with RunFolder.open(folder, config=config, resume=resume, force=force) as own:
            result = finetune(
                network,
                self.scenes,
                space=space,
                arch=arch,
                run=own,
                recipe=self.recipe,
                seed=self.seed,
                cadence=Cadence(validations=1),
                workers=self.workers,
                device=next(network.parameters()).device,
                resume=own.resumed,
                progress=self._tell,
            )
        # Where a recipe averages weights, the average is what it saves.
        weights, _ = load_weights(result.last_weights)
        network.load_state_dict(weights)
        scores = evaluate_network(
            network,
            self.evaluator.scenes,
            resolution=arch.resolution,
            space=space,
            flip=self.evaluator.flip,
            batch_size=self.evaluator.batch_size,
            settings=self.evaluator.settings,
        )
        return scores["AP"]

    def _tell(self, _done: int, _total: int | None, figures: Mapping[str, float]) -> None:
        if self.progress is not None:
            self.progress(figures["fraction"])


def check_health(
    evaluator: SubnetEvaluator,
    archs: Sequence[Arch],
    *,
    tune: Callable[[Arch], float],
    tuned: int,
    path: str | Path,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Health:
    """Measure archs on growing parts of the scenes, and the first few of them fine-tuned.

    What was measured is on disk at once; a check that was stopped goes on, with the same weights
    and scenes. An arch that gives NaN
    or infinite values is left out, and one whose fine-tuning diverges or ends in such values is
    left out of the fine-tuned.

    Args:
        evaluator: scores inherited weights.
        archs: which; those of a random draw say most, as a choice by size is easy to order.
        tune: fine-tunes an arch and returns its AP on the evaluator's scenes.
        tuned: how many archs, from the first on that did not fail.
        path: of the journal; what it holds already is not measured again.
        seed: of the order that the scenes are seen in.
        progress: called with the number of archs that are measured and fine-tuned, in all.

    Raises:
        UsageError: there are no archs.
        RunFolderError: the journal is damaged, or of another space, seed, weights or scenes.
        WeightsError: networks give NaN or infinite values, and at most one does not.
    """
    space = evaluator.supernet.space
    path, archs = Path(path), list(archs)
    if not archs:
        raise UsageError("a health check needs archs, and none is given")
    measured, fine_tuned = _read(path, space, {"seed": seed, **evaluator.identity()})
    for number, arch in enumerate(archs):
        if arch.key not in measured:
            measured[arch.key] = _outcome(partial(_measure, evaluator, arch, seed=seed))
            journal.append(path, {"arch": arch.key, **measured[arch.key]})
        if progress is not None:
            progress(number + 1)
    failed = {arch: measured[arch.key][_ERROR] for arch in archs if _ERROR in measured[arch.key]}
    sound = [arch for arch in archs if arch not in failed]
    if failed and len(sound) < 2:
        raise WeightsError(
            f"{len(failed)} of {len(archs)} archs cannot be scored, and an order needs at least "
            f"two: {next(iter(failed.values()))}"
        )
    for number, arch in enumerate(sound[:tuned]):
        if arch.key not in fine_tuned:
            fine_tuned[arch.key] = _outcome(lambda arch=arch: {"AP": tune(arch)})
            journal.append(path, {"tuned": arch.key, **fine_tuned[arch.key]})
        if progress is not None:
            progress(len(archs) + number + 1)
    scored = [
        CheckedArch(
            arch,
            measured[arch.key]["AP"],
            {int(k): (of[0], of[1]) for k, of in measured[arch.key]["subsets"].items()},
            fine_tuned.get(arch.key, {}).get("AP"),
        )
        for arch in sound
    ]
    lost = {arch: fine_tuned.get(arch.key, {}).get(_ERROR) for arch in sound[:tuned]}
    failed_tuned = {arch: error for arch, error in lost.items() if error is not None}
    return replace(_judge(scored), failed=failed, failed_tuned=failed_tuned)


def _outcome(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what is measured, or why an arch gives nothing to measure, in one line."""
    try:
        return measure()
    except (WeightsError, TrainingDivergedError) as error:
        return {_ERROR: " ".join(str(error).split()) or type(error).__name__}


def draw_archs(space: SearchSpace, count: int, *, seed: int, mask: np.ndarray | None) -> list[Arch]:
    """Draw distinct archs evenly.

    Args:
        space: of the archs.
        count: how many; fewer where there are not so many.
        seed: of the draw.
        mask: (archs,) bool, which may be drawn; None is all.

    Raises:
        UsageError: the mask is none.
    """
    if mask is not None and (mask.dtype != bool or mask.shape != (len(space),)):
        raise UsageError(
            f"a mask is {len(space):,} truth values, one for each arch of {space.name!r}, not "
            f"{mask.dtype} of shape {mask.shape}"
        )
    allowed = np.arange(len(space)) if mask is None else np.flatnonzero(mask)
    rng = np.random.default_rng(seed)
    drawn = rng.choice(allowed, size=min(count, len(allowed)), replace=False)
    return [space[int(index)] for index in drawn]


def _measure(evaluator: SubnetEvaluator, arch: Arch, *, seed: int) -> dict[str, Any]:
    network = evaluator.prepared(arch)
    matches = evaluator.matches(network, arch, range(len(evaluator.scenes)))
    # Damaged pictures are left out, the same for every arch.
    order = np.random.default_rng((seed, len(matches))).permutation(len(matches))
    subsets = {
        str(end): (matches.take(order[:end]).ap(), matches.take(order[end:]).ap())
        for end in growing_parts(len(order))[:-1]
    }
    return {"AP": matches.ap(), "subsets": subsets}


def _judge(archs: Sequence[CheckedArch]) -> Health:
    whole = [row.inherited for row in archs]
    subsets = {}
    for end in archs[0].subsets:
        few, others = zip(*(row.subsets[end] for row in archs), strict=True)
        subsets[end] = Agreement.of(few, whole), Agreement.of(few, others)
    pairs = [(row.inherited, row.tuned) for row in archs if row.tuned is not None]
    tuned = Agreement.of(*zip(*pairs, strict=True)) if len(pairs) > 1 else None
    return Health(tuple(archs), subsets, tuned)


def _read(
    path: Path, space: SearchSpace, identity: Mapping[str, Any]
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Return what the journal holds, by an arch's key: measurements and those after tuning."""
    head = {"format": _FORMAT, "space_hash": space.hash, **identity}
    if not path.exists():
        journal.create(path, head)
        return {}, {}
    records, size = journal.read(path)
    differing = [key for key in head if records[0].get(key) != head[key]]
    if not {"format", "space_hash"}.isdisjoint(differing):
        raise RunFolderError(f"{path} is no health check of space {space.name!r}")
    if differing:
        raise RunFolderError(
            f"{path} is a health check with other {', '.join(differing)}; give another path"
        )
    journal.cut(path, size)
    measured = {row["arch"]: row for row in records[1:] if "arch" in row}
    return measured, {row["tuned"]: row for row in records[1:] if "tuned" in row}
