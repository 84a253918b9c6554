"""What the evolution proposes: only feasible archs, each once, the same however it is driven."""

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ofa_pose.errors import RunFolderError, UnknownNameError, UsageError
from ofa_pose.search import (
    STRATEGIES,
    Archive,
    Evolution,
    Limit,
    SearchSettings,
    describe,
    make_settings,
    resolve_budgets,
    to_csv,
)
from ofa_pose.space import SearchSpace, uniform_archs


def make_evolution(
    space: SearchSpace,
    macs: np.ndarray,
    *,
    limits: Mapping[str, float],
    evaluations: int = 40,
    archive: Archive | None = None,
    path: Path | None = None,
    **options: Any,
) -> Evolution:
    budgets = {tier: Limit("macs", value) for tier, value in limits.items()}
    chosen = make_settings(**{"offspring": 4, **options})
    sets, _ = resolve_budgets(space, budgets, costs={"macs": macs})
    described = describe(chosen, sets, costs={"macs": macs})
    if path is not None and path.exists():
        archive = Archive.resume(path, space, settings=described, evaluations=evaluations)
    elif path is not None:
        archive = Archive.create(path, space, settings=described)
    return Evolution(
        Archive(space, settings=described) if archive is None else archive,
        sets,
        costs={"macs": macs},
        settings=chosen,
        evaluations=evaluations,
    )


def drive(
    evolution: Evolution, scores: np.ndarray, *, shuffle: np.random.Generator | None = None
) -> str:
    """Tell every proposal its score, in the given or a shuffled order; return the archive."""
    while waiting := evolution.ask():
        if shuffle is not None:
            shuffle.shuffle(waiting)
        for index in waiting:
            evolution.tell(index, {"AP": scores[index]})
    return to_csv(evolution.archive, evolution.archive.space)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_search_keeps_its_promises(
    make_space: Callable[..., SearchSpace], data: st.DataObject
) -> None:
    counts = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    space = make_space(*counts)
    rng = np.random.default_rng(data.draw(st.integers(0, 9999)))
    macs = rng.integers(1, 20, len(space))
    scores = rng.random(len(space))
    scores[rng.random(len(space)) < 0.2] = np.nan
    reachable = st.integers(int(macs.min()), 21)
    limits = data.draw(st.dictionaries(st.sampled_from("ABC"), reachable, min_size=1))
    evolution = make_evolution(
        space,
        macs,
        limits=limits,
        evaluations=data.draw(st.integers(1, 70)),
        population=data.draw(st.integers(1, 9)),
        offspring=data.draw(st.integers(1, 9)),
        parents=data.draw(st.integers(1, 9)),
        strategy=data.draw(st.sampled_from(sorted(STRATEGIES))),
        predictor=data.draw(st.booleans()),
    )
    drive(evolution, scores)
    rows = list(evolution.archive)
    within = int((macs <= max(limits.values())).sum())
    assert len(rows) == min(evolution.evaluations, within)
    assert len({row.index for row in rows}) == len(rows)
    assert [row.order for row in rows] == list(range(len(rows)))
    assert all(row.costs["macs"] <= limits[row.tier] for row in rows)
    assert evolution.finished
    if within <= evolution.evaluations:
        assert evolution.message.startswith("stopped because every arch within")
    else:
        assert evolution.message.startswith("stopped because all")


@given(
    seed=st.integers(0, 9999),
    within=st.integers(1, 40),
    evaluations=st.tuples(st.integers(1, 20), st.integers(10, 50)),
    population=st.integers(1, 9),
    offspring=st.integers(1, 9),
)
@example(seed=0, within=1, evaluations=(1, 10), population=1, offspring=5)
@settings(max_examples=12, deadline=None)
def test_a_search_that_is_given_another_tier_numbers_its_proposals_one_by_one(
    make_space: Callable[..., SearchSpace],
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    within: int,
    evaluations: tuple[int, int],
    **options: int,
) -> None:
    """Also where the tier runs dry before it has had its share."""
    space = make_space(4, 4, 4)
    rng = np.random.default_rng(seed)
    macs, scores = rng.permutation(64) + 1, rng.random(64)
    given: dict[str, Any] = {"predictor": False, **options}

    def run(shuffle: np.random.Generator | None) -> tuple[Archive, str]:
        given["path"] = tmp_path_factory.mktemp("search") / "archive.csv"
        first = make_evolution(space, macs, limits={"L": 64}, evaluations=evaluations[0], **given)
        drive(first, scores, shuffle=shuffle)
        both = {"L": 64, "S": within}
        second = make_evolution(space, macs, limits=both, evaluations=evaluations[1], **given)
        return second.archive, drive(second, scores, shuffle=shuffle)

    archive, text = run(None)
    assert run(rng)[1] == text
    rows = list(archive)
    assert [row.order for row in rows] == list(range(len(rows)))
    own = sum(row.tier == "S" for row in rows)
    assert evaluations[1] <= len(rows) <= max(evaluations[1], evaluations[0] + own)


