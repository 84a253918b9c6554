"""Once-for-all search of pose networks: declare what may vary, train once, cut out the best."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public name -> module that defines it. Resolved on first use, so that `import ofa_pose.space`
# loads neither torch nor pandas.
_PUBLIC = {
    "Arch": "ofa_pose.space",
    "Choice": "ofa_pose.space",
    "SearchSpace": "ofa_pose.space",
    "load_space": "ofa_pose.catalog",
    "Skeleton": "ofa_pose.skeleton",
    "load_skeleton": "ofa_pose.skeleton",
    "build": "ofa_pose.models",
    "register_family": "ofa_pose.models",
    "Supernet": "ofa_pose.supernet",
    "recalibrate": "ofa_pose.supernet",
    "Budget": "ofa_pose.cost",
    "Cost": "ofa_pose.cost",
    "CostTable": "ofa_pose.cost",
    "LatencyTable": "ofa_pose.cost",
    "count": "ofa_pose.cost",
    "search": "ofa_pose.api",
    "PosePredictor": "ofa_pose.predict",
    "read_picture": "ofa_pose.predict",
    "write_picture": "ofa_pose.predict",
    "OfaPoseError": "ofa_pose.errors",
}

__all__ = ["__version__", *_PUBLIC]  # pyright: ignore[reportUnsupportedDunderAll]

if TYPE_CHECKING:
    from ofa_pose.api import search as search
    from ofa_pose.catalog import load_space as load_space
    from ofa_pose.cost import Budget as Budget
    from ofa_pose.cost import Cost as Cost
    from ofa_pose.cost import CostTable as CostTable
    from ofa_pose.cost import LatencyTable as LatencyTable
    from ofa_pose.cost import count as count
    from ofa_pose.errors import OfaPoseError as OfaPoseError
    from ofa_pose.models import build as build
    from ofa_pose.models import register_family as register_family
    from ofa_pose.predict import PosePredictor as PosePredictor
    from ofa_pose.predict import read_picture as read_picture
    from ofa_pose.predict import write_picture as write_picture
    from ofa_pose.skeleton import Skeleton as Skeleton
    from ofa_pose.skeleton import load_skeleton as load_skeleton
    from ofa_pose.space import Arch as Arch
    from ofa_pose.space import Choice as Choice
    from ofa_pose.space import SearchSpace as SearchSpace
    from ofa_pose.supernet import Supernet as Supernet
    from ofa_pose.supernet import recalibrate as recalibrate


def __getattr__(name: str) -> Any:
    if name == "search":  # importing it binds the name to the package, which can be called
        return importlib.import_module("ofa_pose.search")
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'ofa_pose' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
