"""The model finds the scales that networks were made with, and leaves alone what it cannot see."""

import numpy as np
import pytest

from ofa_pose.errors import LatencyError
from ofa_pose.latency.fit import fit_model, held_at_bounds
from ofa_pose.latency.kit import random_archs
from ofa_pose.models import plan


def test_units_that_add_up_stay_as_they_are(toy):
    plans = [plan(toy.space, arch) for arch in random_archs(toy.space, 20, seed=0)]
    times = {spec.key: 1.0 + i for i, spec in enumerate(toy.specs_of_all)}
    sums = [sum(times[unit.spec.key] for unit in network.units) for network in plans]
    model = fit_model(times, plans, sums)
    assert model.intercept_ms == pytest.approx(0, abs=0.05)
    assert [kind.scale for kind in model.kinds.values()] == pytest.approx([1.0] * 4, abs=0.01)


def test_a_scale_of_one_kind_is_found(toy):
    rng = np.random.default_rng(0)
    plans = [plan(toy.space, arch) for arch in random_archs(toy.space, 30, seed=0)]
    times = {spec.key: float(rng.uniform(1, 30)) for spec in toy.specs_of_all}
    truth = {"fusion_deconv": 1.5, "fusion_head": 1.0, "inverted_residual": 1.0, "stem": 1.0}
    sums = [
        sum(truth[unit.spec.kind] * times[unit.spec.key] for unit in network.units)
        for network in plans
    ]
    model = fit_model(times, plans, sums)
    assert model.kinds["fusion_deconv"].scale > 1.3
    for network, truth_ms in zip(plans, sums, strict=True):
        predicted = model.intercept_ms + sum(
            model.contribution(unit.spec.kind, times[unit.spec.key]) for unit in network.units
        )
        assert predicted == pytest.approx(truth_ms, rel=0.05)


def test_a_scale_at_its_bound_is_told(toy):
    plans = [plan(toy.space, arch) for arch in random_archs(toy.space, 20, seed=0)]
    times = {spec.key: 1.0 + i for i, spec in enumerate(toy.specs_of_all)}
    sums = [sum(times[unit.spec.key] for unit in network.units) for network in plans]
    assert held_at_bounds(fit_model(times, plans, sums)) == {}
    held = held_at_bounds(fit_model(times, plans, [one / 50 for one in sums]))
    assert held
    assert list(held.values()) == pytest.approx([0.2] * len(held), abs=0.002)


def test_no_networks_no_model(toy):
    assert fit_model({}, [], []).kinds == {}


def test_a_unit_without_a_time_is_told(toy):
    with pytest.raises(LatencyError, match="was not measured"):
        fit_model({}, [plan(toy.space, toy.space.largest)], [1.0])
