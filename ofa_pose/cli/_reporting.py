"""What winners reach on scenes that chose nothing, and the page that tells of a search."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ofa_pose.cli._searching import SearchScenes, Target
    from ofa_pose.data import SceneSource
    from ofa_pose.evaluate import SubnetEvaluator
    from ofa_pose.models import Network
    from ofa_pose.pose import Matches
    from ofa_pose.report import Finalist
    from ofa_pose.runs import RunFolder
    from ofa_pose.search import Evaluation, SearchResult
    from ofa_pose.search.plot import CostAxis
    from ofa_pose.space import Arch

_LOG = logging.getLogger(__name__)
REPORT = "report.html"


class ReportScores:
    """Scores archs on the scenes that winners are reported on, each arch once.

    Args:
        evaluator: makes the networks: inherited weights, re-calibrated.
        scenes: that chose nothing.
        progress: called with how many archs are scored, in parts of one.

    Attributes:
        evaluator: see above.
        scenes: see above.
        scores: of every arch so far; `AP_low` and `AP_high` are the ends of the AP's interval.
    """

    def __init__(
        self,
        evaluator: SubnetEvaluator,
        scenes: SceneSource,
        *,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self.scores: dict[Arch, dict[str, float]] = {}
        self.evaluator = evaluator
        self.scenes = scenes
        self._matches: dict[Arch, Matches] = {}
        self._progress = progress

    def score(self, name: str, arch: Arch, network: Network | None = None) -> dict[str, float]:
        """Return an arch's scores.

        Args:
            name: what the arch is called in the log.
            arch: which network.
            network: the arch's, if it is at hand.
        """
        if arch in self.scores:
            return self.scores[arch]
        from ofa_pose.evaluate.predict import labelled, predict_scenes
        from ofa_pose.pose import ap_interval, evaluate_predictions, match_people

        _LOG.info("scoring %s on %d scenes that did not choose it", name, len(self.scenes))
        space, skeleton = self.evaluator.supernet.space, self.scenes.skeleton
        results = predict_scenes(
            network or self.evaluator.subnet(arch),
            self.scenes,
            resolution=arch.resolution,
            pixel_mean=space.pixel_mean,
            pixel_std=space.pixel_std,
            batch_size=self.evaluator.batch_size,
            progress=self._tell,
        )
        truth = labelled(self.scenes)
        self._matches[arch] = matches = match_people(truth, results, skeleton)
        low, high = ap_interval(matches)
        self.scores[arch] = {
            **evaluate_predictions(truth, results, skeleton), "AP_low": low, "AP_high": high,
        }  # fmt: skip
        return self.scores[arch]

    def _tell(self, pictures: int) -> None:
        if self._progress is not None:
            self._progress(len(self.scores) + pictures / len(self.scenes))

    def gain(self, winner: Arch, rival: Arch) -> tuple[float, float]:
        """Return the interval of one arch's AP minus another's; both have been scored."""
        from ofa_pose.pose import ap_gain_interval

        return ap_gain_interval(self._matches[winner], self._matches[rival])


def score_rivals(rivals: Mapping[str, Evaluation], *, reported: ReportScores) -> None:
    """Report the best uniformly scaled network within each tier like the winners."""
    for name, rival in rivals.items():
        reported.score(f"the best uniformly scaled network within {name}", rival.arch)


def finalists_of(result: SearchResult, count: int) -> dict[str, list[Evaluation]]:
    """Return, of each tier, the `count` archs that come after the winner in the search."""
    finals = {}
    for name, tier in result.tiers.items():
        inside = [
            row
            for row in result.archive
            if not row.failed
            and row.arch != tier.arch
            and all(row.costs[limit.cost] <= limit.value for limit in tier.limits)
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
        for place, row in enumerate(rows, 2):
            score = reported.score(f"number {place} of {name}", row.arch)["AP"]
            gain = reported.gain(result.tiers[name].arch, row.arch)
            found.append(Finalist(row.arch, score, *gain))
        compared[name] = tuple(found)
    return compared


def cost_axes(target: Target, first: str) -> list[CostAxis]:
    """Return the costs that the picture and the page show, `first` in front.

    After it come those that budgets limit, latencies that were asked for, MACs, parameters and
    memory.
    """
    from ofa_pose.cli._budgets import latencies_of
    from ofa_pose.search.plot import CostAxis

    limited = [budget.cost for bounds in target.budgets.values() for budget in bounds]
    wanted = [first, *limited, *(f"latency:{name}" for name in target.table.latencies)]
    if not any(cost.startswith("macs_") for cost in wanted):
        wanted.append("macs_exact")
    wanted += ["params", "peak_memory"]
    labels = {"params": ("M parameters", 1e6), "peak_memory": ("peak activation memory, MB", 1e6)}
    axes = []
    for cost in dict.fromkeys(wanted):
        label, unit = labels.get(cost, (f"M MACs ({cost.removeprefix('macs_')})", 1e6))
        for table in latencies_of({cost: 0}):
            label, unit = f"ms, predicted for {table}", 1.0
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
    seed: int,
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
            origin=Origin(run.config["commands"], _facts(run, target, scenes, seed=seed)),
            reported=reported.scores,
            gains={
                name: reported.gain(result.tiers[name].arch, row.arch)
                for name, row in rivals.items()
            },
            baseline=baseline,
            finals=finals,
            options={"skeleton": target.skeleton},
            data=_data(scenes, starter=target.starter),
        ),
    )


def _facts(run: RunFolder, target: Target, scenes: SearchScenes, *, seed: int) -> dict[str, str]:
    config: Mapping[str, Any] = run.config
    return {
        "seed": str(seed),
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
