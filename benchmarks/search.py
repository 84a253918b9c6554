"""How good a search is after so many evaluations, where the truth about every arch is known.

    python benchmarks/search.py --seeds 50
    python benchmarks/racing_matches.py --data lspet --out runs/racing    # once, for the next
    python benchmarks/search.py --matches runs/racing --out runs/bench-search-real

Every seed is another made-up landscape (`search_landscape.py`) over all archs of `litepose-xs`,
and another seed of the search. `published` is the published search (`search_published.py`), once
for each budget. `alone` is a search for one budget, `together` one search for all budgets that
shares its evaluations among them. With `--matches`, the landscape is real: the AP of every arch of
a small space with the starter's weights; then only the seed of the search changes.

Regret is the objective of the budget's best arch less that of the best arch found so far. What is
finished is kept in `--out`, so the benchmark may be stopped and called again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from racing_matches import load, part_of_space
from search_landscape import landscape
from search_published import published

import ofa_pose as op
from ofa_pose.cost import CostTable
from ofa_pose.search import (
    Archive,
    Evolution,
    FeasibleSet,
    Limit,
    describe,
    make_settings,
    resolve_budgets,
)

BUDGETS = {"XS": 900e6, "S": 2e9, "M": 4e9}
SHARES = {"S": 1 / 3, "M": 2 / 3, "L": 1.0}
"""Budgets of the small space, as the share of its archs that is within each."""
TOP = 0.001
POINTS = (25, 50, 100, 150, 200)
PUBLISHED = "published"


@dataclass(frozen=True, eq=False)
class Truth:
    """What there is to find.

    Attributes:
        space: the archs.
        costs: name → (archs,) every cost that a budget limits.
        sets: the budgets' archs.
        scores: seed → (archs,) the objective of every arch.
        units: the units' MACs of archs (n,), for the predictor.
    """

    space: op.SearchSpace
    costs: Mapping[str, np.ndarray]
    sets: tuple[FeasibleSet, ...]
    scores: Callable[[int], np.ndarray]
    units: Callable[[np.ndarray], np.ndarray]


Run = Callable[[Truth, np.ndarray, int, int], dict[str, list[int]]]
"""Truth, scores, seed, evaluations → tier → the archs evaluated, in order."""


def main() -> None:
    """Run what is missing, print the tables, draw the curves."""
    options = parse()
    truth = known(options) if options.matches else made_up(options)
    runs = {
        name: run for name, run in contestants().items() if name in (options.only or contestants())
    }
    results: dict[str, dict[int, dict]] = {name: {} for name in runs}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        files = {name: options.out / f"{name}-{seed}.json" for name in runs}
        if options.kept and not all(file.exists() for file in files.values()):
            continue
        scores = None
        for name, run in runs.items():
            if not files[name].exists():
                scores = truth.scores(seed) if scores is None else scores
                asked = run(truth, scores, seed, options.evaluations)
                files[name].parent.mkdir(parents=True, exist_ok=True)
                files[name].write_text(json.dumps(dict(judged(truth, scores, asked))))
                print(f"seed {seed}: {name}", flush=True)
            results[name][seed] = json.loads(files[name].read_text())
    print(f"{len(results[next(iter(runs))])} seeds")
    tiers = [feasible.tier for feasible in truth.sets]
    for tier in tiers:
        table(tier, results)
    if PUBLISHED in results:
        goal(results, tiers, options.evaluations)
    draw(options.out / "curves.png", results, tiers)


def contestants() -> dict[str, Run]:
    """Return what is compared, by name."""
    plain = {"predictor": False}
    found: dict[str, Run] = {PUBLISHED: published_runs}
    found["default alone"] = searches({}, together=False)
    for name, settings in {
        "default": {},
        "steady": {"strategy": "steady", **plain},
        "elitist": {"strategy": "elitist", **plain},
        "aging": {"strategy": "aging", **plain},
        "nsga2": {"strategy": "nsga2", **plain},
        "random": {"strategy": "random", **plain},
    }.items():
        found[f"{name} together"] = searches(settings, together=True)
    return found


def published_runs(
    truth: Truth, scores: np.ndarray, seed: int, _evaluations: int
) -> dict[str, list[int]]:
    """The published search, one budget after the other, always 1,640 evaluations each."""
    return {
        feasible.tier: published(truth.space, feasible.mask, scores, seed)[0].tolist()
        for feasible in truth.sets
    }


def searches(settings: Mapping[str, object], *, together: bool) -> Run:
    """Return a run of this project's search, for all budgets at once or for one at a time."""

    def run(truth: Truth, scores: np.ndarray, seed: int, evaluations: int) -> dict[str, list[int]]:
        if together:
            asked = search(truth, truth.sets, scores, seed, evaluations, settings)
            return {feasible.tier: asked for feasible in truth.sets}
        return {
            feasible.tier: search(truth, (feasible,), scores, seed, evaluations, settings)
            for feasible in truth.sets
        }

    return run


