"""Made-up accuracies of every arch of a space, so that a search can be judged against the truth.

What the shape is taken from: of 120 subnets of a trained `litepose-lite0` supernet, the AP was
linear in the logarithms of resolution and widths up to a residual of a fifth of its spread. Here
what is not additive is about twice that, so no gene can be judged by itself:

- main: diminishing returns of capacity, which is additive in the logarithms (random weights);
- mismatch: layers whose neighbour is relatively wider or narrower lose, and so do resolutions
  that do not go with the width (a compound optimum);
- rugged: an NK landscape (Kauffman 1993, K = 2): a random table for every gene and two others;
- private: noise that belongs to the arch, as the AP on a limited number of pictures has.

Standard deviations 1, 0.25, 0.3 and 0.1 of the main part's.
"""

from __future__ import annotations

import numpy as np

from ofa_pose.space import SearchSpace

MISMATCH, RUGGED, PRIVATE = 0.25, 0.3, 0.1
CENTRE, SPREAD = 0.45, 0.04  # AP of the mean arch, and the main part's standard deviation in AP


def landscape(space: SearchSpace, seed: int) -> np.ndarray:
    """Return the AP (archs,) of every arch of `space`; another landscape for every seed."""
    rng = np.random.default_rng((seed, 20260))
    genes = space.genes_of(np.arange(len(space)))
    sizes = np.stack(
        [
            np.log(np.array(choice.values) / choice.values[0])[genes[:, position]]
            for position, choice in enumerate(space.choices)
        ],
        axis=1,
    )
    resolution = [choice.name for choice in space.choices].index("resolution")
    widths = np.delete(sizes, resolution, axis=1)
    weights = rng.uniform(0.2, 1.5, size=sizes.shape[1])
    weights[resolution] = rng.uniform(1.0, 3.0)
    main = 1 - np.exp(-0.5 * _standard(sizes @ weights))
    neighbours = np.diff(widths, axis=1) ** 2 @ rng.uniform(0, 1, widths.shape[1] - 1)
    compound = (_standard(sizes[:, resolution]) - _standard(widths.mean(axis=1))) ** 2
    mismatch = -_standard(neighbours) - rng.uniform(0, 1) * _standard(compound)
    total = (
        _standard(main)
        + MISMATCH * _standard(mismatch)
        + RUGGED * _standard(_rugged(genes, space.gene_counts, rng))
        + PRIVATE * rng.normal(size=len(space))
    )
    return CENTRE + SPREAD * total


def _rugged(
    genes: np.ndarray, gene_counts: tuple[int, ...], rng: np.random.Generator
) -> np.ndarray:
    total = np.zeros(len(genes))
    for gene in range(len(gene_counts)):
        others = rng.choice(np.delete(np.arange(len(gene_counts)), gene), 2, replace=False)
        triple = [gene, *others]
        table = rng.normal(size=[gene_counts[i] for i in triple])
        total += table[tuple(genes[:, i] for i in triple)]
    return total


def _standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / (values.std() or 1.0)
