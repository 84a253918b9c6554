"""`ofa-pose health`: whether a search over a supernet can be believed."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ofa_pose.cli import _console
from ofa_pose.cli._commands import earlier_config, lasting, refuse_idle
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
    JsonOption,
    MosaicOption,
    OutOption,
    PrecisionOption,
    ResumeOption,
    SeedOption,
    SkeletonOption,
    SplitOption,
    SupernetOption,
    SupernetSpaceOption,
    WorkersOption,
)
from ofa_pose.cli._progress import Meter
from ofa_pose.cli._scoring_options import HealthOptions
from ofa_pose.cli._searching import Target, search_scenes, tell_defaults
from ofa_pose.cli._sources import CANVAS, Making, Pictures, Use, described, uses_of_pictures
from ofa_pose.errors import UsageError
from ofa_pose.files import atomic_write, sha256_file

if TYPE_CHECKING:
    import numpy as np

    from ofa_pose.cli._searching import SearchScenes
    from ofa_pose.data import SceneSource
    from ofa_pose.health import Health
    from ofa_pose.runs import RunFolder
    from ofa_pose.search.agreement import Agreement
    from ofa_pose.train import Recipe

EPILOG = (
    "Example: ofa-pose health\n\n"
    "Example: ofa-pose health --supernet runs/train-litepose-lite0 --data photos --budget 300M "
    "--archs 20 --tuned 6 --steps 200"
)
_LOG = logging.getLogger(__name__)
_WARMUP = 0.1  # share of the steps
_TRAINING_SCENES = 512
_FREE = (
    *("supernet", "device", "workers"),
    *("data", "annotations", "images", "calibration"),  # where; `pictures` has what
)
_HIDDEN = ("budget", "space", "skeleton", "out", "resume", "force", "as_json")


def command(
    context: typer.Context,
    supernet: SupernetOption = None,
    space: SupernetSpaceOption = None,
    skeleton: SkeletonOption = None,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget",
            metavar="BUDGET",
            help="Draw archs near this budget, as a search compares them; default: from the whole "
            "space, where they are easier to order.",
        ),
    ] = None,
    archs: Annotated[int, typer.Option("--archs", min=2, help="How many archs to draw.")] = 16,
    tuned: Annotated[
        int, typer.Option("--tuned", min=0, help="How many of them to fine-tune; 0: none.")
    ] = 4,
    steps: Annotated[
        int, typer.Option("--steps", min=1, help="Length of each fine-tuning, in steps.")
    ] = 60,
    scenes: Annotated[
        int, typer.Option("--scenes", min=2, help="Score archs on at most so many scenes.")
    ] = 128,
    calibration_scenes: Annotated[
        int, typer.Option("--calibration-scenes", min=1, help="Measure batch norms on so many.")
    ] = 64,
    data: DataOption = None,
    annotations: AnnotationsOption = None,
    images: ImagesOption = None,
    data_skeleton: DataSkeletonOption = None,
    split: SplitOption = "val",
    calibration: CalibrationOption = None,
    mosaic: MosaicOption = None,
    canvas: CanvasOption = CANVAS,
    batch_size: EvalBatchOption = 8,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "float32",
    workers: WorkersOption = 1,
    seed: SeedOption = 0,
    out: OutOption = None,
    resume: ResumeOption = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure whether few scenes, and inherited weights, order networks as they should.

    A search is as good as its scores. Archs are drawn at random and scored on growing parts of the
    scenes, a few of them fine-tuned briefly; Kendall's tau says how far the orders agree. Without
    --data the scenes are synthetic.
    """
    from ofa_pose.memory import keep_freed_memory
    from ofa_pose.models import check_device, check_precision
    from ofa_pose.train import make_recipe

    target = Target.resolve(
        [budget] if budget else [],
        supernet=supernet,
        space=space,
        skeleton=skeleton,
        latencies=[],
        interpolate=False,
        out=out,
        resume=False,
        verb="health",
        tiers=False,
    )
    check_device(device)
    check_precision(precision, device)
    keep_freed_memory()
    warmup = {"steps": steps, "warmup_steps": round(steps * _WARMUP)}
    recipe = make_recipe(target.space, "finetune", overrides=warmup)
    options = HealthOptions.of(context)
    making, pictures = options.making(target.skeleton), options.pictures
    of_steps = "nothing is fine-tuned with --tuned 0"
    uses = uses_of_pictures(pictures, split=split, mosaic=mosaic)
    refuse_idle(context, {**uses, "steps": (tuned > 0, of_steps)})
    people = search_scenes(making, options)
    _refuse_too_few(len(people.search), tuned=tuned)
    training = _training_scenes(pictures, making, wanted=tuned > 0)
    run = _open_run(target, people, training, recipe, given=context.params)
    with run:
        tell_defaults(target, people)
        health = _check(target, run, people.calibration, people.search, training, recipe=recipe,
                        options=options)  # fmt: skip
        _write(run, health)
    _tell(run, health, options=options)


