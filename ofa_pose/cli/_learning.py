"""What `train` and `finetune` share: options resolved into recipe, scenes and run folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ofa_pose.cli._commands import earlier_config, lasting
from ofa_pose.cli._progress import Meter
from ofa_pose.cli._settings import read_settings, refuse_unused
from ofa_pose.cli._sources import (
    ANY_DATA,
    OF_CANVAS,
    OF_MOSAIC,
    Making,
    Pictures,
    described,
    training_scenes,
    validation_scenes,
)
from ofa_pose.errors import RecipeError

if TYPE_CHECKING:
    from ofa_pose.data import SceneSource
    from ofa_pose.runs import RunFolder
    from ofa_pose.skeleton import Skeleton
    from ofa_pose.space import SearchSpace
    from ofa_pose.train import Cadence, Recipe

_LOG = logging.getLogger(__name__)
# What a run may be resumed with other values of: they do not change its result, or it is told.
# Where pictures lie is free, as long as they and their labels are the same.
_FREE = (
    *("workers", "device", "checkpoint_minutes", "tensorboard", "recipe.accumulate"),
    *("data", "annotations", "images", "val", "val_images"),
)


@dataclass(frozen=True, kw_only=True)
class LearningOptions:
    """The options that every training has, by the names of the command's parameters."""

    set_: Sequence[str] | None
    batch_size: int | None
    steps: int | None
    epochs: float | None
    minutes: float | None
    data: Path | None
    annotations: Path | None
    images: Path | None
    data_skeleton: str | None
    mosaic: int | None
    synthetic: int | None
    synthetic_share: float
    paste: float | None
    canvas: int
    val: Path | None
    val_images: Path | None
    val_scenes: int
    validations: int
    device: str
    workers: int
    seed: int
    out: Path | None
    resume: bool
    force: bool
    checkpoint_minutes: float
    tensorboard: bool

    @classmethod
    def of(cls, context: typer.Context, *, device: str) -> LearningOptions:
        """Pick them from what the command was called with, but for the device."""
        picked = {field.name: context.params[field.name] for field in fields(cls)}
        return cls(**{**picked, "device": device})

    @property
    def uses(self) -> dict[str, tuple[bool, str]]:
        """Whether options of the scenes are used, and what they are for; see `refuse_idle`."""
        photographs = Pictures(self.data, self.annotations)
        painted, given = self.synthetic is not None, self.val is not None
        validated = given or photographs.has_split("val") or (painted and not photographs.given)
        validated |= photographs.missing  # which is told when they are opened
        of_share = "it is for photographs and painted scenes: give both --data and --synthetic"
        of_val = "there is nothing to validate on: give --val"
        return {
            "mosaic": (photographs.given or given, OF_MOSAIC),
            "canvas": (painted or self.mosaic is not None, OF_CANVAS),
            "synthetic_share": (painted and photographs.given, of_share),
            "val_scenes": (validated, of_val),
            "validations": (validated, of_val),
        }

    @property
    def held_out(self) -> tuple[str, ...]:
        """The options of a command line that name photographs which nothing is learnt from."""
        if self.val is not None:
            return Pictures(self.val, images=self.val_images, skeleton=self.data_skeleton).words
        pictures = Pictures(self.data, self.annotations, self.images, self.data_skeleton)
        if pictures.has_split("val"):
            return pictures.words
        return ANY_DATA if pictures.given else ()

    @property
    def learnt_from(self) -> tuple[str, ...]:
        """The options of a command line that name the photographs learnt from."""
        return Pictures(self.data, self.annotations, self.images, self.data_skeleton).words

    def overrides(self, stage: str) -> dict[str, Any]:
        """Return the changes to the recipe of a stage that the options ask for.

        Raises:
            RecipeError: a `--set` cannot be read or is of another stage, or something is given
                twice.
        """
        lengths = {"steps": self.steps, "epochs": self.epochs, "minutes": self.minutes}
        given = {key: value for key, value in lengths.items() if value is not None}
        if len(given) > 1:
            raise RecipeError(f"give one length of the run, not --{' and --'.join(given)}")
        if self.batch_size is not None:
            given["batch_size"] = self.batch_size
        settings = read_settings(self.set_ or (), stage=stage)
        for key in settings.keys() & given.keys():
            raise RecipeError(f"{key} is given twice, by --set and by --{key.replace('_', '-')}")
        return {**settings, **given}


