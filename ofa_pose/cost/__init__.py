"""What an arch costs: MACs, parameters, memory, latency, and budgets on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ofa_pose.lazy import names_on_use

if TYPE_CHECKING:
    from ofa_pose.cost.budget import Budget, parse_budgets, spell_budgets, spell_latency
    from ofa_pose.cost.counting import Cost, UnitCost, count, count_plan
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

if not TYPE_CHECKING:
    __getattr__, __dir__ = names_on_use(
        __name__,
        {
            "budget": "Budget parse_budgets spell_budgets spell_latency",
            "counting": "Cost UnitCost count count_plan",
            "formulas": "CONVENTIONS register_layer_cost",
            "latency": "LatencyTable",
            "latency_files": "UnitLatency",
            "latency_schema": "TableInfo",
            "table": "CostTable",
        },
    )
