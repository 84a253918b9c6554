"""Which arch each step trains: reproducible, uniform, the same in a data worker."""

import pickle
from collections import Counter

from ofa_pose import load_space
from ofa_pose.train import FixedSampler, UniformSampler

TOY = load_space("toy")


def test_pure_function_of_seed_and_step():
    archs = [UniformSampler(TOY, 5).arch(step) for step in range(50)]
    backwards = UniformSampler(TOY, 5)
    assert [backwards.arch(step) for step in reversed(range(50))] == archs[::-1]
    assert [UniformSampler(TOY, 6).arch(step) for step in range(50)] != archs


def test_uniform_over_the_space():
    sampler = UniformSampler(TOY, 0)
    draws = 40 * len(TOY)
    counts = Counter(sampler.arch(step).key for step in range(draws))
    assert len(counts) == len(TOY) == 64
    # Chi-squared with 63 degrees of freedom: mean 63, deviation sqrt(126) = 11.2; four of them.
    chi_squared = sum((count - 40) ** 2 / 40 for count in counts.values())
    assert 63 - 45 < chi_squared < 63 + 45


def test_a_worker_sees_the_same():
    sampler = UniformSampler(TOY, 9)
    copy = pickle.loads(pickle.dumps(sampler))
    assert [copy.resolution(step) for step in range(20)] == [
        sampler.arch(step).resolution for step in range(20)
    ]


def test_fixed():
    sampler = pickle.loads(pickle.dumps(FixedSampler(TOY.smallest)))
    assert {sampler.arch(step) for step in range(5)} == {TOY.smallest}
    assert sampler.resolution(3) == TOY.smallest.resolution
