"""`ofa-pose train`: learn a supernet's shared weights, or one plain network."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ofa_pose.catalog import load_space
from ofa_pose.cli._archs import HELP as ARCH_HELP
from ofa_pose.cli._archs import parse_arch
from ofa_pose.cli._commands import refuse_idle
from ofa_pose.cli._learning import Learning, LearningOptions
from ofa_pose.cli._options import (
    AnnotationsOption,
    CanvasOption,
    CheckpointMinutesOption,
    CompileOption,
    DataOption,
    DataSkeletonOption,
    DeviceOption,
    EpochsOption,
    ForceOption,
    ImagesOption,
    JsonOption,
    MinutesOption,
    MosaicOption,
    OutOption,
    PasteOption,
    ResumeOption,
    SeedOption,
    SetOption,
    SkeletonOption,
    StepsOption,
    SyntheticOption,
    SyntheticShareOption,
    TensorboardOption,
    TrainBatchOption,
    ValidationsOption,
    ValImagesOption,
    ValOption,
    ValScenesOption,
    WorkersOption,
)
from ofa_pose.cli._outcome import finished_weights, save_trained, tell_outcome
from ofa_pose.cli._sources import ANY_DATA, CANVAS
from ofa_pose.cli._training import together, train_network, training_meter
from ofa_pose.cli._weights import (
    INIT_HELP,
    Ordering,
    init_path,
    start_network,
    start_supernet,
)
from ofa_pose.errors import UsageError, WeightsError
from ofa_pose.files import sha256_file

if TYPE_CHECKING:
    from ofa_pose.space import Arch
    from ofa_pose.supernet import Supernet
    from ofa_pose.train import Validate

EPILOG = (
    "Example: ofa-pose train --space litepose-lite0 --data photos --mosaic 4 --init imagenet "
    "--minutes 120\n\n"
    "Example: ofa-pose train --space litepose-lite0 --arch largest --data photos --epochs 5\n\n"
    "Example: ofa-pose train --space toy --synthetic 200 --steps 50\n\n"
    "Example: torchrun --nproc-per-node 8 -m ofa_pose train --space litepose --data crowdpose "
    "--device cuda"
)


def command(
    context: typer.Context,
    space: Annotated[
        str, typer.Option("--space", metavar="NAME|FILE", help="The space that is trained.")
    ],
    arch: Annotated[
        str | None,
        typer.Option("--arch", metavar="ARCH", help=f"Train one plain network: {ARCH_HELP}"),
    ] = None,
    init: Annotated[
        str | None, typer.Option("--init", metavar="imagenet|FILE|FOLDER", help=INIT_HELP)
    ] = None,
    stage: Annotated[
        str,
        typer.Option(
            "--stage",
            help="The space's recipe: supernet; pretrain (the largest network, heatmaps only); "
            "finetune (with --arch).",
        ),
    ] = "supernet",
    ordering: Annotated[
        Ordering,
        typer.Option(
            "--ordering",
            help="How channels are sorted when a supernet starts from one network: by the "
            "weights that read them, by batch norm's scales, not at all.",
        ),
    ] = Ordering.L1,
    set_: SetOption = None,
    batch_size: TrainBatchOption = None,
    steps: StepsOption = None,
    epochs: EpochsOption = None,
    minutes: MinutesOption = None,
    data: DataOption = None,
    annotations: AnnotationsOption = None,
    images: ImagesOption = None,
    data_skeleton: DataSkeletonOption = None,
    mosaic: MosaicOption = None,
    synthetic: SyntheticOption = None,
    synthetic_share: SyntheticShareOption = 0.3,
    paste: PasteOption = None,
    canvas: CanvasOption = CANVAS,
    val: ValOption = None,
    val_images: ValImagesOption = None,
    val_scenes: ValScenesOption = 200,
    validations: ValidationsOption = 10,
    skeleton: SkeletonOption = None,
    device: DeviceOption = "cpu",
    compiled: CompileOption = False,
    workers: WorkersOption = 1,
    seed: SeedOption = 0,
    out: OutOption = None,
    resume: ResumeOption = False,
    force: ForceOption = False,
    checkpoint_minutes: CheckpointMinutesOption = 5.0,
    tensorboard: TensorboardOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train a supernet, some archs a step; or one plain network.

    That is the largest for --stage pretrain, or the one that --arch names. What was interrupted
    goes on with --resume, to the same curve. Under torchrun, the processes share every batch.
    """
    from ofa_pose.skeleton import load_skeleton

    declared = load_space(space)
    joints = load_skeleton(skeleton or declared.skeleton)
    name = "largest" if arch is None and stage == "pretrain" else arch
    plain = None if name is None else parse_arch(declared, name, seed=seed)
    if plain is None:
        _require_for_supernet(stage=stage, compiled=compiled)
    files = [Path(given) for given in (space, skeleton, data_skeleton, arch) if given]
    start = _Start(space, skeleton, init, ordering, files)
    with together(device) as own:
        options = LearningOptions.of(context, device=own)
        of_ordering = "it sorts the channels of the network that --init names"
        refuse_idle(context, {**options.uses, "ordering": (init is not None, of_ordering)})
        learning = Learning.resolve(
            options, declared, stage=stage, skeleton=joints, supernet=plain is None
        )
        if plain is None:
            _train_supernet(learning, start, as_json=as_json)
        else:
            network = _Plain(name or "", plain, compiled)
            _train_network(learning, start, network, as_json=as_json)


