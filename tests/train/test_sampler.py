"""Which archs each step trains: reproducible, fair, the same in a data worker."""

import pickle
from collections import Counter

import pytest

from ofa_pose import load_space
from ofa_pose.errors import RecipeError
from ofa_pose.train import (
    ArchSampler,
    FairSampler,
    FixedSampler,
    SandwichSampler,
    UniformSampler,
    make_sampler,
)

TOY = load_space("toy")
XS = load_space("litepose-xs")
LITE0 = load_space("litepose-lite0")


@pytest.mark.parametrize("name", ["uniform", "sandwich", "fair"])
def test_pure_function_of_seed_and_step(name):
    archs = [make_sampler(name, TOY, seed=5).archs(step) for step in range(50)]
    backwards = make_sampler(name, TOY, seed=5)
    assert [backwards.archs(step) for step in reversed(range(50))] == archs[::-1]
    assert [make_sampler(name, TOY, seed=6).archs(step) for step in range(50)] != archs


@pytest.mark.parametrize("name", ["uniform", "sandwich", "fair"])
def test_a_worker_sees_the_same_resolution(name):
    sampler = make_sampler(name, LITE0, seed=9)
    copy = pickle.loads(pickle.dumps(sampler))
    for step in range(20):
        assert {arch.resolution for arch in sampler.archs(step)} == {copy.resolution(step)}


@pytest.mark.parametrize("name", ["uniform", "sandwich", "fair"])
def test_every_resolution_is_as_likely(name):
    sampler = make_sampler(name, LITE0, seed=1)
    counts = Counter(sampler.resolution(step) for step in range(1600))
    assert set(counts) == {448, 384, 320, 256, 224, 192, 160, 128}
    # Chi-squared with 7 degrees of freedom: mean 7, deviation sqrt(14) = 3.7; four of them.
    assert sum((count - 200) ** 2 / 200 for count in counts.values()) < 7 + 15


@pytest.mark.parametrize("name", ["uniform", "sandwich", "fair"])
def test_only_the_wanted_resolutions(name):
    sampler = make_sampler(name, LITE0, seed=1, resolutions=(128, 192))
    counts = Counter(arch.resolution for step in range(400) for arch in sampler.archs(step)[:1])
    # A binomial of 400 at a half: mean 200, deviation 10.
    assert set(counts) == {128, 192}
    assert abs(counts[128] - 200) < 40
    assert {sampler.resolution(step) for step in range(400)} == {128, 192}
    everything = make_sampler(name, LITE0, seed=1)
    assert sum(sampler.archs(s) == everything.archs(s) for s in range(400)) < 200


def test_a_resolution_that_stands_twice_is_drawn_twice_as_often():
    sampler = make_sampler("uniform", LITE0, seed=1, resolutions=(128, 128, 192))
    drawn = [sampler.resolution(step) for step in range(600)]
    assert 360 < drawn.count(128) < 440  # 400, give or take 3.5 standard deviations of 11.5


def test_resolutions_that_the_space_lacks_are_named():
    with pytest.raises(RecipeError, match=r"no 200; it has 448, 384, .*128"):
        make_sampler("uniform", LITE0, seed=1, resolutions=(128, 200))


def test_uniform_over_the_space():
    sampler = UniformSampler(TOY, 0)
    draws = 40 * len(TOY)
    counts = Counter(sampler.archs(step)[0].key for step in range(draws))
    assert len(counts) == len(TOY) == 64
    # Chi-squared with 63 degrees of freedom: mean 63, deviation sqrt(126) = 11.2; four of them.
    chi_squared = sum((count - 40) ** 2 / 40 for count in counts.values())
    assert 63 - 45 < chi_squared < 63 + 45


def test_sandwich_is_largest_smallest_and_some_between():
    sampler = SandwichSampler(XS, 0, random=3)
    seen = set()
    for step in range(30):
        largest, smallest, *others = sampler.archs(step)
        resolution = sampler.resolution(step)
        assert largest == XS.arch({**XS.largest, "resolution": resolution})
        assert smallest == XS.arch({**XS.smallest, "resolution": resolution})
        assert len(others) == 3
        seen |= {arch.key for arch in others}
    assert len(seen) > 85  # 90 draws of 245,760


def test_fair_trains_every_value_in_every_step():
    """Four ratios: four archs a step; the stem has three values, the stages four."""
    sampler = FairSampler(XS, 0)
    totals: dict[str, Counter[int]] = {}
    for step in range(300):
        archs = sampler.archs(step)
        assert len(archs) == 4
        for choice in XS.choices:
            if choice.name == "resolution":
                continue
            counts = Counter(arch[choice.name] for arch in archs)
            assert set(counts) == set(choice.values)
            assert max(counts.values()) - min(counts.values()) <= 1
            totals.setdefault(choice.name, Counter()).update(counts)
    for counts in totals.values():
        share = 1200 / len(counts)
        assert all(abs(count - share) < 50 for count in counts.values())


def test_fair_mixes_the_choices():
    """The values of two choices meet in all pairings, not only in their order."""
    sampler = FairSampler(LITE0, 0)
    pairs = {(a["stage1"], a["stage2"]) for step in range(50) for a in sampler.archs(step)}
    values = {c.name: len(c.values) for c in LITE0.choices}
    assert len(pairs) == values["stage1"] * values["stage2"]


def test_fixed():
    sampler: ArchSampler = pickle.loads(pickle.dumps(FixedSampler(TOY.smallest)))
    assert {sampler.archs(step) for step in range(5)} == {(TOY.smallest,)}
    assert sampler.resolution(3) == TOY.smallest.resolution


@pytest.mark.parametrize("seed", [-1, 1.5, True])
@pytest.mark.parametrize("name", ["uniform", "sandwich", "fair"])
def test_seeds_that_nothing_can_be_drawn_with(name, seed):
    with pytest.raises(RecipeError, match=f"a seed is a whole number of at least 0, not {seed}"):
        make_sampler(name, load_space("toy"), seed=seed)


def test_a_sampler_that_is_not_known():
    with pytest.raises(RecipeError, match="unknown sampler 'sandwhich'; did you mean 'sandwich'"):
        make_sampler("sandwhich", TOY, seed=0)  # pyright: ignore[reportArgumentType]
