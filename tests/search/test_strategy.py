"""The strategies: their parents by hand, their children, their names."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from ofa_pose.errors import UnknownNameError
from ofa_pose.search import (
    STRATEGIES,
    Evaluation,
    FeasibleSet,
    Limit,
    SearchSettings,
    Strategy,
    find_strategy,
    make_settings,
    register,
)
from ofa_pose.search.strategy import Situation
from ofa_pose.space import SearchSpace

# Index: (score, macs); arch 4 failed, arch 5 is above the budget.
TRUTH = {0: (0.5, 8), 1: (0.9, 9), 2: (0.7, 3), 3: (0.4, 3), 4: (0.8, 2), 5: (1.0, 99)}


@pytest.fixture
def situation(
    make_space: Callable[..., SearchSpace], make_evaluation: Callable[..., Evaluation]
) -> Callable[..., Situation]:
    def make(**changes: object) -> Situation:
        space = make_space(2, 3)
        rows = [
            make_evaluation(
                space,
                index,
                scores={"AP": score},
                costs={"macs": macs},
                error="broken" if index == 4 else "",
            )
            for index, (score, macs) in TRUTH.items()
        ]
        macs = np.array([TRUTH[index][1] for index in range(6)])
        feasible = FeasibleSet("S", (Limit("macs", 10),), macs <= 10, macs / 10)
        return Situation((2, 3), (feasible,), tuple(rows), make_settings(**changes))

    return make


def parents_of(name: str, situation: Situation) -> list[int]:
    parents: Sequence[Evaluation] = find_strategy(name)(situation).parents(situation.sets[0])
    return [row.index for row in parents]


def test_steady_and_elitist_keep_the_best_ever(situation: Callable[..., Situation]) -> None:
    for name in ("steady", "elitist"):
        assert parents_of(name, situation(strategy=name, parents=3)) == [1, 2, 0]


def test_aging_forgets_the_oldest_however_good(situation: Callable[..., Situation]) -> None:
    # The latest two that succeeded within the budget are 2 and 3.
    assert parents_of("aging", situation(strategy="aging", parents=2)) == [2, 3]


def test_nsga2_keeps_the_front_of_score_and_cost_first(situation: Callable[..., Situation]) -> None:
    # Not dominated: 1 (0.9 for 9) and 2 (0.7 for 3). Then 0 (0.5 for 8) and 3 (0.4 for 3).
    order = parents_of("nsga2", situation(strategy="nsga2", parents=9))
    assert (set(order[:2]), set(order[2:])) == ({1, 2}, {0, 3})
    assert set(parents_of("nsga2", situation(strategy="nsga2", parents=2))) == {1, 2}


def test_random_has_no_parents_and_draws_everything(situation: Callable[..., Situation]) -> None:
    state = situation(strategy="random")
    assert parents_of("random", state) == []
    strategy = find_strategy("random")(state)
    rng = np.random.default_rng(0)
    drawn = {tuple(row) for row in strategy.children(state.sets[0], 100, rng).tolist()}
    assert len(drawn) == 6


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_children_vary_every_gene_and_stay_inside(
    situation: Callable[..., Situation], name: str
) -> None:
    state = situation(strategy=name, parents=2)
    strategy = find_strategy(name)(state)
    rng = np.random.default_rng(0)
    children = strategy.children(state.sets[0], 300, rng)
    assert children.shape == (300, 2)
    assert (children >= 0).all()
    assert (children < [2, 3]).all()
    assert (children.max(axis=0) > children.min(axis=0)).all()


def test_settings_are_those_given_then_the_strategys(situation: Callable[..., Situation]) -> None:
    chosen = make_settings(strategy="elitist", population=None, seed=7)
    # The paper: a population of 40 of which a quarter survives, half of the children mutants.
    assert (chosen.population, chosen.parents, chosen.offspring) == (40, 10, 40)
    assert (chosen.crossover, chosen.mutation, chosen.seed) == (0.5, 0.1, 7)
    assert make_settings(strategy="elitist", population=5).population == 5
    assert make_settings() == SearchSettings()
    with pytest.raises(UnknownNameError, match=r"strategy 'agin'; did you mean 'aging'\?"):
        make_settings(strategy="agin")


def test_a_strategy_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ofa_pose.search.strategy.STRATEGIES", found := dict(STRATEGIES))

    @register("mine")
    class Mine(STRATEGIES["random"]):
        pass

    assert found["mine"] is Mine
    assert issubclass(Mine, Strategy)
    assert make_settings(strategy="mine").strategy == "mine"
