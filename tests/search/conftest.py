"""Small made-up spaces and score landscapes whose true optimum a full enumeration gives."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np
import pytest

from ofa_pose.search import Evaluation
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


@pytest.fixture(name="make_space", scope="session")
def _make_space() -> Callable[..., SearchSpace]:
    return make_space


@pytest.fixture(name="make_landscape", scope="session")
def _make_landscape() -> Callable[..., Landscape]:
    return make_landscape


@pytest.fixture(name="make_evaluation", scope="session")
def _make_evaluation() -> Callable[..., Evaluation]:
    return make_evaluation
