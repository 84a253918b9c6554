"""What winners reach on scenes that chose nothing, and the page that tells of a search."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ofa_pose.cli._searching import SearchScenes, Target
    from ofa_pose.evaluate import ScoredArch
    from ofa_pose.pose import Matches
    from ofa_pose.report import Finalist
    from ofa_pose.runs import RunFolder
    from ofa_pose.search import Evaluation, SearchResult, Workers
    from ofa_pose.search.plot import CostAxis
    from ofa_pose.space import Arch, SearchSpace

_LOG = logging.getLogger(__name__)
REPORT = "report.html"
_LATENCY = "latency:"


@dataclass(frozen=True)
class ReportScores:
    """What archs reach on the scenes that winners are reported on.

    Attributes:
        scores: of each arch; `AP_low` and `AP_high` are the ends of the AP's interval, if known.
        matches: of each arch, by which two of them are compared.
    """

    scores: Mapping[Arch, Mapping[str, float]]
    matches: Mapping[Arch, Matches]

    def known(self, rows: Iterable[Evaluation]) -> list[Evaluation]:
        """Return those whose arch could be scored."""
        return [row for row in rows if row.arch in self.scores]

    def gain(self, winner: Arch, rival: Arch) -> tuple[float, float]:
        """Return the interval of one arch's AP minus another's."""
        from ofa_pose.pose import ap_gain_interval

        return ap_gain_interval(self.matches[winner], self.matches[rival])


def report_scores(
    workers: Workers[int, ScoredArch],
    space: SearchSpace,
    winners: Sequence[Arch],
    others: Iterable[Arch],
    *,
    scenes: int,
    progress: Callable[[int, int], None],
) -> ReportScores:
    """Score archs on scenes that chose nothing, each arch once, winners first.

    A winner that cannot be scored ends it with its error. Another arch is left out with a
    warning: it is only what winners are compared with.

    Args:
        workers: for indices of archs; their evaluator looks at those scenes.
        space: of the archs.
        winners: some may be equal.
        others: likewise, and to winners.
        scenes: how many scenes there are.
        progress: called with how many archs are done, and of how many.
    """
    indices = list(dict.fromkeys(space.index(arch) for arch in [*winners, *others]))
    networks = f"{len(indices)} network{'s are' if len(indices) > 1 else ' is'}"
    _LOG.info("%s scored on %d scenes that chose nothing", networks, scenes)
    found: dict[Arch, ScoredArch] = {}
    for done, (index, outcome) in enumerate(workers.evaluate(indices), 1):
        arch = space[index]
        if not isinstance(outcome, Exception):
            found[arch] = outcome
        elif arch in winners:
            raise outcome
        else:
            _LOG.warning("%s is not reported, as it cannot be scored: %s", arch.key, outcome)
        progress(done, len(indices))
    return ReportScores(
        {arch: scored.scores for arch, scored in found.items()},
        {arch: scored.matches for arch, scored in found.items()},
    )


def finalists_of(result: SearchResult, count: int) -> dict[str, list[Evaluation]]:
    """Return, of each tier, the `count` archs that come after the winner in the search."""
    finals = {}
    for name, tier in result.tiers.items():
        inside = [
            row
            for row in result.archive
            if not row.failed and row.arch != tier.arch and tier.allows(row.costs)
        ]
        inside.sort(key=lambda row: (-row.score(result.objective), row.order))
        finals[name] = inside[:count]
    return finals


def final_comparison(
    result: SearchResult, finals: Mapping[str, Sequence[Evaluation]], *, reported: ReportScores
) -> dict[str, tuple[Finalist, ...]]:
    """Compare each tier's winner with the next best on scenes that chose none of them.

    Nothing is chosen by it: a winner stays the best of the search scenes.
    """
    from ofa_pose.report import Finalist

    compared = {}
    for name, rows in finals.items():
        found = []
        for row in rows:
            score = reported.scores[row.arch]["AP"]
            gain = reported.gain(result.tiers[name].arch, row.arch)
            found.append(Finalist(row.arch, score, *gain))
        compared[name] = tuple(found)
    return compared


def cost_axes(target: Target, first: str) -> list[CostAxis]:
    """Return the costs that the picture and the page show, `first` in front.

    After it come those that budgets limit, latencies that were asked for, MACs, parameters and
    memory.
    """
    from ofa_pose.search.plot import CostAxis

    wanted = [first, *target.limited, *(f"{_LATENCY}{name}" for name in target.table.latencies)]
    if not any(cost.startswith("macs_") for cost in wanted):
        wanted.append("macs_exact")
    wanted += ["params", "peak_memory"]
    labels = {"params": ("M parameters", 1e6), "peak_memory": ("peak activation memory, MB", 1e6)}
    axes = []
    for cost in dict.fromkeys(wanted):
        label, unit = labels.get(cost, (f"M MACs ({cost.removeprefix('macs_')})", 1e6))
        if cost.startswith(_LATENCY):
            label, unit = f"ms, predicted for {cost.removeprefix(_LATENCY)}", 1.0
        axes.append(CostAxis(cost, label, unit))
    return axes


def write_page(
    run: RunFolder,
    result: SearchResult,
    *,
    target: Target,
    axes: Sequence[CostAxis],
    scenes: SearchScenes,
    reported: ReportScores,
    baseline: Sequence[Evaluation],
    rivals: Mapping[str, Evaluation],
    finals: Mapping[str, Sequence[Finalist]],
) -> None:
    """Write `report.html`."""
    from ofa_pose.cost import spell_budgets
    from ofa_pose.report import Origin, Report, write_report

    write_report(
        run.file(REPORT),
        Report(
            result=result,
            axes=axes,
            budgets={name: spell_budgets(bounds) for name, bounds in target.budgets.items()},
            origin=Origin(run.config["commands"], _facts(run, target, scenes)),
            reported=reported.scores,
            gains={
                name: reported.gain(result.tiers[name].arch, row.arch)
                for name, row in rivals.items()
            },
            baseline=baseline,
            finals=finals,
            options={"skeleton": target.skeleton},
            data=[*_data(scenes, starter=target.starter), *(f"{said}." for said in target.trust)],
        ),
    )


def _facts(run: RunFolder, target: Target, scenes: SearchScenes) -> dict[str, str]:
    config: Mapping[str, Any] = run.config
    return {
        "seed": str(config["seed"]),
        "space": target.space.name,
        "space hash": target.space.hash,
        "skeleton": target.skeleton.name,
        "weights": target.weights.name,
        "weights' sha256": str(config["supernet_sha256"]),
        "search scenes": scenes.search.fingerprint(),
        "report scenes": scenes.report.fingerprint(),
        "calibration scenes": scenes.calibration.fingerprint(),
    }


def _data(scenes: SearchScenes, *, starter: bool) -> list[str]:
    kind = "synthetic scenes" if scenes.synthetic else "scenes"
    told = [
        f"Archs competed on {len(scenes.search)} {kind}; winners are reported on "
        f"{len(scenes.report)} others."
    ]
    if starter:
        told.append(
            "The weights are the starter in the box, which shows that a search works and is no "
            "network to deploy."
        )
    return told
