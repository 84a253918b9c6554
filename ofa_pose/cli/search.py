"""`ofa-pose search`: the best network under every budget, cut out of a trained supernet."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ofa_pose.cli._budgets import table_paths
from ofa_pose.cli._commands import (
    all_commands,
    as_given,
    earlier_config,
    lasting,
    recall,
    refuse_idle,
)
from ofa_pose.cli._options import (
    AnnotationsOption,
    CalibrationOption,
    CanvasOption,
    DataOption,
    DataSkeletonOption,
    DeviceOption,
    EvalBatchOption,
    ForceOption,
    ImagesOption,
    InterpolateOption,
    JsonOption,
    MosaicOption,
    OutOption,
    PrecisionOption,
    ReportOption,
    ResumeOption,
    SeedOption,
    SkeletonOption,
    SplitOption,
    SupernetOption,
    SupernetSpaceOption,
)
from ofa_pose.cli._progress import Meter
from ofa_pose.cli._reporting import cost_axes, final_comparison, finalists_of, write_page
from ofa_pose.cli._scoring_options import SearchOptions
from ofa_pose.cli._search_steps import load_evaluator, report, score_uniform, search_archs
from ofa_pose.cli._searching import (
    Target,
    find_workers,
    folder_of_search,
    hold_painted,
    search_scenes,
    tell_defaults,
)
from ofa_pose.cli._sources import CANVAS, described, uses_of_pictures
from ofa_pose.cli._winners import save_winners, tell_search, write_front
from ofa_pose.errors import UsageError
from ofa_pose.files import sha256_file

if TYPE_CHECKING:
    from ofa_pose.cli._searching import SearchScenes
    from ofa_pose.runs import RunFolder

EPILOG = (
    "Example: ofa-pose search --budget 1.2G\n\n"
    "Example: ofa-pose search --supernet runs/train-litepose-lite0 --data photos "
    "--budget 150M --budget 1.2G:paper --budget '0.9M params'\n\n"
    "Example: ofa-pose search --budget '30ms@x86-onnxruntime,1.7M params'\n\n"
    "Example: ofa-pose search --resume --out runs/search-litepose-lite0 --budget 900M"
)
EVALUATIONS = 80
_OF_INTERPOLATE = "it is for latency tables: give --latency TABLE, or a budget in ms"
# What a search may be resumed with other values of.
_FREE = (
    *("supernet", "device", "batch_size", "evaluations", "axis", "budgets", "workers"),
    *("baseline", "finalists", "cache", "commands", "given"),
    *("data", "annotations", "images", "calibration", "report"),  # where; `pictures` has what
)
_HIDDEN = ("budget", "space", "skeleton", "out", "resume", "force", "as_json")


def command(
    context: typer.Context,
    budget: Annotated[
        list[str] | None,
        typer.Option(
            "--budget",
            metavar="BUDGET",
            help="1.2G (exact MACs), 900M, 1.2G:paper, '1.7M params', '64MB peak', "
            "30ms@x86-onnxruntime; commas join what holds together: '1.2G,1.7M params'; may be "
            "repeated, a tier each; default: the space's tiers. With --resume, further tiers.",
        ),
    ] = None,
    supernet: SupernetOption = None,
    space: SupernetSpaceOption = None,
    skeleton: SkeletonOption = None,
    latency: Annotated[
        list[str] | None,
        typer.Option(
            "--latency",
            metavar="TABLE",
            help="Predict archs under this table, too (`latency ls`, or a file), and put it on "
            "the axes of the front; may be repeated.",
        ),
    ] = None,
    interpolate: InterpolateOption = False,
    axis: Annotated[
        str | None,
        typer.Option(
            "--axis",
            metavar="COST",
            help="Cost of the large panel of front.png: macs_exact, macs_paper, macs_thop, params, "
            "peak_memory or latency:TABLE; default: the first budget's.",
        ),
    ] = None,
    evaluations: Annotated[
        int | None,
        typer.Option(
            "--evaluations",
            min=1,
            help="How many archs to score, in all; default: 80. Tiers added by --resume have their "
            "share on top.",
        ),
    ] = None,
    strategy: Annotated[
        str,
        typer.Option(
            "--strategy", help="Who proposes: steady, elitist (the paper's), aging, nsga2, random."
        ),
    ] = "steady",
    predictor: Annotated[
        bool,
        typer.Option(
            "--predictor/--no-predictor",
            help="Let a predictor of AP, learnt on the way, choose among thousands of archs "
            "while its errors are small.",
        ),
    ] = True,
    population: Annotated[
        int | None,
        typer.Option(
            "--population",
            min=2,
            help="Archs of the first generation beside the uniformly scaled ones; default: the "
            "strategy's.",
        ),
    ] = None,
    offspring: Annotated[
        int | None,
        typer.Option(
            "--offspring",
            min=1,
            help="Archs of every later generation, which are scored side by side: at least as many "
            "as --workers; default: the strategy's (steady: 8).",
        ),
    ] = None,
    scenes: Annotated[
        int, typer.Option("--scenes", min=1, help="Score archs on at most so many scenes.")
    ] = 160,
    calibration_scenes: Annotated[
        int, typer.Option("--calibration-scenes", min=1, help="Measure batch norms on so many.")
    ] = 64,
    data: DataOption = None,
    annotations: AnnotationsOption = None,
    images: ImagesOption = None,
    data_skeleton: DataSkeletonOption = None,
    split: SplitOption = "val",
    calibration: CalibrationOption = None,
    report: ReportOption = None,
    mosaic: MosaicOption = None,
    canvas: CanvasOption = CANVAS,
    batch_size: EvalBatchOption = 8,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "float32",
    workers: Annotated[
        str,
        typer.Option(
            "--workers",
            metavar="auto|N|ray|ray://HOST:PORT",
            envvar="OFA_POSE_WORKERS",
            help="Score archs in so many processes, by Ray on this machine (ray, ray:4), or on a "
            "Ray cluster; the result is the same. auto: one for each processor, at most 8; with "
            "--device cuda one for each GPU.",
        ),
    ] = "auto",
    racing: Annotated[
        bool,
        typer.Option(
            "--racing/--no-racing",
            help="Score archs on few scenes first and on more while they may yet win; without it, "
            "or with fewer than 32 scenes, on all at once.",
        ),
    ] = True,
    seed: SeedOption = 0,
    out: OutOption = None,
    resume: ResumeOption = False,
    baseline: Annotated[
        bool,
        typer.Option(
            "--baseline/--no-baseline",
            help="Compare with the uniformly scaled networks: one ratio everywhere, every "
            "resolution. Those that the search has not scored on all scenes are scored after it "
            "and do not count as --evaluations.",
        ),
    ] = True,
    finalists: Annotated[
        int,
        typer.Option(
            "--finalists",
            min=0,
            help="Compare each winner with so many of the next best on the scenes that chose "
            "nothing, and say which cannot be told from it.",
        ),
    ] = 3,
    cache: Annotated[
        float,
        typer.Option(
            "--cache",
            min=0,
            max=1e6,
            metavar="GB",
            help="Memory for pictures that are read and resized, in each worker; a set that does "
            "not fit is read anew for each arch.",
        ),
    ] = 1.0,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find the best network within every budget, by a search over a trained supernet.

    Archs compete on one part of the scenes; winners are reported on another. Without --data the
    scenes are synthetic; without --supernet the weights are the starter in the box.
    """
    earlier: Mapping[str, Any] = {}
    if resume:
        earlier = earlier_config(folder_of_search(out=out, space=space, supernet=supernet))
        recall(context, earlier)
    _run(context, earlier)


