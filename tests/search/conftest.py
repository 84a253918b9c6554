"""Made-up spaces, score landscapes whose optimum an enumeration gives, and races over marks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pytest

from ofa_pose.search import Evaluation, InProcess, Race, RaceSettings
from ofa_pose.space import Arch, Choice, SearchSpace


def make_space(*gene_counts: int, name: str = "made-up") -> SearchSpace:
    """A space whose first choice is `resolution` and whose others are `width1`, `width2`, …."""
    names = ["resolution", *(f"width{i}" for i in range(1, len(gene_counts)))]
    pairs = zip(names, gene_counts, strict=True)
    choices = tuple(Choice(n, tuple(8 * v for v in range(1, c + 1))) for n, c in pairs)
    return SearchSpace(name=name, family="none", choices=choices)


def make_evaluation(space: SearchSpace, index: int, **changes: object) -> Evaluation:
    """An evaluation of arch `index`, proposed as number `index`, that costs and scores 1."""
    fields: dict = {
        "order": index,
        "generation": 0,
        "tier": "S",
        "index": index,
        "arch": space[index],
        "genes": space.encode(space[index]),
        "costs": {"macs": 1},
        "scores": {"AP": 1.0},
    }
    return Evaluation(**{**fields, **changes})


@dataclass
class Landscape:
    """Costs and scores of every arch, and an evaluator that counts what it was asked."""

    space: SearchSpace
    macs: np.ndarray
    scores: np.ndarray
    asked: list[int]

    def __call__(self, arch: Arch) -> dict[str, float]:
        index = self.space.index(arch)
        self.asked.append(index)
        return {"AP": float(self.scores[index]), "AP50": float(self.scores[index]) / 2}

    def optimum(self, limit: float) -> float:
        """The best score within a budget, by looking at every arch."""
        return max(self.scores[i] for i in range(len(self.space)) if self.macs[i] <= limit)


def make_landscape(seed: int, *gene_counts: int, ruggedness: float = 0.35) -> Landscape:
    """Scores in 0..1 that rise with the logarithm of the widths, plus an NK landscape.

    The NK part (Kauffman 1993, K = 2) gives every triple of a choice and two others a random
    table, so no gene can be judged by itself. MACs are resolution² times products of
    neighbouring widths, as they are in a chain of convolutions.
    """
    rng = np.random.default_rng(seed)
    space = make_space(*gene_counts)
    count = len(gene_counts)
    genes = np.stack(np.unravel_index(np.arange(prod(gene_counts)), gene_counts), axis=1)
    widths = 1 - 0.75 * genes / np.maximum(np.array(gene_counts) - 1, 1)
    pairs = (widths[:, 1:-1] * widths[:, 2:]) @ rng.uniform(0.5, 1.5, count - 2)
    macs = (1e9 * widths[:, 0] ** 2 * pairs / count).astype(np.int64)
    rugged = np.zeros(len(space))
    for gene in range(count):
        others = rng.choice([i for i in range(count) if i != gene], 2, replace=False)
        triple = [gene, *others]
        table = rng.normal(size=[gene_counts[i] for i in triple])
        rugged += table[tuple(genes[:, i] for i in triple)]
    capacity = np.log(widths + 0.1) @ rng.uniform(0.2, 1.5, count)
    scores = capacity / capacity.std() + ruggedness * rugged / rugged.std()
    scores = (scores - scores.min()) / (scores.max() - scores.min())
    return Landscape(space, macs, scores, [])


@dataclass(frozen=True)
class Marks:
    """A mark for each image; the score is their mean."""

    values: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def join(self, other: Marks) -> Marks:
        return Marks(np.concatenate([self.values, other.values]))

    def take(self, pictures: Sequence[int]) -> Marks:
        return Marks(self.values[list(pictures)])

    def scores_of(self, weights: np.ndarray) -> np.ndarray:
        return weights @ self.values / weights.sum(axis=1)


PARTS = (16, 32, 64, 128)
"""Where each part of the images of a race ends."""


def marks_of(quality: Sequence[float], seed: int = 0) -> np.ndarray:
    """Marks (archs, images) about the archs' quality: images differ more than archs do."""
    rng = np.random.default_rng(seed)
    hardness = rng.normal(0, 1, PARTS[-1])
    own = rng.normal(0, 0.05, (len(quality), PARTS[-1]))
    return np.array(quality)[:, None] + hardness + own


def race_over(
    marks: np.ndarray,
    *,
    tiers: Mapping[str, np.ndarray] | None = None,
    errors: Mapping[tuple[int, int], Exception] | None = None,
    asked: list[tuple[int, int]] | None = None,
    workers: type[InProcess[Any, Any]] = InProcess,
    objective: str = "AP",
) -> Race:
    """A race of four parts.

    Args:
        marks: (archs, images) what archs get.
        tiers: masks by name; one of everybody by default.
        errors: by arch and part, what is raised there.
        asked: what is measured is appended to it.
        workers: who measure.
        objective: what the mean mark is called.
    """

    def measure(task: tuple[int, int]) -> Marks:
        if asked is not None:
            asked.append(task)
        if errors and task in errors:
            raise errors[task]
        index, part = task
        return Marks(marks[index, (0, *PARTS)[part] : PARTS[part]])

    everybody = {"all": np.ones(len(marks), dtype=bool)}
    settings = RaceSettings(parts=len(PARTS))
    return Race(workers(measure), tiers or everybody, settings, objective=objective)


@pytest.fixture(name="make_space", scope="session")
def _make_space() -> Callable[..., SearchSpace]:
    return make_space


@pytest.fixture(name="make_landscape", scope="session")
def _make_landscape() -> Callable[..., Landscape]:
    return make_landscape


@pytest.fixture(name="make_evaluation", scope="session")
def _make_evaluation() -> Callable[..., Evaluation]:
    return make_evaluation


@pytest.fixture(name="marks_of", scope="session")
def _marks_of() -> Callable[..., np.ndarray]:
    return marks_of


@pytest.fixture(name="race_over", scope="session")
def _race_over() -> Callable[..., Race]:
    return race_over
