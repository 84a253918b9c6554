"""The moves of the evolution stay inside the space, touch every gene, and always end."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa_pose.search.operators import GeneTable, crossover, mutate, redraw, tournament
from ofa_pose.space import SearchSpace

COUNTS = st.lists(st.integers(1, 5), min_size=1, max_size=6)


@given(COUNTS, st.integers(0, 999), st.floats(0, 1))
def test_mutation_changes_something_and_stays_inside(
    counts: list[int], seed: int, step: float
) -> None:
    rng = np.random.default_rng(seed)
    genes = rng.integers(counts, size=(20, len(counts)))
    children = mutate(genes, counts, rng, step=step)
    assert ((children >= 0) & (children < counts)).all()
    assert ((children != genes).any(axis=1) == (max(counts) > 1)).all()


@pytest.mark.parametrize("step", [0.0, 1.0])
def test_mutation_reaches_every_gene_evenly(step: float) -> None:
    rng = np.random.default_rng(0)
    genes = np.tile([1, 0, 2, 1], (2000, 1))
    changes = mutate(genes, (3, 3, 3, 3), rng, step=step) - genes
    # At least one in four, and each as often: (1 + 0.75⁴) / 4 = 0.329 of the children.
    assert (changes != 0).mean(axis=0) == pytest.approx([0.329] * 4, abs=0.04)
    if step == 1.0:
        assert abs(changes).max() == 1


def test_redrawing_changes_each_gene_with_its_probability() -> None:
    rng = np.random.default_rng(0)
    genes = np.tile([1, 0, 2, 1], (3000, 1))
    drawn = redraw(genes, (4, 4, 4, 4), rng, probability=0.4)
    # One draw in four gives the old value: 0.4 · 3/4.
    assert (drawn != genes).mean(axis=0) == pytest.approx([0.3] * 4, abs=0.03)
    assert set(np.unique(drawn)) == {0, 1, 2, 3}
    assert (redraw(genes, (4, 4, 4, 4), rng, probability=0) == genes).all()


def test_crossover_mixes_every_gene_resolution_included() -> None:
    rng = np.random.default_rng(0)
    one, other = np.zeros((1000, 5), dtype=int), np.ones((1000, 5), dtype=int)
    children = crossover(one, other, rng)
    assert set(np.unique(children)) == {0, 1}
    assert children.mean(axis=0) == pytest.approx([0.5] * 5, abs=0.06)


def test_tournament_prefers_the_front_of_the_list() -> None:
    rng = np.random.default_rng(0)
    wins = np.bincount(tournament(4, rng, size=2, count=8000)) / 8000
    # Best of two draws with replacement from four: 7/16, 5/16, 3/16, 1/16.
    assert wins == pytest.approx([0.4375, 0.3125, 0.1875, 0.0625], abs=0.02)


@given(seed=st.integers(0, 999), index=st.integers(0, 59))
def test_nearest_is_what_a_plain_loop_finds(
    make_space: Callable[..., SearchSpace], seed: int, index: int
) -> None:
    space = make_space(5, 3, 4)
    rng = np.random.default_rng(seed)
    free = rng.random(60) < rng.random()
    genes = [space.encode(arch) for arch in space]
    steps = {
        other: sum(abs(a - b) for a, b in zip(genes[index], genes[other], strict=True))
        for other in range(60)
        if free[other]
    }
    found = GeneTable(space).nearest(index, free, rng)
    if steps:
        assert found is not None
        assert steps[found] == min(steps.values())
    else:
        assert found is None


def test_genes_of_a_choice_with_many_values_do_not_wrap(
    make_space: Callable[..., SearchSpace],
) -> None:
    space = make_space(300, 2)
    free = np.zeros(600, dtype=bool)
    free[[599, 1]] = True
    assert GeneTable(space).nearest(300, free, np.random.default_rng(0)) == 599
    assert GeneTable(space).nearest(298, free, np.random.default_rng(0)) == 1