def _run(context: typer.Context, earlier: Mapping[str, Any]) -> None:
    from ofa_pose.memory import keep_freed_memory
    from ofa_pose.search import best_uniform

    context.params["evaluations"] = context.params["evaluations"] or EVALUATIONS
    options = _checked(SearchOptions.of(context))
    target = _target(options)
    over = target.axis(options.axis)
    keep_freed_memory()
    uses = uses_of_pictures(options.pictures, split=options.split, mosaic=options.mosaic)
    refuse_idle(context, {**uses, "interpolate": (target.timed, _OF_INTERPOLATE)})
    people = search_scenes(options.making(target.skeleton), options, report=options.report)
    evaluator = load_evaluator(target, people, options=options)
    with _open_run(target, people, context, earlier) as run:
        tell_defaults(target, people)
        with Meter("painting") as meter:
            people = hold_painted(
                people,
                side=options.canvas,
                memory=options.cache * 2**30,
                progress=meter.show,
            )
        evaluator = evaluator.on(people.search, calibration=people.calibration)
        result = search_archs(target, evaluator, run, options=options)
        uniform = score_uniform(target, evaluator, run, result, options=options)
        axes = cost_axes(target, over)
        write_front(run, result, axes, baseline=uniform)
        rivals = best_uniform(result, uniform)
        rest = finalists_of(result, options.finalists)
        others = [row.arch for row in itertools.chain(rivals.values(), *rest.values())]
        winners = [tier.arch for tier in result.tiers.values()]
        reported = report(
            target, evaluator.on(people.report), run, winners, others, options=options
        )
        rivals = {name: row for name, row in rivals.items() if reported.known([row])}
        rest = {name: reported.known(rows) for name, rows in rest.items()}
        tiers = save_winners(run, result, target.budgets, evaluator=evaluator, reported=reported)
        finals = final_comparison(result, rest, reported=reported)
        found = {"scenes": people, "reported": reported, "rivals": rivals, "finals": finals}
        write_page(run, result, target=target, axes=axes, baseline=uniform, **found)
    learnable = options.pictures.has_split("train")
    tell_search(
        run,
        result,
        tiers,
        **found,
        trust=target.trust,
        data=options.pictures.words if learnable else (),
        as_json=options.as_json,
    )


