"""Which arch wins: evolution over numbers; knows neither torch nor pose.

The package itself can be called: `ofa_pose.search(space, evaluate, ...)` is `ofa_pose.api.search`,
which reads budgets and counts costs; that function's documentation is `help(ofa_pose.api.search)`.
"""

import importlib
import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ofa_pose.search.archive import Archive
from ofa_pose.search.baseline import best_uniform, uniform_baseline
from ofa_pose.search.engine import Evolution
from ofa_pose.search.evaluation import Evaluation
from ofa_pose.search.features import Features
from ofa_pose.search.kept import KeptWorkers
from ofa_pose.search.limits import FeasibleSet, Limit, plain_cost, resolve_budgets
from ofa_pose.search.predictor import AccuracyPredictor
from ofa_pose.search.racing import Race, RaceProgress, RaceSettings, Standing
from ofa_pose.search.run import Progress, SearchResult, TierResult, search
from ofa_pose.search.settings import SearchSettings, describe
from ofa_pose.search.strategy import (
    STRATEGIES,
    Strategy,
    find_strategy,
    make_settings,
    register,
)
from ofa_pose.search.table import to_csv
from ofa_pose.search.workers import InProcess, Workers, WorkersSpec, open_workers

__all__ = [
    "STRATEGIES",
    "AccuracyPredictor",
    "Archive",
    "Evaluation",
    "Evolution",
    "FeasibleSet",
    "Features",
    "InProcess",
    "Limit",
    "Progress",
    "KeptWorkers",
    "Race",
    "RaceProgress",
    "RaceSettings",
    "SearchResult",
    "SearchSettings",
    "Strategy",
    "Standing",
    "TierResult",
    "Workers",
    "WorkersSpec",
    "best_uniform",
    "describe",
    "find_strategy",
    "make_settings",
    "open_workers",
    "plain_cost",
    "register",
    "resolve_budgets",
    "search",
    "to_csv",
    "uniform_baseline",
]


class _CallableModule(ModuleType):
    """A package that is called like the public function that bears its name."""

    def __call__(self, *args: Any, **kwargs: Any) -> SearchResult:
        return self._function(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._function)

    @property
    def _function(self) -> Callable[..., SearchResult]:
        # By name, as `ofa_pose` itself resolves it: the search imports nothing above it.
        return importlib.import_module("ofa_pose.api").search


sys.modules[__name__].__class__ = _CallableModule
