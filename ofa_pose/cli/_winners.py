"""What a search leaves: the winners' tiers, the front, and the table that is printed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ofa_pose.cli import _console
from ofa_pose.cli._budgets import costs_document, latencies_of
from ofa_pose.files import atomic_write

if TYPE_CHECKING:
    from ofa_pose.cli._searching import SearchScenes
    from ofa_pose.cost import Budget
    from ofa_pose.data import SceneSource
    from ofa_pose.evaluate import SubnetEvaluator
    from ofa_pose.export import Tier
    from ofa_pose.runs import RunFolder
    from ofa_pose.search import SearchResult
    from ofa_pose.space import Arch
    from ofa_pose.supernet import Supernet

_LOG = logging.getLogger(__name__)
_LABELS = {"params": "M parameters", "peak_memory": "peak activation memory, MB"}
_MILLION = 1e6


def save_winners(
    run: RunFolder,
    result: SearchResult,
    budgets: Mapping[str, Sequence[Budget]],
    *,
    evaluator: SubnetEvaluator,
    report: SceneSource,
    seed: int,
) -> list[Tier]:
    """Report every winner on scenes that chose nothing, and write its tier.

    Returns:
        The tiers in the budgets' order; one without a winner is left out.

    Raises:
        WeightsError: a winner computes something else than the supernet it was cut out of.
    """
    from ofa_pose.cost import spell_budgets
    from ofa_pose.evaluate import evaluate_network
    from ofa_pose.export import make_tier, save_tier

    space = evaluator.supernet.space
    evaluator.supernet.eval()  # so that checking what was cut out of it changes no statistics
    reported: dict[Arch, dict[str, float]] = {}
    tiers = []
    for name, winner in result.tiers.items():
        network = evaluator.subnet(winner.arch)
        if winner.arch not in reported:
            _check_extraction(evaluator.supernet, winner.arch)
            _LOG.info("scoring %s on %d scenes that did not choose it", name, len(report))
            reported[winner.arch] = evaluate_network(
                network, report, resolution=winner.arch.resolution, space=space
            )
        tier = make_tier(
            name,
            space,
            winner.arch,
            skeleton=report.skeleton,
            budget=spell_budgets(budgets[name]),
            latency_ms=latencies_of(winner.costs),
            scores={"search": winner.scores, "report": reported[winner.arch]},
            seed=seed,
            created_by="ofa-pose search",
        )
        tiers.append(save_tier(run.path, tier, network))
    return tiers


def _check_extraction(supernet: Supernet, arch: Arch) -> None:
    """Refuse a network that does not compute, before re-calibration, what the supernet does."""
    from ofa_pose.export import check_same_outputs

    check_same_outputs(
        supernet.extract(arch), lambda images: supernet(images, arch), resolution=arch.resolution
    )


def write_front(run: RunFolder, result: SearchResult, *, cost: str) -> None:
    """Write `metrics.csv`, `front.csv`, `front.png` over `cost`, and the predictor if any."""
    from ofa_pose.search.plot import plot_front
    from ofa_pose.search.ranking import log_to_csv
    from ofa_pose.search.table import to_csv

    atomic_write(run.file("metrics.csv"), log_to_csv(result.logbook, objective=result.objective))
    atomic_write(run.file("front.csv"), to_csv(result.front, result.archive.space))
    if result.predictor is not None:
        result.predictor.save(run.file("predictor.json"))
    label, unit = _axis(cost)
    plot_front(
        run.file("front.png"),
        result,
        cost=cost,
        label=label,
        unit=unit,
        score_label=f"{result.objective} of inherited weights, search split",
    )


def _axis(cost: str) -> tuple[str, float]:
    """The label of a cost's axis, and what the cost is divided by there."""
    for name in latencies_of({cost: 0}):
        return f"ms, predicted for {name}", 1.0
    return _LABELS.get(cost, f"M MACs ({cost.removeprefix('macs_')})"), _MILLION


def tell_search(
    run: RunFolder,
    result: SearchResult,
    tiers: Sequence[Tier],
    *,
    scenes: SearchScenes,
    as_json: bool,
) -> None:
    """Print the tiers and where everything lies."""
    if as_json:
        _console.emit_json(_document(run, result, tiers, scenes))
        return
    tables = list(dict.fromkeys(name for tier in tiers for name in tier.costs.latency_ms))
    headers = ("tier", "budget", "pixels", "M exact MACs", "M params")
    headers += (*(f"ms {name}" for name in tables), "AP search", "AP report")
    rows = [
        (
            tier.name,
            tier.budget,
            tier.resolution,
            f"{tier.costs.macs['exact'] / 1e6:,.1f}",
            f"{tier.costs.params / 1e6:.3f}",
            *(f"{tier.costs.latency_ms[name]:.2f}" for name in tables),
            f"{tier.scores['search']['AP']:.3f}",
            f"{tier.scores['report']['AP']:.3f}",
            tier.arch.key,
        )
        for tier in tiers
    ]
    _console.table((*headers, "arch"), rows)
    kind = "synthetic scenes" if scenes.synthetic else "scenes"
    _console.line(
        f"AP of inherited weights: search, on {len(scenes.search)} {kind} that chose the winners; "
        f"report, on {len(scenes.report)} others"
    )
    _console.line(f"{result.message}; every arch is in {run.file('archive.csv')}")
    if result.predictor is not None:
        _console.line(result.predictor.summary)
    _console.line(f"front: {run.file('front.png')}")
    if tiers:
        _console.line(f"next: ofa-pose finetune {tiers[0].path} --data FOLDER")


def _document(
    run: RunFolder, result: SearchResult, tiers: Sequence[Tier], scenes: SearchScenes
) -> dict[str, Any]:
    return {
        "folder": run.path,
        "message": result.message,
        "notes": list(result.notes),
        "evaluations": len(result.archive),
        "front": [row.arch.key for row in result.front],
        "synthetic_scenes": scenes.synthetic,
        "search_scenes": len(scenes.search),
        "report_scenes": len(scenes.report),
        "tiers": [
            {
                "name": tier.name,
                "budget": tier.budget,
                "file": tier.path,
                "arch": tier.arch.to_dict(),
                "costs": costs_document(result.tiers[tier.name].costs),
                "scores": {name: dict(values) for name, values in tier.scores.items()},
            }
            for tier in tiers
        ],
    }