def _target(options: SearchOptions) -> Target:
    return Target.resolve(
        options.budget or [],
        supernet=options.supernet,
        space=options.space,
        skeleton=options.skeleton,
        latencies=options.latency or [],
        interpolate=options.interpolate,
        out=options.out,
        resume=options.resume,
    )


def _checked(options: SearchOptions) -> SearchOptions:
    """Return the options with `--workers auto` resolved, before anything is loaded.

    Raises:
        UsageError: a value that cannot be, or a device that is not here.
        UnknownNameError: a strategy that does not exist.
    """
    from ofa_pose.models import check_device, check_precision
    from ofa_pose.search import find_strategy

    if math.isnan(options.cache):  # which older typers take to be within any range
        raise UsageError("--cache is how many GB, such as 1 or 0.5, not nan")
    check_device(options.device)
    check_precision(options.precision, options.device)
    find_strategy(options.strategy)
    return replace(options, workers=find_workers(options.workers, device=options.device))


def _open_run(
    target: Target, people: SearchScenes, context: typer.Context, earlier: Mapping[str, Any]
) -> RunFolder:
    from ofa_pose.cost import spell_budgets
    from ofa_pose.pose import SCORING
    from ofa_pose.runs import RunFolder

    options = context.params
    identity = {
        "verb": "search",
        "space": target.space.name,
        "space_hash": target.space.hash,
        "skeleton": target.skeleton.name,
        "supernet": target.weights,
        "supernet_sha256": sha256_file(target.weights),
        "scoring": SCORING,
        "budgets": {name: spell_budgets(bounds) for name, bounds in target.budgets.items()},
        "pictures": {
            "search": people.search.fingerprint(),
            "calibration": people.calibration.fingerprint(),
            "report": people.report.fingerprint(),
        },
    }
    given = {key: value for key, value in options.items() if key not in _HIDDEN}
    identity["given"] = {**as_given(options), "tables": table_paths(target.budgets)}
    identity["commands"] = all_commands(context, earlier, {**given, **identity})
    keys = ("space", "skeleton", "data_skeleton")
    files = [Path(options[key]) for key in keys if options[key]]
    return RunFolder.open(
        target.folder,
        config=described({**lasting(given, earlier=earlier), **identity}),
        resume=options["resume"],
        force=options["force"],
        free=_FREE,
        inputs=[target.weights, *files],
    )