def search(
    truth: Truth,
    sets: tuple[FeasibleSet, ...],
    scores: np.ndarray,
    seed: int,
    evaluations: int,
    settings: Mapping[str, object],
) -> list[int]:
    """Return the archs that one search evaluates, in order."""
    chosen = make_settings(seed=seed, **settings)
    archive = Archive(truth.space, settings=describe(chosen, sets, costs=truth.costs))
    evolution = Evolution(
        archive,
        sets,
        costs=truth.costs,
        settings=chosen,
        evaluations=evaluations,
        units=truth.units,
    )
    asked = []
    while waiting := evolution.ask():
        for index in waiting:
            evolution.tell(index, {"AP": float(scores[index])})
            asked.append(index)
    return asked


def judged(
    truth: Truth, scores: np.ndarray, asked: Mapping[str, list[int]]
) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield for each tier the regret after each distinct evaluation, and where the top begins."""
    for feasible in truth.sets:
        within = np.sort(scores[feasible.mask])
        top = float(within[-1] - within[-max(1, int(len(within) * TOP))])
        distinct = list(dict.fromkeys(asked[feasible.tier]))
        found = np.where(feasible.mask[distinct], scores[distinct], -np.inf)
        regret = within[-1] - np.maximum.accumulate(found)
        made = len(asked[feasible.tier])
        yield feasible.tier, {"made": made, "top": top, "regret": regret.tolist()}


def table(tier: str, results: Mapping[str, Mapping[int, dict]]) -> None:
    """Print mean regret and share in the top of every contestant at some evaluations."""
    print(f"\n### {tier}\n")
    heads = [*(f"{point}" for point in POINTS), "end", "distinct at the end"]
    print(f"| mean regret in AP (share in the top 0.1 %) after | {' | '.join(heads)} |")
    print("|---" * (len(heads) + 1) + "|")
    for name, seeds in results.items():
        rows = [row[tier] for row in seeds.values()]
        cells = [cell(rows, point) for point in (*POINTS, None)]
        distinct = np.mean([len(row["regret"]) for row in rows])
        made = np.mean([row["made"] for row in rows])
        print(f"| {name} | {' | '.join(cells)} | {distinct:,.0f} of {made:,.0f} |")


def goal(results: Mapping[str, Mapping[int, dict]], tiers: list[str], evaluations: int) -> None:
    """Print how the default fares against the published search at its end, seed by seed."""
    print(
        f"\nThe default after {evaluations} evaluations against published after all of its own:\n"
    )
    print("| | budget | better | equal | worse | mean difference of regrets (95 % of resamples) |")
    print("|---" * 6 + "|")
    for name in results:
        if not name.startswith("default"):
            continue
        for tier in tiers:
            gains = np.array(
                [
                    at(results[PUBLISHED][seed][tier]["regret"], None)
                    - at(results[name][seed][tier]["regret"], evaluations)
                    for seed in results[name]
                ]
            )
            drawn = np.random.default_rng(0).choice(gains, size=(2000, len(gains))).mean(axis=1)
            low, high = np.quantile(-drawn, [0.025, 0.975])
            counts = [(gains > 1e-12).sum(), (abs(gains) <= 1e-12).sum(), (gains < -1e-12).sum()]
            cells = " | ".join(map(str, counts))
            mean = f"{-gains.mean():+.4f} ({low:+.4f} to {high:+.4f})"
            print(f"| {name} | {tier} | {cells} | {mean} |")


def cell(rows: list[dict], point: int | None) -> str:
    """Return mean regret and share in the top after `point` distinct evaluations."""
    regrets = np.array([at(row["regret"], point) for row in rows])
    tops = np.array([row["top"] for row in rows])
    share = np.mean(regrets <= tops + 1e-12)
    mean = f"{regrets.mean():.4f}" if np.isfinite(regrets).all() else "none yet"
    return f"{mean} ({share:.0%})"


def at(regret: list[float], point: int | None) -> float:
    """Return the regret after `point` evaluations, or the last one where it ended before."""
    return regret[-1] if point is None else regret[min(point, len(regret)) - 1]


def draw(path: Path, results: Mapping[str, Mapping[int, dict]], tiers: list[str]) -> None:
    """Draw mean regret and share in the top over distinct evaluations, a column a tier."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    most = max(POINTS)
    figure = Figure(figsize=(5 * len(tiers), 7), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(tiers), sharex=True, squeeze=False)
    for column, tier in enumerate(tiers):
        for name, seeds in results.items():
            rows = [row[tier] for row in seeds.values()]
            x = np.arange(1, most + 1)
            regrets = np.array(
                [[at(row["regret"], point) for point in range(1, most + 1)] for row in rows]
            )
            tops = np.array([[row["top"]] for row in rows])
            style = {"label": name, "linewidth": 2.5 if name.startswith("default") else 1.2}
            if name == PUBLISHED:
                style |= {"color": "black", "linestyle": "--"}
            start = int(np.isfinite(regrets).all(axis=0).argmax())
            line = axes[0, column].plot(x[start:], regrets.mean(axis=0)[start:], **style)[0]
            share = (regrets <= tops + 1e-12).mean(axis=0)
            axes[1, column].plot(x, share, **{**style, "color": line.get_color()})
        axes[0, column].set_title(f"{tier}")
        axes[0, column].set_yscale("log")
        axes[1, column].set_xlabel("distinct evaluations (of all tiers, where together)")
    axes[0, 0].set_ylabel("mean regret, AP")
    axes[1, 0].set_ylabel("share of seeds in the top 0.1 %")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    figure.savefig(path)
    print(f"\n{path}")


