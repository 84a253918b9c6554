"""The predictor: right where it can be, off where it cannot, the same after saving and loading."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau, norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from ofa_pose.errors import RunFolderError
from ofa_pose.search import AccuracyPredictor, Evaluation, Features
from ofa_pose.search.predictor import Beliefs, expected_improvement
from ofa_pose.space import SearchSpace


@pytest.fixture(scope="module")
def learnt(
    make_landscape: Callable[..., Any], make_evaluation: Callable[..., Evaluation]
) -> tuple[Any, AccuracyPredictor]:
    """A landscape of 1,280 archs and a predictor that has seen 60 of them."""
    land = make_landscape(3, 5, 4, 4, 4, 4, ruggedness=0.1)
    drawn = np.random.default_rng(0).choice(len(land.space), 60, replace=False)
    rows = [
        make_evaluation(land.space, int(i), scores={"AP": float(land.scores[i])}) for i in drawn
    ]
    found = AccuracyPredictor.fit(rows, Features(land.space), objective="AP")
    assert found is not None
    return land, found


def with_scikit(found: AccuracyPredictor) -> Any:
    """The same model by scikit-learn alone, with the kernel's numbers kept."""
    kernel = ConstantKernel(found.variance) * Matern(found.length, nu=2.5)
    fixed: Any = None
    model = GaussianProcessRegressor(kernel + WhiteKernel(found.noise), optimizer=fixed)
    standard = (found.scores - found.scores.mean()) / found.scores.std()
    return model.fit(found.features(found.indices), standard)


def test_it_predicts_what_scikit_learn_predicts(learnt: tuple[Any, AccuracyPredictor]) -> None:
    land, found = learnt
    indices = np.arange(0, 1280, 7)
    mean, deviation = found.predict(indices)
    expected, spread = with_scikit(found).predict(found.features(indices), return_std=True)
    scale = found.scores.std()
    assert mean == pytest.approx(expected * scale + found.scores.mean(), abs=1e-5)
    # scikit-learn's deviation is that of a new measurement, with the noise.
    assert deviation**2 + found.noise * scale**2 == pytest.approx((spread * scale) ** 2, abs=1e-5)
    correlation: Any = kendalltau(mean, land.scores[indices])
    assert correlation.statistic > 0.75


def test_leaving_one_out_is_what_fitting_without_it_gives(
    learnt: tuple[Any, AccuracyPredictor],
) -> None:
    _, found = learnt
    inputs = found.features(found.indices)
    standard = (found.scores - found.scores.mean()) / found.scores.std()
    model = with_scikit(found)
    expected = []
    for place in range(len(standard)):
        others = np.arange(len(standard)) != place
        model.fit(inputs[others], standard[others])
        expected.append(model.predict(inputs[[place]])[0])
    expected = np.array(expected) * found.scores.std() + found.scores.mean()
    assert found.left_out == pytest.approx(expected, abs=1e-5)
    assert found.rmse == pytest.approx(math.sqrt(np.mean((expected - found.scores) ** 2)), rel=1e-3)
    assert found.trusted
    assert "Kendall tau 0." in found.summary


def test_pretending_is_what_a_measurement_does_to_the_uncertainty(
    learnt: tuple[Any, AccuracyPredictor],
) -> None:
    _, found = learnt
    indices = np.setdiff1d(np.arange(0, 1280, 11), found.indices)
    beliefs = Beliefs(found, indices)
    before = beliefs.mean.copy()
    for place in (3, 50):
        beliefs.pretend(place)
    assert (beliefs.mean == before).all()
    model = with_scikit(found)
    inputs = np.vstack([found.features(found.indices), found.features(indices[[3, 50]])])
    model.fit(inputs, np.zeros(len(inputs)))
    spread = model.predict(found.features(indices), return_std=True)[1] ** 2 - found.noise
    assert (beliefs.deviation / found.scores.std()) ** 2 == pytest.approx(spread, abs=1e-5)


def test_expected_improvement_by_hand() -> None:
    # At the best so far half of the outcomes gain, by 0.3989 deviations on average; far above it
    # the gain is the difference; far below it there is none.
    gains = expected_improvement(np.array([0.5, 0.9, 0.1]), np.array([0.1, 0.01, 0.01]), 0.5)
    assert gains == pytest.approx([0.1 * norm.pdf(0), 0.4, 0.0], abs=1e-6)


