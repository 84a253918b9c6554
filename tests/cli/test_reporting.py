"""Who is compared at the end of a search, and when a search has chosen nothing."""

import logging

import pytest

import ofa_pose as op
from ofa_pose.cli._reporting import doubt, finalists_of


def searched(score, **scores):
    return op.search(
        op.load_space("toy"),
        lambda arch: {"AP": score(arch), **{k: v(arch) for k, v in scores.items()}},
        budgets={"S": "0.25M", "L": "1M"},
        evaluations=20,
    )


@pytest.fixture(scope="module")
def result():
    return searched(lambda arch: sum(arch.values()) / 1000)


def test_the_next_best_within_each_budget(result):
    finals = finalists_of(result, 3)
    for name, limit in (("S", 250_000), ("L", 1_000_000)):
        inside = [row for row in result.archive if row.costs["macs_exact"] <= limit]
        scores = sorted((row.score("AP") for row in inside), reverse=True)
        assert result.tiers[name].scores["AP"] == scores[0]
        assert [row.score("AP") for row in finals[name]] == scores[1:4]
        assert result.tiers[name].arch not in {row.arch for row in finals[name]}
    assert finalists_of(result, 0) == {"S": [], "L": []}


def test_a_search_that_tells_archs_apart_is_not_doubted(result, caplog):
    assert doubt(result) is result
    assert "score alike" not in caplog.text


def test_a_search_whose_archs_score_alike_is_doubted(caplog):
    with caplog.at_level(logging.WARNING):
        flat = doubt(searched(lambda _arch: 0.0))
    assert flat.notes[-1].startswith("all 20 archs score alike")
    assert "nothing was chosen" in caplog.text
    # The lowest of them lies within the interval of the best.
    noisy = searched(lambda arch: sum(arch.values()) / 1e6, AP_low=lambda _arch: 0.0)
    assert "score alike" in doubt(noisy).notes[-1]