def _refuse_too_few(scenes: int, *, tuned: int) -> None:
    """Refuse a check that would compare nothing with nothing."""
    from ofa_pose.evaluate.fidelity import growing_parts

    if not tuned and len(growing_parts(scenes)) == 1:
        raise UsageError(
            f"nothing would be checked: {scenes} scenes are too few to compare a part of them "
            "with the others, and --tuned 0 fine-tunes nothing"
        )


def _training_scenes(pictures: Pictures, making: Making, *, wanted: bool) -> SceneSource | None:
    """Return what networks are fine-tuned on: split `train` of the data, or synthetic scenes."""
    if not wanted:
        return None
    if not pictures.given:
        return making.synthetic(_TRAINING_SCENES, Use.TRAIN)
    if not pictures.has_split("train"):
        raise UsageError(
            "fine-tuning learns from the split 'train' of --data, which is not there; "
            "--tuned 0 leaves it out"
        )
    return making.of(pictures.open("train", making.skeleton, only_people=True), Use.TRAIN)


def _open_run(
    target: Target,
    people: SearchScenes,
    training: SceneSource | None,
    recipe: Recipe,
    *,
    given: Mapping[str, Any],
) -> RunFolder:
    from ofa_pose.cost import spell_budgets
    from ofa_pose.pose import SCORING
    from ofa_pose.runs import RunFolder

    identity = {
        "verb": "health",
        "space": target.space.name,
        "space_hash": target.space.hash,
        "skeleton": target.skeleton.name,
        "supernet": target.weights,
        "supernet_sha256": sha256_file(target.weights),
        "scoring": SCORING,
        "recipe": recipe.to_dict(),
        "pictures": {
            "search": people.search.fingerprint(),
            "calibration": people.calibration.fingerprint(),
            "train": None if training is None else training.fingerprint(),
        },
    }
    if given["budget"]:
        (bounds,) = target.budgets.values()
        identity["budget"] = spell_budgets(bounds)
    kept = {key: value for key, value in given.items() if key not in _HIDDEN}
    kept = lasting(kept, earlier=earlier_config(target.folder) if given["resume"] else None)
    return RunFolder.open(
        target.folder,
        config=described({**kept, **identity}),
        resume=given["resume"],
        force=given["force"],
        free=_FREE,
        inputs=[target.weights],
    )


def _check(
    target: Target,
    run: RunFolder,
    calibration: SceneSource,
    scenes: SceneSource,
    training: SceneSource | None,
    *,
    recipe: Recipe,
    options: HealthOptions,
) -> Health:
    from ofa_pose.evaluate import SubnetEvaluator
    from ofa_pose.health import BriefTuning, check_health, draw_archs
    from ofa_pose.supernet import load_supernet

    supernet = load_supernet(target.weights, space=target.space, skeleton=target.skeleton)
    evaluator = SubnetEvaluator(
        supernet.to(options.device),
        calibration=calibration,
        scenes=scenes,
        calibration_images=options.calibration_scenes,
        batch_size=options.batch_size,
        precision=options.precision,
    )
    archs = draw_archs(
        target.space,
        options.archs,
        seed=options.seed,
        mask=_near(target) if options.budget else None,
    )
    if len(archs) < 2:
        raise UsageError("only one arch is near the budget; an order needs at least two")
    tuned = 0 if training is None else min(options.tuned, len(archs))
    total = len(archs) + tuned
    done = 0
    with Meter("health") as meter:

        def tell(count: int) -> None:
            nonlocal done
            done = count
            meter.show(done, total)

        def learn(share: float) -> None:
            meter.show(done, total, fraction=(done + share) / total)

        tune = BriefTuning(
            evaluator,
            training or scenes,
            recipe,
            run,
            seed=options.seed,
            workers=options.workers,
            progress=learn,
        )
        return check_health(
            evaluator,
            archs,
            tune=tune,
            tuned=tuned,
            path=run.file("health.jsonl"),
            seed=options.seed,
            progress=tell,
        )


