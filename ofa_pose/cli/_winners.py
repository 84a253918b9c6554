"""What a search leaves: the winners' tiers, the front, and the table that is printed."""

from __future__ import annotations

import copy
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ofa_pose.cli import _console
from ofa_pose.cli._budgets import costs_document, latencies_of
from ofa_pose.cli._reporting import REPORT
from ofa_pose.cli._sources import ANY_DATA
from ofa_pose.files import atomic_write

if TYPE_CHECKING:
    from ofa_pose.cli._reporting import ReportScores
    from ofa_pose.cli._searching import SearchScenes
    from ofa_pose.cost import Budget
    from ofa_pose.evaluate import SubnetEvaluator
    from ofa_pose.export import Tier
    from ofa_pose.report import Finalist
    from ofa_pose.runs import RunFolder
    from ofa_pose.search import Evaluation, SearchResult
    from ofa_pose.search.plot import CostAxis
    from ofa_pose.space import Arch
    from ofa_pose.supernet import Supernet


def save_winners(
    run: RunFolder,
    result: SearchResult,
    budgets: Mapping[str, Sequence[Budget]],
    *,
    evaluator: SubnetEvaluator,
    reported: ReportScores,
) -> list[Tier]:
    """Write every winner's tier, with what it reaches on scenes that chose nothing.

    Returns:
        The tiers in the budgets' order; one without a winner is left out.

    Raises:
        WeightsError: a winner computes something else than the supernet it was cut out of.
    """
    from ofa_pose.cost import spell_budgets
    from ofa_pose.export import make_tier, save_tier
    from ofa_pose.search.evaluation import PARTS

    # A GPU may round by more than the check allows; in eval mode the check changes no statistics.
    supernet = copy.deepcopy(evaluator.supernet).cpu().eval()
    tiers = []
    for name, winner in result.tiers.items():
        network = evaluator.subnet(winner.arch)
        searched = {metric: value for metric, value in winner.scores.items() if metric != PARTS}
        _check_extraction(supernet, winner.arch)
        tier = make_tier(
            name,
            evaluator.supernet.space,
            winner.arch,
            skeleton=evaluator.scenes.skeleton,
            budget=spell_budgets(budgets[name]),
            latency_ms=latencies_of(winner.costs),
            scores={"search": searched, "report": reported.scores[winner.arch]},
            seed=run.config["seed"],
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


def write_front(
    run: RunFolder,
    result: SearchResult,
    axes: Sequence[CostAxis],
    *,
    baseline: Sequence[Evaluation],
) -> None:
    """Write `metrics.csv`, `front.csv`, `front.png` over `axes`, and the predictor if any."""
    from ofa_pose.search.plot import plot_front
    from ofa_pose.search.ranking import log_to_csv
    from ofa_pose.search.table import to_csv

    atomic_write(run.file("metrics.csv"), log_to_csv(result.logbook, objective=result.objective))
    atomic_write(run.file("front.csv"), to_csv(result.front, result.archive.space))
    if result.predictor is not None:
        result.predictor.save(run.file("predictor.json"))
    plot_front(
        run.file("front.png"),
        result,
        axes,
        baseline=baseline,
        score_label=f"{result.objective} of inherited weights, search split",
    )


def tell_search(
    run: RunFolder,
    result: SearchResult,
    tiers: Sequence[Tier],
    *,
    rivals: Mapping[str, Evaluation],
    finals: Mapping[str, Sequence[Finalist]],
    reported: ReportScores,
    scenes: SearchScenes,
    trust: Sequence[str],
    data: Sequence[str],
    as_json: bool,
) -> None:
    """Print the tiers, where everything lies, and how to fine-tune.

    `data` are the options that name the photographs for that, if they are known.
    """
    uniform = {name: (row, reported.scores[row.arch]["AP"]) for name, row in rivals.items()}
    if as_json:
        document = _document(run, result, tiers, scenes, uniform=uniform)
        ties = {
            name: [arch.arch.key for arch in found if arch.tied] for name, found in finals.items()
        }
        _console.emit_json({**document, "ties": ties, "trust": list(trust)})
        return
    tables = list(dict.fromkeys(name for tier in tiers for name in tier.costs.latency_ms))
    headers = ("tier", "budget", "pixels", "M exact MACs", "M params")
    headers += (*(f"ms {name}" for name in tables), "AP search", "AP report (95 %)")
    headers += ("AP uniform",) if uniform else ()
    rows = [
        (
            tier.name,
            tier.budget,
            tier.resolution,
            f"{tier.costs.macs['exact'] / 1e6:,.1f}",
            f"{tier.costs.params / 1e6:.3f}",
            *(f"{tier.costs.latency_ms[name]:.2f}" for name in tables),
            f"{tier.scores['search']['AP']:.3f}",
            _with_interval(tier.scores["report"]),
            *([f"{uniform[tier.name][1]:.3f}" if tier.name in uniform else "-"] if uniform else ()),
            tier.arch.key,
        )
        for tier in tiers
    ]
    _console.table((*headers, "arch"), rows)
    kind = "synthetic scenes" if scenes.synthetic else "scenes"
    _console.line(
        f"AP of inherited weights: search, on {len(scenes.search)} {kind} that chose the winners; "
        f"report, on {len(scenes.report)} others"
        + ("; uniform, the best of one ratio everywhere, on these too" if uniform else "")
    )
    for sentence in trust:
        _console.line(sentence)
    for name, found in finals.items():
        if any(arch.tied for arch in found):
            _console.line(
                f"{name}: of the {len(found)} next best, {sum(arch.tied for arch in found)} cannot "
                "be told from the winner on the report scenes "
                + ("(95 %)" if all(arch.known for arch in found) else "as too few show people")
            )
        better = [arch.arch.key for arch in found if arch.better]
        if better:
            _console.line(
                f"{name}: {', '.join(better)} did better than the winner on the report scenes "
                "(95 %); more --scenes choose better"
            )
    for name, row in rivals.items():
        told = {arch.arch for arch in finals[name] if arch.better}
        if row.arch not in told and reported.gain(result.tiers[name].arch, row.arch)[1] < 0:
            _console.line(
                f"{name}: the uniformly scaled {row.arch.key} did better than the winner on the "
                "report scenes (95 %)"
            )
    _console.line(f"{result.message}; every arch is in {run.file('archive.csv')}")
    if result.predictor is not None:
        _console.line(result.predictor.summary)
    _console.line(f"front: {run.file('front.png')}; to read and to show: {run.file(REPORT)}")
    if tiers:
        words = ["ofa-pose", "finetune", str(tiers[0].path), *(data or ANY_DATA)]
        _console.line(f"next: {shlex.join(words)}")


def _with_interval(scores: Mapping[str, float]) -> str:
    if "AP_low" not in scores:
        return f"{scores['AP']:.3f} (not known)"
    return f"{scores['AP']:.3f} ({scores['AP_low']:.3f}-{scores['AP_high']:.3f})"


def _document(
    run: RunFolder,
    result: SearchResult,
    tiers: Sequence[Tier],
    scenes: SearchScenes,
    *,
    uniform: Mapping[str, tuple[Evaluation, float]],
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
        "report": run.file(REPORT),
        "uniform": {
            name: {"arch": row.arch.to_dict(), "search_AP": row.score("AP"), "report_AP": ap}
            for name, (row, ap) in uniform.items()
        },
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