def _require_for_supernet(*, stage: str, compiled: bool) -> None:
    """Refuse what only one network can be asked for.

    Raises:
        UsageError: `--stage finetune` or `--compile`.
    """
    if stage == "finetune":
        raise UsageError(
            "--stage finetune is for one network: give --arch, or a tier to ofa-pose finetune"
        )
    if compiled:
        raise UsageError(
            "--compile is for one network (--arch): a supernet's tensors change their shapes "
            "every step"
        )


@dataclass(frozen=True)
class _Start:
    """What a training starts from.

    Attributes:
        space: as given by `--space`.
        skeleton: as given by `--skeleton`.
        init: as given by `--init`.
        ordering: of a supernet's channels.
        files: that the command line may name besides; `--force` must not delete them.
    """

    space: str
    skeleton: str | None
    init: str | None
    ordering: Ordering
    files: Sequence[Path]


@dataclass(frozen=True)
class _Plain:
    """The one network that is trained: its name as given, its arch, and whether compiled."""

    name: str
    arch: Arch
    compiled: bool

    @property
    def label(self) -> str:
        """What its tier is called: the name, unless that is a path or a list of values."""
        return self.name if re.fullmatch(r"[A-Za-z][\w.]*", self.name) else self.arch.key


@dataclass(frozen=True)
class _Origin:
    """What `--init` names.

    Attributes:
        given: as given.
        file: the file it names; None for imagenet, and for what is neither there nor needed.
        needed: whether the weights will be loaded.
    """

    given: str | None
    file: Path | None
    needed: bool

    @classmethod
    def of(cls, init: str | None, *, needed: bool) -> _Origin:
        try:
            return cls(init, init_path(init), needed)
        except WeightsError:
            if needed:
                raise
            return cls(init, None, needed)

    @property
    def used(self) -> str | None:
        return self.given if self.needed else None

    def identity(self) -> dict[str, str | None]:
        identity = {"init": self.given}
        return identity | ({"init_sha256": sha256_file(self.file)} if self.file else {})


def _train_supernet(learning: Learning, start: _Start, *, as_json: bool) -> None:
    from ofa_pose.train import World, train_supernet

    space, scenes = learning.space, learning.train
    default = f"train-{space.name}"
    origin = _Origin.of(start.init, needed=not learning.goes_on(default))
    supernet = start_supernet(
        space,
        origin.used,
        skeleton=scenes.skeleton,
        seed=learning.options.seed,
        ordering=start.ordering,
    )
    identity = {"verb": "train", **origin.identity(), "ordering": start.ordering.value}
    run = learning.open_run(default, identity, inputs=[*start.files, origin.file])
    with run, training_meter() as meter:
        result = train_supernet(
            supernet,
            scenes,
            validate=_validation(supernet, learning),
            **learning.keywords(run, meter),
        )
    if not World.current().leads:
        return
    words = ["ofa-pose", "search", "--supernet", str(finished_weights(result))]
    hint = shlex.join([*words, *learning.options.held_out])
    tell_outcome(run, result, tier=None, as_json=as_json, hint=hint)


def _train_network(learning: Learning, start: _Start, plain: _Plain, *, as_json: bool) -> None:
    from ofa_pose.export import make_tier
    from ofa_pose.train import World

    space, arch, seed = learning.space, plain.arch, learning.options.seed
    skeleton = learning.train.skeleton
    default = f"train-{space.name}-{plain.label}"
    origin = _Origin.of(start.init, needed=not learning.goes_on(default))
    network = start_network(
        space, arch, origin.used, skeleton=skeleton, seed=seed, ordering=start.ordering
    )
    identity = {
        "verb": "train",
        **origin.identity(),
        "arch": arch.to_dict(),
        "ordering": start.ordering.value,
        "compiled": plain.compiled,
    }
    run = learning.open_run(default, identity, inputs=[*start.files, origin.file])
    with run:
        result = train_network(learning, network, arch=arch, run=run, compiled=plain.compiled)
        if not World.current().leads:
            return
        tier = make_tier(
            plain.label, space, arch, skeleton=skeleton, seed=seed, created_by="ofa-pose train"
        )
        tier = save_trained(run, tier, network, result=result, occasion="trained")
    words = ["eval", str(tier.path), *(learning.options.held_out or ANY_DATA)]
    if arch == space.largest and not learning.recipe.tags:  # no AP tells of it
        joints = ["--skeleton", start.skeleton] if start.skeleton else []
        words = ["train", "--space", start.space, *joints, "--init", str(run.path)]
        words += learning.options.learnt_from or ANY_DATA
    hint = shlex.join(["ofa-pose", *words])
    tell_outcome(run, result, tier=tier, as_json=as_json, hint=hint)


def _validation(supernet: Supernet, learning: Learning) -> Validate | None:
    """Return a validation by the supernet's corners and its middle, re-calibrated."""
    if learning.val is None:
        return None
    from ofa_pose.evaluate import Shard, SubnetEvaluator
    from ofa_pose.train import validate_subnets

    evaluate = SubnetEvaluator(
        supernet,
        calibration=learning.train,
        scenes=learning.val,
        threads=None,
        shard=Shard.of_process_group(),
    )
    return validate_subnets(supernet, evaluate)