def _near(target: Target) -> np.ndarray:
    """Return which archs are near the budget: the half of those within that use most of it."""
    from ofa_pose.api import all_costs, format_cost, limits_of
    from ofa_pose.search.limits import bands, resolve_budgets

    limits = limits_of(target.budgets)
    costs = all_costs(target.table, limits)
    sets, notes = resolve_budgets(target.space, limits, costs=costs, format_cost=format_cost)
    for note in notes:
        _LOG.warning("%s", note)
    return bands(sets)[0]


def _write(run: RunFolder, health: Health) -> None:
    """Write `health.json`, the agreements, and `health.csv`, the archs."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    ends = list(health.subsets)
    names = [f"AP.{kind}{end}" for end in ends for kind in ("first", "without")]
    writer.writerow(["arch", "AP.inherited", *names, "AP.tuned"])
    for row in health.archs:
        parts = [repr(score) for end in ends for score in row.subsets[end]]
        tuned = "" if row.tuned is None else repr(row.tuned)
        writer.writerow([row.arch.key, repr(row.inherited), *parts, tuned])
    atomic_write(run.file("health.csv"), stream.getvalue())
    atomic_write(run.file("health.json"), json.dumps(_document(health), indent=1) + "\n")


def _document(health: Health) -> dict[str, Any]:
    return {
        "archs": len(health.archs),
        "failed": {arch.key: error for arch, error in health.failed.items()},
        "failed_tuned": {arch.key: error for arch, error in health.failed_tuned.items()},
        "subsets": [
            {"scenes": end, "with_all": whole.to_dict(), "with_others": others.to_dict()}
            for end, (whole, others) in health.subsets.items()
        ],
        "inherited_and_tuned": None if health.tuned is None else health.tuned.to_dict(),
    }


def _tell(run: RunFolder, health: Health, *, options: HealthOptions) -> None:
    if options.as_json:
        _console.emit_json({"folder": run.path, **_document(health)})
        return
    where = f"near {options.budget}" if options.budget else "anywhere in the space"
    _console.line(f"{len(health.archs)} archs, drawn at random {where}")
    for arch, error in health.failed.items():
        _console.line(f"{arch.key} is left out: {error}")
    for arch, error in health.failed_tuned.items():
        _console.line(f"{arch.key} is left out of the fine-tuned: {error}")
    if health.subsets:
        rows = [
            (end, _tau(whole), _tau(others), _chance(others))
            for end, (whole, others) in health.subsets.items()
        ]
        headers = ("scenes", "tau with all scenes", "tau with the others", "by chance")
        _console.table(headers, rows)
    if health.tuned is not None:
        tuned = health.tuned
        _console.line(
            f"inherited weights and {options.steps} steps of fine-tuning, {tuned.count} archs: "
            f"tau {_tau(tuned)}, by chance {_chance(tuned)}"
        )
    for sentence in _sentences(health, budget=options.budget):
        _console.line(sentence)
    _console.line(f"every arch: {run.file('health.csv')}; figures: {run.file('health.json')}")


def _sentences(health: Health, *, budget: str | None) -> list[str]:
    """Return what the figures mean, and what they do not."""
    told = [
        "tau: 1 if both put the archs in the same order, 0 if they have nothing in common, "
        "in brackets its 95 % interval; by chance: how often so high a tau comes up between "
        "scores that know nothing of each other"
    ]
    if health.tuned is not None:
        count = health.tuned.count
        best = f"1 in {math.factorial(count):,}"
        if not health.tuned.known:
            told.append("the fine-tuned archs all scored alike: they say nothing about the order")
        elif health.tuned.shown:
            told.append(f"that inherited weights order archs is shown, by {count} of them")
        else:
            told.append(
                f"{count} fine-tuned archs do not show that inherited weights order archs"
                + (f"; even {count} in the same order come up by chance {best} times, so "
                   "another check should fine-tune more (--tuned)" if count < 6 else "")
            )  # fmt: skip
    if budget is None:
        told.append(
            "archs from the whole space differ much in size and are easy to order; near one "
            "budget (--budget), where a search compares them, expect less"
        )
    return told


def _tau(found: Agreement) -> str:
    if not found.known:
        return "-"
    interval = "" if math.isnan(found.low) else f" ({found.low:.2f} to {found.high:.2f})"
    return f"{found.tau:.2f}{interval}"


def _chance(found: Agreement) -> str:
    if not found.known:
        return "-"
    return f"{found.chance:.1%}" if found.chance >= 0.001 else "< 0.1%"
