"""What an arch costs: MACs, parameters, memory, latency, and budgets on them."""

from ofa_pose.cost.budget import Budget, parse_budgets, spell_budgets, spell_latency
from ofa_pose.cost.count import Cost, UnitCost, count, count_plan
from ofa_pose.cost.formulas import CONVENTIONS, register_layer_cost
from ofa_pose.cost.latency import LatencyTable
from ofa_pose.cost.latency_files import UnitLatency
from ofa_pose.cost.latency_schema import TableInfo
from ofa_pose.cost.table import CostTable

__all__ = [
    "CONVENTIONS",
    "Budget",
    "Cost",
    "CostTable",
    "LatencyTable",
    "TableInfo",
    "UnitCost",
    "UnitLatency",
    "count",
    "count_plan",
    "parse_budgets",
    "register_layer_cost",
    "spell_budgets",
    "spell_latency",
]