def test_saved_and_loaded_it_is_the_same(
    learnt: tuple[Any, AccuracyPredictor], tmp_path: Path, make_space: Callable[..., SearchSpace]
) -> None:
    land, found = learnt
    path = tmp_path / "predictor.json"
    found.save(path)
    again = AccuracyPredictor.load(path, Features(land.space))
    indices = np.arange(0, 1280, 13)
    assert (again.predict(indices)[0] == found.predict(indices)[0]).all()
    assert (again.tau, again.rmse) == (found.tau, found.rmse)
    with pytest.raises(RunFolderError, match="belongs to space 'made-up'"):
        AccuracyPredictor.load(path, Features(make_space(3, 3)))
    units = Features(land.space, lambda indices: 1.0 + indices[:, None])
    with pytest.raises(RunFolderError, match="learnt from 5 features, not 6"):
        AccuracyPredictor.load(path, units)
    document = json.loads(path.read_text())
    for broken in ({**document, "scores": [1.0]}, {**document, "indices": None}, []):
        path.write_text(json.dumps(broken))
        with pytest.raises(RunFolderError, match="is no predictor"):
            AccuracyPredictor.load(path, Features(land.space))
    with pytest.raises(RunFolderError, match="cannot read"):
        AccuracyPredictor.load(tmp_path / "missing.json", Features(land.space))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": None}, "'columns'"),
        ({"format": None}, "'format'"),
        ({"indices": [9999, *range(59)]}, "arch 9999 is none of the space's 1280"),
        ({"indices": [-1, *range(59)]}, "arch -1 is none of the space's 1280"),
        ({"indices": [10**30, *range(59)]}, "too large"),
        ({"indices": [[0, 1]] * 60}, "indices and scores"),
        ({"scores": [0.5] * 60}, "scores are all alike"),
        ({"scores": [math.nan] * 60}, "scores are not all finite"),
        ({"scores": [math.inf, *range(59)]}, "scores are not all finite"),
        ({"scores": [[0.1, 0.2]] * 60}, "indices and scores"),
        ({"variance": -5.0}, "variance is -5.0, not above 0"),
        ({"variance": math.nan}, "variance is nan, not above 0"),
        ({"length": 0.0}, "length is 0.0, not above 0"),
        ({"length": math.inf}, "length is inf, not above 0"),
        ({"noise": -1e-3}, "noise is -0.001, not above 0"),
        ({"noise": "much"}, "much"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_damaged_file_is_refused_when_it_is_loaded(
    learnt: tuple[Any, AccuracyPredictor], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    land, found = learnt
    path = tmp_path / "predictor.json"
    found.save(path)
    document = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps({k: v for k, v in document.items() if v is not None}))
    with pytest.raises(RunFolderError) as caught:
        AccuracyPredictor.load(path, Features(land.space))
    assert str(caught.value).startswith(f"{path} is no predictor: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("kind", ["few", "alike", "failed"])
def test_nothing_is_learnt_from_too_little(
    make_space: Callable[..., SearchSpace], make_evaluation: Callable[..., Evaluation], kind: str
) -> None:
    space = make_space(4, 4, 4)
    rows = [
        make_evaluation(
            space,
            i,
            scores={"AP": 1.0 if kind == "alike" else i / 64},
            error="broken" if kind == "failed" else "",
        )
        for i in range(11 if kind == "few" else 30)
    ]
    assert AccuracyPredictor.fit(rows, Features(space), objective="AP") is None


def test_scores_that_are_no_numbers_are_left_out(
    make_space: Callable[..., SearchSpace], make_evaluation: Callable[..., Evaluation]
) -> None:
    space = make_space(4, 4, 4)
    scores = [i / 64 for i in range(30)]

    def fit(scores: list[float], objective: str = "AP") -> AccuracyPredictor | None:
        rows = [make_evaluation(space, i, scores={"AP": score}) for i, score in enumerate(scores)]
        return AccuracyPredictor.fit(rows, Features(space), objective=objective)

    whole, part = fit(scores), fit([*scores, float("nan")])
    assert whole is not None
    assert part is not None
    assert part.indices.tolist() == whole.indices.tolist()
    assert fit([*scores, -1.7e308]) is None  # their variance is infinite
    assert fit(scores, objective="AR") is None


def test_it_does_not_trust_itself_on_noise(
    make_space: Callable[..., SearchSpace], make_evaluation: Callable[..., Evaluation]
) -> None:
    space = make_space(4, 4, 4)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        drawn = rng.choice(len(space), 40, replace=False)
        rows = [make_evaluation(space, int(i), scores={"AP": rng.normal()}) for i in drawn]
        found = AccuracyPredictor.fit(rows, Features(space), objective="AP")
        assert found is not None
        assert not found.trusted
        assert found.summary.endswith("too poor, so it is off")


def test_an_order_that_chance_gives_is_not_trusted(
    make_space: Callable[..., SearchSpace], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 12 archs a tau of 24/66 is as high by chance in 6 %, one of 26/66 in 4 % of cases."""
    space = make_space(4, 4, 4)
    ranks = list(range(12))
    for moves, concordant, trusted in ((21, 24, False), (20, 26, True)):
        order = list(ranks)  # every move of two neighbours is a pair in the wrong order
        for end in range(11, 0, -1):
            for place in range(end):
                if moves and order[place] < order[place + 1]:
                    order[place], order[place + 1] = order[place + 1], order[place]
                    moves -= 1
        scores = np.array(ranks, np.float64)
        found = AccuracyPredictor(Features(space), np.arange(12), scores, 1.0, 1.0, 0.1)
        # Not farther from the scores than their mean is.
        left_out = scores.mean() + 0.1 * (np.array(order) - np.mean(order))
        monkeypatch.setitem(vars(found), "left_out", left_out)
        assert found.tau == pytest.approx(concordant / 66)
        assert found.trusted == trusted


def test_features_by_hand(make_space: Callable[..., SearchSpace]) -> None:
    space = make_space(2, 3, 1)  # 16, 8; 24, 16, 8; 8
    assert Features(space)(np.array([0, 1, 5])) == pytest.approx(
        np.array([[1, 1], [1, math.log(2) / math.log(3)], [0, 0]])
    )
    # Of three units one never varies; the two that do weigh 0.3 together.
    units = Features(space, lambda i: np.stack([i + 1, i * 0 + 7, 3 * i + 1], axis=1))
    extra = units(np.arange(6))[:, 2:]
    assert extra.shape == (6, 2)
    assert extra.std(axis=0) == pytest.approx([0.3 / math.sqrt(2)] * 2, rel=1e-6)
