"""What `latency validate --tier` does and tells: a search's networks, measured on the device."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ofa_pose.cli import _console
from ofa_pose.cli._latency_measuring import Meters

if TYPE_CHECKING:
    from ofa_pose.cost import CostTable, LatencyTable
    from ofa_pose.export import Tier


def validate_tiers(name: str, paths: Sequence[Path], *, work: Path | None, as_json: bool) -> None:
    """Measure tiers' networks in turns and print what they take beside prediction and budget.

    Raises:
        LatencyError: the table is of another machine or runtime, or misses units.
    """
    from ofa_pose.cost import LatencyTable
    from ofa_pose.export import load_tier
    from ofa_pose.latency import time_networks
    from ofa_pose.latency.validate import costs_of_table

    table = LatencyTable.load(name)
    tiers = [load_tier(path, check_weights=False) for path in paths]
    networks = [(_costs_of(tier), tier.arch) for tier in tiers]
    table_costs = costs_of_table(table, [costs for costs, _ in networks])
    with tempfile.TemporaryDirectory() as folder, Meters() as progress:
        timed = time_networks(
            table, networks, table_costs, work=work or Path(folder), progress=progress
        )
    limits = [_limit(tier.budget, table) for tier in tiers]
    if as_json:
        _console.emit_json(
            [
                {
                    "tier": tier.name,
                    "file": path,
                    **asdict(one),
                    "budget_ms": limit,
                    "within_budget": None if limit is None else one.measured_ms <= limit,
                }
                for tier, path, one, limit in zip(tiers, paths, timed, limits, strict=True)
            ]
        )
        return
    rows = [
        (
            tier.name,
            tier.space.name,
            one.predicted_ms,
            one.measured_ms,
            f"{one.predicted_ms / one.measured_ms - 1:+.1%}",
            "-" if limit is None else f"{limit:g}",
            "-" if limit is None else f"{one.measured_ms / limit:.0%}",
        )
        for tier, one, limit in zip(tiers, timed, limits, strict=True)
    ]
    over = [
        f"{tier.name} is over its budget: {one.measured_ms:.4g} ms, "
        f"{one.measured_ms / limit - 1:.1%} more than {limit:g} ms"
        for tier, one, limit in zip(tiers, timed, limits, strict=True)
        if limit is not None and one.measured_ms > limit
    ]
    headers = ("tier", "space", "ms predicted", "ms measured", "error", "ms allowed", "used")
    _console.table(headers, rows, title=f"{table.name}, {len(tiers)} networks measured in turns")
    for sentence in over:
        _console.line(sentence)
    if not over and any(limit is not None for limit in limits):
        _console.line(f"none takes more than its budget under {table.name}")


def _costs_of(tier: Tier) -> CostTable:
    from ofa_pose.cost import CostTable

    return CostTable(tier.space, **tier.family_options)


def _limit(budget: str, table: LatencyTable) -> float | None:
    """What the tier's budget allows under the table, in ms; None where it says nothing of it."""
    from ofa_pose.cost import parse_budgets

    bounds = parse_budgets(budget) if budget else ()
    return next((one.limit for one in bounds if one.cost == f"latency:{table.name}"), None)
