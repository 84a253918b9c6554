"""Random budgets over spaces as they are shipped: all are kept, or refused at once."""

import time

import numpy as np
import pytest

import ofa_pose as op
from ofa_pose.api import format_cost
from ofa_pose.errors import InfeasibleBudgetError
from ofa_pose.search import Limit

KINDS = ("macs_exact", "macs_paper", "params", "peak_memory")


def counted(space, arch):
    """Costs of one arch, by units that are built for it and not by the table of all archs."""
    cost = op.count(space, arch)
    return {
        "macs_exact": cost.macs["exact"],
        "macs_paper": cost.macs["paper"],
        "params": cost.params,
        "peak_memory": cost.peak_memory,
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["litepose-xs", "litepose-lite0"])
def test_200_random_budgets_are_kept_or_refused_with_the_nearest_value(name):
    space = op.load_space(name)
    table = op.CostTable(space)
    rng = np.random.default_rng(0)
    smallest = {kind: min(table[kind]).item() for kind in KINDS}
    largest = {kind: max(table[kind]).item() for kind in KINDS}
    refused = 0
    for seed in range(200):
        kinds = rng.choice(KINDS, size=rng.integers(1, 3), replace=False).tolist()
        share = {kind: np.exp(rng.uniform(-0.4, 1.0)) for kind in kinds}
        limits = {
            kind: smallest[kind] * (largest[kind] / smallest[kind]) ** (share[kind] - 0.8)
            for kind in kinds
        }
        asked = []

        def score(arch, asked=asked):
            asked.append(arch)
            return {"AP": float(np.sin(len(asked)))}

        options = {
            "budgets": {"T": [Limit(kind, value) for kind, value in limits.items()]},
            "costs": table,
            "evaluations": 6,
            "population": 4,
            "predictor": False,
            "seed": seed,
        }
        within = np.logical_and.reduce([table[kind] <= limits[kind] for kind in kinds])
        if not within.any():
            load = np.maximum.reduce([table[kind] / limits[kind] for kind in kinds])
            nearest = {kind: table[kind][load.argmin()].item() for kind in kinds}
            assert len(kinds) > 1 or nearest[kinds[0]] == smallest[kinds[0]]
            start = time.process_time()
            with pytest.raises(InfeasibleBudgetError) as refusal:
                op.search(space, score, **options)
            assert time.process_time() - start < 1
            for kind, value in nearest.items():
                assert format_cost(kind, value) in str(refusal.value)
            assert not asked
            refused += 1
            continue
        winner = op.search(space, score, **options).tiers["T"]
        assert len(set(asked)) == len(asked) == min(6, within.sum())
        for arch in (*asked, winner.arch):
            costs = counted(space, arch)
            assert all(costs[kind] <= value for kind, value in limits.items())
    assert 20 < refused < 150
