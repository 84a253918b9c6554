"""What an arch costs: MACs, parameters, memory, and budgets on them."""

from ofa_pose.cost.budget import Budget
from ofa_pose.cost.count import Cost, UnitCost, count, count_plan
from ofa_pose.cost.formulas import CONVENTIONS
from ofa_pose.cost.table import CostTable

__all__ = ["CONVENTIONS", "Budget", "Cost", "CostTable", "UnitCost", "count", "count_plan"]
