"""Draws docs/front.png: what a search found, over exact MACs, beside uniform scaling.

make search
python benchmarks/draw_front.py runs/search-starter
"""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml
from deap import tools

import ofa_pose as op
from ofa_pose.export import load_tier
from ofa_pose.search import Archive, Limit, SearchResult, TierResult
from ofa_pose.search.plot import CostAxis, plot_front

COST = "macs_exact"


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the front of a search.")
    parser.add_argument("run", type=Path, help="the folder of a search")
    parser.add_argument("--out", type=Path, default=Path("docs/front.png"))
    given = parser.parse_args()
    config = yaml.safe_load((given.run / "config.yaml").read_text())
    space = op.load_space(config["space"])
    archive = Archive.load(given.run / "archive.csv", space)
    uniform = given.run / "baseline.csv"
    plot_front(
        given.out,
        found(given.run, archive),
        [CostAxis(COST, "M MACs (exact)", 1e6)],
        baseline=Archive.load(uniform, space) if uniform.exists() else (),
        score_label="AP of inherited weights, search split",
    )


def found(run: Path, archive: Archive) -> SearchResult:
    """Return what the search of a folder found, its winners those of the tiers' files."""
    rows = {row.arch: row for row in archive}
    tiers = {}
    for name, *limits in archive.settings["budgets"]:
        arch = load_tier(run / f"{name}.yaml", check_weights=False).arch
        bounds = tuple(Limit(cost, value) for cost, value in limits)
        tiers[name] = TierResult(name, bounds, rows[arch])
    return SearchResult(
        archive=archive,
        front=archive.front(objective="AP", costs=(COST,)),
        tiers=tiers,
        message="",
        notes=(),
        logbook=tools.Logbook(),
        objective="AP",
    )


if __name__ == "__main__":
    main()
