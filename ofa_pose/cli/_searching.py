"""The parts of a search: what is searched, on which scenes, and the run that results."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ofa_pose.catalog import load_space
from ofa_pose.cli._budgets import all_budgets, earlier_budgets, refuse_infeasible
from ofa_pose.cli._racing import gpus
from ofa_pose.cli._sources import Making, Pictures, Use, limited
from ofa_pose.cli._weights import origin_of, space_of, starter_path, supernet_path
from ofa_pose.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from ofa_pose.cli._scoring_options import ScoringOptions
    from ofa_pose.cost import Budget, CostTable
    from ofa_pose.data import SceneSource
    from ofa_pose.skeleton import Skeleton
    from ofa_pose.space import SearchSpace

STARTER_SPACE = "litepose-lite0"
# Parts of one data set that serves every purpose: calibrate, search, report.
_PARTS = {"calibration": 0.2, "search": 0.4, "report": 0.4}
_BYTES_A_PIXEL = 4  # three of colour and one of the mask
_MOST_WORKERS = 8  # each holds its own copy of torch and of the resized pictures
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """What is searched: budgets that are known to be feasible, and the weights, not yet loaded.

    Attributes:
        space: the supernet's.
        skeleton: the supernet's.
        budgets: tier name -> what holds in it; empty only of what needs no budget.
        table: costs of every arch; it predicts the latencies that were asked for.
        weights: the supernet's file.
        starter: whether that is the one in the box.
        folder: the run's.
    """

    space: SearchSpace
    skeleton: Skeleton
    budgets: Mapping[str, tuple[Budget, ...]]
    table: CostTable
    weights: Path
    starter: bool
    folder: Path

    @classmethod
    def resolve(
        cls,
        budgets: Sequence[str],
        *,
        supernet: Path | None,
        space: str | None,
        skeleton: str | None,
        latencies: Sequence[str],
        interpolate: bool,
        out: Path | None,
        resume: bool,
        verb: str = "search",
        tiers: bool = True,
    ) -> Target:
        """Find space, skeleton and weights, and refuse budgets that no arch can meet.

        Args:
            budgets: as given; none means the space's tiers, if `tiers`. Those of a run that is
                resumed stay.
            supernet: a file or a run's folder; None means the starter in the box.
            space: name or file; None means what the weights say.
            skeleton: name or file; None means what the weights say.
            latencies: names or files of latency tables.
            interpolate: whether units that the tables miss are estimated.
            out: the run's folder; None means one named after the space.
            resume: whether to go on with the run in the folder.
            verb: what the default folder is named after.
            tiers: False for what needs no budget: without any given there is none.

        Raises:
            UnknownNameError: there is no such space, skeleton or latency table.
            InfeasibleBudgetError: nothing has been loaded but the head of the weights' file.
            WeightsError: the weights are missing, damaged, or no supernet's.
            UsageError: no starter is in the box for the space.
        """
        from ofa_pose.cost import CostTable, LatencyTable
        from ofa_pose.skeleton import load_skeleton

        path = None if supernet is None else supernet_path(supernet)
        origin = {} if path is None else origin_of(path)
        if space is None and path is not None:
            declared = space_of(path)
        else:
            declared = load_space(space or STARTER_SPACE)
        joints = load_skeleton(skeleton or origin.get("skeleton", declared.skeleton))
        folder = out or Path("runs") / f"{verb}-{declared.name}"
        earlier = earlier_budgets(folder) if resume else {}
        named = all_budgets(declared, budgets, earlier=earlier) if tiers or budgets else {}
        tables = [LatencyTable.load(name) for name in latencies]
        table = CostTable(declared, latencies=tables, interpolate=interpolate, skeleton=joints)
        if named:
            refuse_infeasible(table, named)
        for latency in tables:
            table[f"latency:{latency.name}"]  # a table that misses units is refused here
        if path is None:
            path = starter_path(declared.name)
        starter = supernet is None
        return cls(declared, joints, named, table, path, starter=starter, folder=folder)

    @property
    def timed(self) -> bool:
        """Whether latencies are predicted."""
        limits = itertools.chain(*self.budgets.values())
        return bool(self.table.latencies) or any(limit.kind == "latency" for limit in limits)

    @property
    def limited(self) -> list[str]:
        """The costs that budgets limit."""
        return [budget.cost for budget in itertools.chain(*self.budgets.values())]

    @property
    def trust(self) -> tuple[str, ...]:
        """How far off predicted latencies are, a sentence a table."""
        from ofa_pose.cli._latency_tables import trust

        return tuple(trust(table) for table in self.table.used)

    def axis(self, cost: str | None) -> str:
        """Return the cost that the front is drawn over; by default the first budget's.

        Raises:
            UnknownNameError: no such cost is known of the archs.
        """
        from ofa_pose.cost.table import COUNTED

        known = dict.fromkeys(
            [*self.limited, *COUNTED, *(f"latency:{name}" for name in self.table.latencies)]
        )
        if cost is not None and cost not in known:
            raise UnknownNameError("cost in --axis", cost, known, list_all=True)
        return cost or self.limited[0]


def folder_of_search(*, out: Path | None, space: str | None, supernet: Path | None) -> Path:
    """Return a search's folder before its space is opened: `--out`, else one named after it."""
    if out is not None:
        return out
    if space is not None:
        name = load_space(space).name
    elif supernet is not None:
        name = origin_of(supernet_path(supernet))["space"]
    else:
        name = STARTER_SPACE
    return Path("runs") / f"search-{name}"