def test_the_first_generation_spans_every_tier(
    make_landscape: Callable[..., Any],
) -> None:
    land = make_landscape(0, 4, 4, 4, 4)
    limits = {"S": float(np.quantile(land.macs, 0.2)), "L": float(np.quantile(land.macs, 0.8))}
    evolution = make_evolution(land.space, land.macs, limits=limits, population=16)
    asked = evolution.ask()
    uniform = {land.space.index(arch) for arch in uniform_archs(land.space)}
    assert uniform & set(asked) == {i for i in uniform if land.macs[i] <= limits["L"]}
    asked = [index for index in asked if index not in uniform]
    assert 12 <= len(asked) <= 16  # an extreme may be uniformly scaled
    macs = land.macs[asked]
    assert land.macs.min() in land.macs[evolution.ask()]
    for limit in limits.values():
        within = land.macs[land.macs <= limit]
        assert within.max() in land.macs[evolution.ask()]
        # Spread evenly: some in every third of the tier's archs by cost.
        thirds = np.quantile(within, [1 / 3, 2 / 3])
        assert set(np.searchsorted(thirds, macs[macs <= limit])) == {0, 1, 2}


def test_of_very_many_uniformly_scaled_archs_each_tier_takes_those_near_its_budget(
    make_landscape: Callable[..., Any],
) -> None:
    land = make_landscape(12, 9, 8, 8)
    uniform = {land.space.index(arch) for arch in uniform_archs(land.space)}
    assert len(uniform) == 72  # 9 resolutions, 8 ratios
    limits = {"S": float(np.quantile(land.macs, 0.5)), "L": 1e12}
    asked = make_evolution(land.space, land.macs, limits=limits, population=4).ask()
    assert len(asked) <= 4 + 32
    small = sorted(land.macs[i].item() for i in uniform if land.macs[i] <= limits["S"])
    assert set(small[-16:]) <= set(land.macs[asked].tolist())


def test_every_gene_of_later_generations_varies(make_landscape: Callable[..., Any]) -> None:
    land = make_landscape(1, 3, 3, 3, 3, 3)
    # Without the predictor, which keeps to one value of a gene where it is sure of it.
    evolution = make_evolution(
        land.space, land.macs, limits={"L": 1e12}, evaluations=60, predictor=False
    )
    drive(evolution, land.scores)
    genes = np.array([row.genes for row in evolution.archive if row.generation > 0])
    assert (genes.max(axis=0) > genes.min(axis=0)).all()


def test_tiers_take_turns(make_landscape: Callable[..., Any]) -> None:
    land = make_landscape(2, 4, 4, 4)
    median = float(np.median(land.macs))
    limits = {"S": median, "M": 1.5 * median, "L": 1e12}
    evolution = make_evolution(land.space, land.macs, limits=limits, evaluations=45, population=6)
    drive(evolution, land.scores)
    later = [row.tier for row in evolution.archive if row.generation > 0]
    assert len(later) >= 20
    assert all(later[i : i + 3] == later[:3] for i in range(0, len(later) - 2, 3))
    assert set(later[:3]) == {"S", "M", "L"}


def test_a_tier_with_nothing_left_passes_its_turn_on(make_landscape: Callable[..., Any]) -> None:
    land = make_landscape(3, 4, 4, 4)
    limits = {"one": float(land.macs.min()), "all": 1e12}
    evolution = make_evolution(land.space, land.macs, limits=limits, evaluations=40)
    drive(evolution, land.scores)
    assert len(evolution.archive) == 40
    at_minimum = int((land.macs == land.macs.min()).sum())
    assert sum(row.costs["macs"] <= limits["one"] for row in evolution.archive) == at_minimum


def test_a_space_of_one_arch(make_space: Callable[..., SearchSpace]) -> None:
    evolution = make_evolution(make_space(1, 1), np.array([5]), limits={"S": 5, "L": 9})
    assert evolution.ask() == [0]
    assert evolution.message == "not finished: 0 of 40 evaluations made"
    evolution.tell(0, {"AP": 0.5})
    assert evolution.ask() == []
    assert evolution.message == (
        "stopped because every arch within the budgets was evaluated (1 of the 1 in 'made-up')"
    )


