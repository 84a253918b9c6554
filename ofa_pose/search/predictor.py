"""A predictor of the objective, learnt from the archive: Gaussian process regression.

A few hundred evaluations are few, and an AP is smooth in the logarithms of widths and resolution;
so the kernel is one Matérn 5/2 over the features, plus noise. Its three numbers are found by
scikit-learn, by marginal likelihood; what follows from them is linear algebra.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.special import ndtr
from threadpoolctl import ThreadpoolController

from ofa_pose.errors import RunFolderError
from ofa_pose.files import atomic_write
from ofa_pose.search.agreement import Agreement
from ofa_pose.search.evaluation import Evaluation
from ofa_pose.search.features import Features

FEWEST = 12
"""Below so many evaluations nothing is fitted."""
TRUSTED_TAU = 0.3
"""Below this rank correlation a predictor is no help."""

_FORMAT = 1
_MOST_FITTED = 96  # rows that the kernel's numbers are found with
_JITTER = 1e-8


@dataclass(frozen=True, eq=False)
class AccuracyPredictor:
    """Predicts the objective of any arch of a space, with a standard deviation.

    Attributes:
        features: of archs.
        indices: (n,) int64, the archs it has learnt from.
        scores: (n,) float64, their objectives.
        variance: of the kernel, where the scores have variance 1.
        length: of the kernel, in features.
        noise: variance of the noise, where the scores have variance 1.
    """

    features: Features
    indices: np.ndarray
    scores: np.ndarray
    variance: float
    length: float
    noise: float

    @classmethod
    def fit(
        cls, evaluations: Iterable[Evaluation], features: Features, *, objective: str
    ) -> AccuracyPredictor | None:
        """Learn from the evaluations with a finite score; None where they are too few or alike.

        The same evaluations give the same predictor, whatever the number of threads.
        """
        rows = [row for row in evaluations if not row.failed and np.isfinite(row.score(objective))]
        indices = np.array([row.index for row in rows], dtype=np.int64)
        scores = np.array([row.score(objective) for row in rows], dtype=np.float64)
        if len(rows) < FEWEST or _alike(scores):
            return None
        with _one_thread():
            numbers = _kernel_numbers(features(indices), _standard(scores))
        return cls(features, indices, scores, *numbers)

    def predict(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation (n,) of the objective of archs (n,)."""
        beliefs = Beliefs(self, indices)
        return beliefs.mean, beliefs.deviation

    @property
    def rmse(self) -> float:
        """Root mean squared error of leaving each evaluation out, in the objective's unit."""
        return float(np.sqrt(np.mean((self.left_out - self.scores) ** 2)))

    @property
    def tau(self) -> float:
        """Kendall's rank correlation of leaving each evaluation out."""
        return self._agreement.tau

    @property
    def trusted(self) -> bool:
        """Whether its predictions are of use: better than the mean, and in the right order.

        Of the order it is also asked that chance alone would seldom give it, which rules out more
        than `TRUSTED_TAU` does below 17 evaluations.
        """
        better = self.rmse < float(self.scores.std())
        return self._agreement.shown and self.tau >= TRUSTED_TAU and better

    @property
    def summary(self) -> str:
        """One line on how good it is."""
        verdict = "" if self.trusted else "; too poor, so it is off"
        return (
            f"predictor: cross-validated RMSE {self.rmse:.4f}, Kendall tau {self.tau:.2f} "
            f"over {len(self.scores)} archs{verdict}"
        )

    @cached_property
    def left_out(self) -> np.ndarray:
        """(n,) what is predicted for each evaluation from all others (the kernel is kept).

        Rasmussen and Williams 2006, equation 5.12.
        """
        with _one_thread():
            inverse = cho_solve((self._root, True), np.eye(len(self.scores)))
            errors = inverse @ _standard(self.scores) / np.diag(inverse)
        return self.scores - errors * self.scores.std()

    def save(self, path: str | Path) -> None:
        """Write it as JSON."""
        document = {
            "format": _FORMAT,
            "space": self.features.space.name,
            "space_hash": self.features.space.hash,
            "columns": self._inputs.shape[1],
            "variance": self.variance,
            "length": self.length,
            "noise": self.noise,
            "rmse": self.rmse,
            "tau": self.tau,
            "indices": self.indices.tolist(),
            "scores": self.scores.tolist(),
        }
        atomic_write(path, json.dumps(document, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path, features: Features) -> AccuracyPredictor:
        """Read what `save` wrote.

        Args:
            path: of the JSON.
            features: of the same space, with unit costs if it was learnt with them.

        Raises:
            RunFolderError: the file cannot be read, is damaged, or is of other features.
        """
        space = features.space
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
            if document["format"] != _FORMAT:
                raise RunFolderError(
                    f"{path} has format {document['format']}; this version reads {_FORMAT}"
                )
            if document["space_hash"] != space.hash:
                raise RunFolderError(
                    f"{path} belongs to space {document['space']!r} ({document['space_hash']}), "
                    f"not to {space.name!r} ({space.hash})"
                )
            found = cls(
                features,
                np.array(document["indices"], dtype=np.int64),
                np.array(document["scores"], dtype=np.float64),
                float(document["variance"]),
                float(document["length"]),
                float(document["noise"]),
            )
            found._refuse_damage()
            columns = int(document["columns"])
        except OSError as error:
            raise RunFolderError(f"cannot read {path}: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise RunFolderError(f"{path} is no predictor: {error}") from error
        if found._inputs.shape[1] != columns:
            raise RunFolderError(
                f"{path} was learnt from {columns} features, "
                f"not {found._inputs.shape[1]}; with or without the units' costs?"
            )
        return found

    def _refuse_damage(self) -> None:
        """Raise a ValueError where nothing could be predicted from the numbers."""
        shape, total = self.scores.shape, len(self.features.space)
        if self.indices.shape != shape or self.scores.ndim != 1 or len(self.scores) < FEWEST:
            raise ValueError(
                f"indices and scores are {self.indices.shape} and {shape}, not (n,) from {FEWEST}"
            )
        for index in self.indices[(self.indices < 0) | (self.indices >= total)].tolist():
            raise ValueError(f"arch {index} is none of the space's {total}")
        if not np.isfinite(self.scores).all():
            raise ValueError("the scores are not all finite")
        if _alike(self.scores):
            raise ValueError("the scores are all alike")
        for name in ("variance", "length", "noise"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name} is {value}, not above 0 and finite")

    @cached_property
    def _agreement(self) -> Agreement:
        return Agreement.of(self.left_out.tolist(), self.scores.tolist())

    @cached_property
    def _inputs(self) -> np.ndarray:
        return self.features(self.indices)

    @cached_property
    def _root(self) -> np.ndarray:
        """(n, n) lower Cholesky factor of the scores' covariance."""
        covariance = self.variance * _matern(self._inputs, self._inputs, self.length)
        covariance[np.diag_indices_from(covariance)] += self.noise + _JITTER
        return cholesky(covariance, lower=True)


class Beliefs:
    """What a predictor believes about some archs, and how that changes when one is evaluated.

    Attributes:
        indices: (n,) the archs.
        mean: (n,) expected objectives.
    """

    def __init__(self, predictor: AccuracyPredictor, indices: np.ndarray) -> None:
        self.indices = indices
        self._scale = float(predictor.scores.std())
        self._predictor = predictor
        with _one_thread():
            self._inputs = predictor.features(indices)
            cross = predictor.variance * _matern(predictor._inputs, self._inputs, predictor.length)
            self._whitened = solve_triangular(predictor._root, cross, lower=True)
            known = solve_triangular(predictor._root, _standard(predictor.scores), lower=True)
            self.mean = self._whitened.T @ known * self._scale + predictor.scores.mean()
        self._variance = predictor.variance - (self._whitened**2).sum(axis=0)

    @property
    def deviation(self) -> np.ndarray:
        """(n,) standard deviations of the objectives, noise left out."""
        return np.sqrt(np.maximum(self._variance, 0)) * self._scale

    def pretend(self, place: int) -> None:
        """Take the arch at `place` as evaluated, with what is expected of it.

        That leaves all means as they are and makes its neighbours less uncertain.
        """
        predictor = self._predictor
        with _one_thread():
            kernel = _matern(self._inputs[[place]], self._inputs, predictor.length)[0]
            shared = predictor.variance * kernel - self._whitened[:, place] @ self._whitened
        pivot = math.sqrt(max(self._variance[place], 0) + predictor.noise + _JITTER)
        self._whitened = np.vstack([self._whitened, shared / pivot])
        self._variance = self._variance - (shared / pivot) ** 2


def expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """Return by how much (n,) the objective is expected to exceed `best` (Jones et al. 1998)."""
    spread = np.maximum(deviation, 1e-12)
    z = (mean - best) / spread
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    return (mean - best) * ndtr(z) + spread * density


def _kernel_numbers(inputs: np.ndarray, scores: np.ndarray) -> tuple[float, float, float]:
    """Return variance, length and noise that make the scores (n,) likely."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    if len(scores) > _MOST_FITTED:
        places = np.linspace(0, len(scores) - 1, _MOST_FITTED).round().astype(int)
        inputs, scores = inputs[places], scores[places]
    kernel = ConstantKernel(1.0, (1e-2, 1e3)) * Matern(1.0, (0.1, 30), nu=2.5)
    kernel += WhiteKernel(0.05, (1e-5, 1.0))
    with warnings.catch_warnings():
        # A number at the end of its range is what a score of nothing but noise gives.
        warnings.simplefilter("ignore", ConvergenceWarning)
        found: Any = GaussianProcessRegressor(kernel).fit(inputs, scores).kernel_
    variance, length, noise = np.exp(found.theta).tolist()
    return variance, length, noise


def _matern(one: np.ndarray, other: np.ndarray, length: float) -> np.ndarray:
    """Matérn 5/2 kernel (n, m), 1 on the diagonal."""
    squares = (one**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * one @ other.T
    distance = np.sqrt(5 * np.maximum(squares, 0)) / length
    return (1 + distance + distance**2 / 3) * np.exp(-distance)


def _one_thread() -> AbstractContextManager[object]:
    """Return a context with one thread: how sums are split over threads moves the last digits."""
    return _controller().limit(limits=1)


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()  # looking for the libraries takes a while


def _alike(scores: np.ndarray) -> bool:
    """Whether scores tell nothing apart, or lie so far apart that their variance is no number."""
    with np.errstate(over="ignore", invalid="ignore"):
        deviation = scores.std()
    return bool(not np.isfinite(deviation) or deviation <= 1e-12 * max(1.0, abs(scores).max()))


def _standard(scores: np.ndarray) -> np.ndarray:
    return (scores - scores.mean()) / scores.std()