@dataclass(frozen=True)
class Learning:
    """One training, resolved: nothing of it has been loaded into memory or written yet.

    Attributes:
        options: as given.
        space: whose recipe is followed.
        recipe: with the options' changes.
        cadence: how often it validates and saves.
        train: the scenes that are learnt from.
        val: the scenes that validate, or None.
    """

    options: LearningOptions
    space: SearchSpace
    recipe: Recipe
    cadence: Cadence
    train: SceneSource
    val: SceneSource | None

    @classmethod
    def resolve(
        cls,
        options: LearningOptions,
        space: SearchSpace,
        *,
        stage: str,
        skeleton: Skeleton,
        supernet: bool = False,
        teacher: bool = False,
    ) -> Learning:
        """Check the recipe and the device, then open the scenes.

        Args:
            options: as given.
            space: whose recipe is followed.
            stage: which of its recipes.
            skeleton: of the network.
            supernet: whether several archs are trained.
            teacher: whether another network teaches.

        Raises:
            RecipeError: an unknown key, an impossible value, or one that nothing uses; no length;
                a precision that the device is not made for; a time that is not a number.
            DataError: the scenes cannot be used.
            UsageError: no scenes are given, or the device is not here.
            MissingExtraError: TensorBoard is asked for and not installed.
        """
        from ofa_pose.memory import keep_freed_memory
        from ofa_pose.models import check_device
        from ofa_pose.train import Cadence, make_recipe
        from ofa_pose.train.events import require_tensorboard

        overrides = options.overrides(stage)
        recipe = make_recipe(space, stage, overrides=overrides)
        refuse_unused(overrides, recipe, supernet=supernet, teacher=teacher)
        if recipe.budget is None:
            raise RecipeError("how long? give one of --steps, --epochs and --minutes")
        cadence = Cadence(
            validations=options.validations, checkpoint_seconds=60 * options.checkpoint_minutes
        )
        check_device(options.device)
        recipe.check_device(options.device)
        if options.device == "cpu":
            keep_freed_memory()
        if options.tensorboard:
            require_tensorboard()
        making = Making(skeleton, options.seed, options.mosaic, options.canvas, options.paste)
        joints, own = options.data_skeleton, (options.data, options.annotations)
        only_val = options.val is not None and own == (None, None)
        pictures = Pictures(*own, options.images, None if only_val else joints)
        train = training_scenes(
            pictures,
            making,
            synthetic=options.synthetic,
            share=options.synthetic_share,
            batch_size=recipe.batch_size,
        )
        val = validation_scenes(
            pictures,
            Pictures(
                options.val,
                images=options.val_images,
                skeleton=None if options.val is None else joints,
            ),
            making,
            synthetic=options.synthetic is not None,
            most=options.val_scenes,
        )
        if val is not None:
            _tell_shared(train, val)
        return cls(options, space, recipe, cadence, train, val)

    def folder(self, default: str) -> Path:
        """Return the run's folder: `runs/<default>`, unless `--out` names one."""
        return self.options.out or Path("runs") / default

    def goes_on(self, default: str) -> bool:
        """Whether the weights will be those of the run's checkpoint, whatever it started from."""
        from ofa_pose.train.checkpoint import has_checkpoint
        from ofa_pose.train.loop import CHECKPOINT

        return self.options.resume and has_checkpoint(self.folder(default) / CHECKPOINT)

    def open_run(
        self, default: str, identity: Mapping[str, Any], *, inputs: Sequence[Path | None] = ()
    ) -> RunFolder:
        """Open the run's folder; `identity` may lack the `init_sha256` of a file that is gone."""
        from ofa_pose.runs import EVENTS
        from ofa_pose.train import World
        from ofa_pose.train.events import EventFiles

        about = {
            "space": self.space.name,
            "space_hash": self.space.hash,
            "skeleton": self.train.skeleton.name,
            "recipe": self.recipe.to_dict(),
            "pictures": {
                "train": self.train.fingerprint(),
                "val": None if self.val is None else self.val.fingerprint(),
            },
        }
        hidden = {"out", "resume", "force", "set_", "batch_size", "steps", "epochs", "minutes"}
        given = {key: value for key, value in vars(self.options).items() if key not in hidden}
        earlier = earlier_config(self.folder(default)) if self.options.resume else None
        lasts = lasting({**identity, **given}, earlier=earlier)
        world = World.current()
        run = world.open_run(
            self.folder(default),
            config=described({**lasts, **about}),
            resume=self.options.resume,
            force=self.options.force,
            free=_FREE if "init_sha256" in identity else (*_FREE, "init_sha256"),
            inputs=[path for path in inputs if path is not None],
        )
        if self.options.tensorboard and world.leads:
            run.listen(EventFiles(run.file(EVENTS)))
        return run

    def keywords(self, run: RunFolder, meter: Meter) -> dict[str, Any]:
        """Return the keyword arguments that both training functions take."""
        return {
            "run": run,
            "recipe": self.recipe,
            "seed": self.options.seed,
            "cadence": self.cadence,
            "workers": self.options.workers,
            "device": self.options.device,
            "resume": run.resumed,
            "progress": _progress(meter),
        }


def _tell_shared(train: SceneSource, val: SceneSource) -> None:
    """Warn of pictures that are learnt from and validate, too."""
    from ofa_pose.evaluate import shared_pictures

    shared = shared_pictures(train, val)
    if shared:
        _LOG.warning(
            "%d of the pictures that validate are learnt from as well, such as %s: the AP of "
            "others will be lower",
            *(len(shared), shared[0]),
        )


def _progress(meter: Meter) -> Callable[[int, int | None, Mapping[str, float]], None]:
    def show(done: int, total: int | None, figures: Mapping[str, float]) -> None:
        meter.show(done, total, figures, fraction=figures["fraction"])

    return show
