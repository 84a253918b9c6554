"""What an arch builds: units and families, plain PyTorch, written once."""

from ofa_pose.models import layers as _layers  # noqa: F401  (registers the unit kinds)
from ofa_pose.models import litepose as _litepose  # noqa: F401  (registers the family)
from ofa_pose.models.device import check_device
from ofa_pose.models.family import (
    Family,
    build,
    get_family,
    plan,
    register_family,
    takes_option,
)
from ofa_pose.models.fold import fold_batch_norms
from ofa_pose.models.network import Network, empty_network, initialize, run_plan
from ofa_pose.models.plain import to_plain
from ofa_pose.models.precision import Precision, autocast, check_precision
from ofa_pose.models.unit import NetworkPlan, Unit, UnitSpec, register_unit

__all__ = [
    "Family",
    "Network",
    "NetworkPlan",
    "Precision",
    "Unit",
    "UnitSpec",
    "autocast",
    "build",
    "check_device",
    "check_precision",
    "empty_network",
    "fold_batch_norms",
    "get_family",
    "initialize",
    "plan",
    "register_family",
    "register_unit",
    "run_plan",
    "to_plain",
    "takes_option",
]