def made_up(options: argparse.Namespace) -> Truth:
    """Return the made-up landscapes over a shipped space."""
    space = op.load_space(options.space)
    table = CostTable(space)
    costs = {"macs_exact": table["macs_exact"]}
    limits = {tier: Limit("macs_exact", value) for tier, value in BUDGETS.items()}
    sets, _ = resolve_budgets(space, limits, costs=costs)
    return Truth(space, costs, sets, lambda seed: landscape(space, seed), table.unit_macs)


def known(options: argparse.Namespace) -> Truth:
    """Return the real scores of every arch of a small space."""
    space = part_of_space()
    table = CostTable(space)
    scores = np.full(len(space), np.nan)
    for arch, matches in load(options.matches, space).items():
        scores[space.index(arch)] = matches.ap()
    if np.isnan(scores).any():
        raise SystemExit(f"{np.isnan(scores).sum()} of {len(space)} archs have no matches yet")
    costs = {"macs_exact": table["macs_exact"]}
    limits = {
        tier: Limit("macs_exact", float(np.quantile(costs["macs_exact"], share)))
        for tier, share in SHARES.items()
    }
    sets, _ = resolve_budgets(space, limits, costs=costs)
    return Truth(space, costs, sets, lambda _seed: scores, table.unit_macs)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--space", default="litepose-xs")
    parser.add_argument("--matches", type=Path, help="folder of racing_matches.py")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--kept", action="store_true", help="only seeds that are finished")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of those that are compared")
    parser.add_argument("--evaluations", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("runs/bench-search"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