def find_workers(text: str, *, device: str) -> str:
    """Return the workers that were asked for, `auto` resolved, before anything is loaded.

    Raises:
        UsageError: it is none of the forms that `--workers` has.
        MissingExtraError: Ray is not installed.
    """
    import importlib.util

    from ofa_pose.errors import MissingExtraError
    from ofa_pose.search import WorkersSpec

    if text == "auto":
        most = min(processors(), _MOST_WORKERS) if device == "cpu" else len(gpus(device))
        return str(max(1, most))
    if WorkersSpec.parse(text).ray and importlib.util.find_spec("ray") is None:
        raise MissingExtraError("--workers ray needs the extra ray: pip install 'ofa-pose[ray]'")
    return text


def processors() -> int:
    """Return how many processors this process may use, by its affinity and its container."""
    import joblib

    return joblib.cpu_count()


def tell_defaults(target: Target, scenes: SearchScenes) -> None:
    """Say what is used because nothing else was given."""
    if target.starter:
        _LOG.info("no --supernet: the weights are the starter in the box, %s", target.weights.name)
    if scenes.synthetic:
        _LOG.info("no --data: archs are scored on synthetic scenes that no training has seen")


@dataclass(frozen=True)
class SearchScenes:
    """Disjoint scenes for the three purposes of a search.

    Attributes:
        calibration: batch-norm statistics are measured on them.
        search: archs compete on them.
        report: winners are reported on them.
        synthetic: whether they are painted.
    """

    calibration: SceneSource
    search: SceneSource
    report: SceneSource
    synthetic: bool


def painted_scenes(making: Making, *, count: int, calibration: int) -> SearchScenes:
    """Return synthetic scenes that no training has seen."""
    return SearchScenes(
        making.synthetic(calibration, Use.CALIBRATE),
        making.synthetic(count, Use.SEARCH),
        making.synthetic(count, Use.REPORT),
        synthetic=True,
    )


def hold_painted(
    scenes: SearchScenes, *, side: int, memory: float, progress: Callable[[int, int], None]
) -> SearchScenes:
    """Paint synthetic scenes once, here, if they fit into memory; leave others as they are.

    Args:
        scenes: of a search.
        side: of the painted pictures, pixels.
        memory: bytes they may take; every worker process has its own copy.
        progress: called with how many scenes are painted, and of how many.
    """
    sources = (scenes.calibration, scenes.search, scenes.report)
    total = sum(map(len, sources))
    if not scenes.synthetic or total * side**2 * _BYTES_A_PIXEL > memory:
        return scenes
    from ofa_pose.data import HeldScenes

    held: list[SceneSource] = []
    for source in sources:
        before = sum(map(len, held))
        held.append(
            HeldScenes(source, progress=lambda done, _, start=before: progress(start + done, total))
        )
    return SearchScenes(*held, synthetic=True)


def photographed_scenes(
    data: Pictures,
    making: Making,
    *,
    calibration: Pictures,
    report: Pictures,
    split: str,
    most: int,
) -> SearchScenes:
    """Open the photographs; one data set is cut into parts for the purposes it has to serve.

    Args:
        data: what archs compete on: its split `split`.
        making: how scenes are made of pictures.
        calibration: training pictures (split `train`); by default those of `data`'s folder, else
            a part of `data`.
        report: what winners are reported on (split `val`); by default a part of `data`.
        split: of `data`.
        most: scenes that archs compete on.

    Raises:
        DataError: a set cannot be used, or is too small to be cut.
        UsageError: two of the sets share pictures.
    """
    from ofa_pose.evaluate import split_source

    joints = making.skeleton
    if not calibration.given and split != "train" and data.has_split("train"):
        calibration = Pictures(data.data, images=data.images, skeleton=data.skeleton)
    sources: dict[str, SceneSource] = {}
    if calibration.given:
        # As a training sees them.
        sources["calibration"] = calibration.open("train", joints, only_people=True)
    if report.given:
        sources["report"] = report.open("val", joints)
    shares = {name: share for name, share in _PARTS.items() if name not in sources}
    fractions = [share / sum(shares.values()) for share in shares.values()]
    parts = split_source(data.open(split, joints), fractions, seed=making.seed)
    sources.update(zip(shares, parts, strict=True))
    _refuse_shared(sources)
    return SearchScenes(
        making.of(sources["calibration"], Use.CALIBRATE),
        limited(making.of(sources["search"], Use.SEARCH), most),
        making.of(sources["report"], Use.REPORT),
        synthetic=False,
    )


def search_scenes(
    making: Making, options: ScoringOptions, *, report: Path | None = None
) -> SearchScenes:
    """Return the scenes that a verb's options ask for.

    Args:
        making: how scenes are made.
        options: of the verb.
        report: what winners are reported on, as `--report` says.

    Raises:
        UsageError: sets for single purposes without photographs, or two that share pictures.
        DataError: a set cannot be used.
    """
    pictures = options.pictures
    own = {"calibration": options.calibration, "report": report}
    if not pictures.given:
        for key, path in own.items():
            if path is not None:
                raise UsageError(f"--{key} goes with --data; synthetic scenes serve every purpose")
        return painted_scenes(making, count=options.scenes, calibration=options.calibration_scenes)
    opened = {
        key: Pictures(path, skeleton=None if path is None else pictures.skeleton)
        for key, path in own.items()
    }
    return photographed_scenes(
        pictures,
        making,
        split=options.split,
        most=options.scenes,
        **opened,
    )


def _refuse_shared(sources: Mapping[str, SceneSource]) -> None:
    """Refuse sets with pictures in common: what chose a winner must not report on it."""
    from ofa_pose.evaluate import shared_pictures

    for (name, one), (other, two) in itertools.combinations(sources.items(), 2):
        shared = shared_pictures(one, two)
        if shared:
            raise UsageError(
                f"{len(shared)} of the pictures for {other} are among those for {name} as well, "
                f"such as {shared[0]}; give sets without pictures in common"
            )