def test_same_seed_same_search_and_another_seed_another(
    make_landscape: Callable[..., Any],
) -> None:
    land = make_landscape(4, 4, 4, 4)
    runs = [
        drive(make_evolution(land.space, land.macs, limits={"L": 1e12}, seed=seed), land.scores)
        for seed in (0, 0, 1)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_the_order_of_answers_does_not_matter(make_landscape: Callable[..., Any]) -> None:
    land = make_landscape(5, 4, 4, 4)

    def run(rng: np.random.Generator | None) -> str:
        evolution = make_evolution(land.space, land.macs, limits={"S": 1e8, "L": 1e12}, offspring=7)
        return drive(evolution, land.scores, shuffle=rng)

    assert run(np.random.default_rng(0)) == run(None)


def test_more_evaluations_continue_the_same_search(make_landscape: Callable[..., Any]) -> None:
    land = make_landscape(6, 4, 4, 4)
    limits = {"S": 1e8, "L": 1e12}
    whole = make_evolution(land.space, land.macs, limits=limits, evaluations=50)
    expected = drive(whole, land.scores)
    archive = None
    for evaluations in (1, 7, 18, 19, 33, 50):
        evolution = make_evolution(
            land.space, land.macs, limits=limits, evaluations=evaluations, archive=archive
        )
        text = drive(evolution, land.scores)
        assert expected.startswith(text)
        archive = evolution.archive
    assert text == expected


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_search_goes_on_after_any_line_of_its_journal(
    make_landscape: Callable[..., Any], tmp_path: Path, strategy: str
) -> None:
    land = make_landscape(7, 4, 4, 4)
    land.scores[::6] = np.nan
    options: dict[str, Any] = {"limits": {"S": 1e8, "L": 1e12}, "strategy": strategy}
    archive = Archive.create(tmp_path / "a.csv", land.space, settings={})
    whole = make_evolution(land.space, land.macs, archive=archive, **options)
    expected = drive(whole, land.scores)
    lines = (tmp_path / "a.jsonl").read_bytes().splitlines(keepends=True)
    for count in range(1, len(lines) + 1, 3):
        (tmp_path / "a.jsonl").write_bytes(b"".join(lines[:count]))
        part = Archive.load(tmp_path / "a.csv", land.space)
        evolution = make_evolution(land.space, land.macs, archive=part, **options)
        assert drive(evolution, land.scores) == expected
        assert (tmp_path / "a.jsonl").read_bytes() == b"".join(lines)


def test_an_arch_that_was_not_proposed_is_refused(make_landscape: Callable[..., Any]) -> None:
    land = make_landscape(8, 4, 4, 4)
    whole = make_evolution(land.space, land.macs, limits={"L": 1e12})
    drive(whole, land.scores)
    row = list(whole.archive)[20]
    part = Archive(land.space, settings={})
    part.add(row)
    with pytest.raises(RunFolderError, match="was not made by this search"):
        make_evolution(land.space, land.macs, limits={"L": 1e12}, archive=part)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("predictor", [True, False])
def test_every_tier_has_its_share_near_its_budget(
    make_landscape: Callable[..., Any], strategy: str, predictor: bool
) -> None:
    """Where small archs score best, large tiers are looked at nevertheless."""
    land = make_landscape(11, 4, 4, 4, 4, 4)
    scores = -np.log(land.macs)
    limits = {name: float(np.quantile(land.macs, q)) for name, q in
              {"XS": 0.2, "S": 0.5, "M": 0.75, "L": 0.95}.items()}  # fmt: skip
    evolution = make_evolution(
        land.space,
        land.macs,
        limits=limits,
        evaluations=120,
        population=16,
        strategy=strategy,
        predictor=predictor,
    )
    drive(evolution, scores)
    macs = land.macs[[row.index for row in evolution.archive]]
    edges = [0, *limits.values()]
    shares = [((macs > low) & (macs <= high)).sum() for low, high in itertools.pairwise(edges)]
    # Each of four tiers has 30 of the 120, and every other of them is near its budget.
    assert min(shares) >= 13


def test_what_tell_refuses_and_what_it_records(make_landscape: Callable[..., Any]) -> None:
    land = make_landscape(9, 4, 4, 4)
    evolution = make_evolution(land.space, land.macs, limits={"L": 1e12})
    first, second, third = evolution.ask()[:3]
    with pytest.raises(UnknownNameError, match=r"search for 'AP'; did you mean 'APs'\?"):
        evolution.tell(first, {"APs": 0.5})
    assert len(evolution.archive) == 0
    row = evolution.tell(first, {"AP": np.float64(0.5), "AR": 1})
    assert (row.scores, row.failed) == ({"AP": 0.5, "AR": 1.0}, False)
    assert row.genes == land.space.encode(land.space[first])
    with pytest.raises(ValueError, match="was not asked for"):
        evolution.tell(first, {"AP": 0.5})
    missing = next(i for i in range(64) if i not in evolution.ask())
    with pytest.raises(ValueError, match="was not asked for"):
        evolution.tell(missing, {"AP": 0.5})
    assert evolution.tell(second, {"AP": float("inf")}).error == "AP is inf"
    with pytest.raises(UnknownNameError, match="search for 'AP'; none is known"):
        evolution.tell(third, {}, error=" \n")  # neither scores nor an error
    row = evolution.tell(np.int64(third), {}, error="out of\n memory")  # pyright: ignore[reportArgumentType]
    assert (row.failed, row.error, type(row.index)) == (True, "out of memory", int)
    assert np.isnan(row.score("AP"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": -1},
        {"population": 0},
        {"parents": 0},
        {"offspring": 0},
        {"tournament": 0},
        {"crossover": 1.5},
        {"neighbour_step": -0.1},
        {"mutation": 2.0},
        {"worth": -1.0},
    ],
)
def test_settings_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        SearchSettings(**wrong)


def test_no_evaluations(make_space: Callable[..., SearchSpace]) -> None:
    with pytest.raises(UsageError, match="evaluations is at least 1, not 0"):
        make_evolution(make_space(2), np.array([2, 1]), limits={"S": 2}, evaluations=0)
