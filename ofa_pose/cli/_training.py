"""What `train` and `finetune` share: options resolved into recipe, scenes and run folder."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ofa_pose.cli import _console
from ofa_pose.cli._progress import Meter
from ofa_pose.cli._sources import (
    Making,
    Pictures,
    described,
    training_scenes,
    validation_scenes,
)
from ofa_pose.cli._weights import check_device
from ofa_pose.errors import RecipeError, UsageError, suggest

if TYPE_CHECKING:
    from ofa_pose.data import SceneSource
    from ofa_pose.export import Tier
    from ofa_pose.models import Network
    from ofa_pose.runs import RunFolder
    from ofa_pose.skeleton import Skeleton
    from ofa_pose.space import Arch, SearchSpace
    from ofa_pose.train import Recipe, Teach, TrainResult, Validate

# What a run may be resumed with other values of: they do not change its result.
_FREE = ("workers", "device", "tensorboard")
_VALIDATED = ("AP", "AP50", "AP75", "AR")
_BEST_OF = "best_of_validations"


@contextlib.contextmanager
def together(device: str) -> Iterator[str]:
    """Join the processes that `torchrun` started, if it did; the first one alone speaks.

    Yields:
        The device of this process.
    """
    from ofa_pose.train import joined

    with joined(device) as (world, own), _console.only_faults(when=not world.leads):
        yield own


def training_meter() -> Meter:
    """Return what shows how far a training is; the log tells it where there is no terminal."""
    from ofa_pose.train import World

    return Meter("train", plain=False, bar=World.current().leads)


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
    tensorboard: bool

    @classmethod
    def of(cls, context: typer.Context, *, device: str) -> LearningOptions:
        """Pick them from what the command was called with, but for the device."""
        picked = {field.name: context.params[field.name] for field in fields(cls)}
        return cls(**{**picked, "device": device})

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
        train: the scenes that are learnt from.
        val: the scenes that validate, or None.
    """

    options: LearningOptions
    space: SearchSpace
    recipe: Recipe
    train: SceneSource
    val: SceneSource | None

    @classmethod
    def resolve(
        cls, options: LearningOptions, space: SearchSpace, *, stage: str, skeleton: Skeleton
    ) -> Learning:
        """Check the recipe and the device, then open the scenes.

        Raises:
            RecipeError: an unknown key or an impossible value; no length; a precision that the
                device is not made for.
            DataError: the scenes cannot be used.
            UsageError: no scenes are given, or the device is not here.
            MissingExtraError: TensorBoard is asked for and not installed.
        """
        from ofa_pose.train import keep_freed_memory, make_recipe
        from ofa_pose.train.events import require_tensorboard

        keep_freed_memory()
        recipe = make_recipe(space, stage, overrides=options.overrides(stage))
        if recipe.budget is None:
            raise RecipeError("how long? give one of --steps, --epochs and --minutes")
        recipe.check_device(check_device(options.device))
        if options.tensorboard:
            require_tensorboard()
        making = Making(skeleton, options.seed, options.mosaic, options.canvas)
        joints = options.data_skeleton
        pictures = Pictures(options.data, options.annotations, options.images, joints)
        train = training_scenes(
            pictures, making, synthetic=options.synthetic, share=options.synthetic_share
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
        return cls(options, space, recipe, train, val)

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
        }
        hidden = {"out", "resume", "force", "set_", "batch_size", "steps", "epochs", "minutes"}
        given = {key: value for key, value in vars(self.options).items() if key not in hidden}
        world = World.current()
        run = world.open_run(
            self.folder(default),
            config=described({**identity, **about, **given}),
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
        from ofa_pose.train import Cadence

        return {
            "run": run,
            "recipe": self.recipe,
            "seed": self.options.seed,
            "cadence": Cadence(validations=self.options.validations),
            "workers": self.options.workers,
            "device": self.options.device,
            "resume": run.resumed,
            "progress": _progress(meter),
        }


def read_settings(pairs: Sequence[str], *, stage: str) -> dict[str, Any]:
    """Return `KEY=VALUE` pairs as a nested mapping; dots nest, values are read as YAML.

    `null` is a value, too: it turns off what a recipe can do without. A key
    may be written with the recipe it belongs to in front: `train.lr` or, in a run of the stage
    `finetune`, `finetune.lr`.

    Raises:
        RecipeError: a pair cannot be read, has no value, is of another stage or is given twice.
    """
    import yaml

    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise RecipeError(f"cannot read --set {pair!r}; write KEY=VALUE, such as lr=0.001")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise RecipeError(f"cannot read the value in --set {pair!r}") from error
        if not text.strip():
            raise RecipeError(f"--set {pair!r} has no value; write KEY=VALUE, such as lr=0.001")
        *outer, name = _within(key.strip().split("."), pair=pair, stage=stage)
        place = settings
        for part in outer:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise RecipeError(f"--set {pair!r}: {part} was given one value before")
        if name in place:
            raise RecipeError(f"--set {pair!r}: {name} was given before")
        place[name] = _number(value)
    return settings


def _within(parts: list[str], *, pair: str, stage: str) -> list[str]:
    """Return a dotted key without the name of the recipe in front, if it has one."""
    from ofa_pose.train.recipe import STAGES, Recipe

    first, *rest = parts
    if not rest or first in Recipe.model_fields:
        return parts
    if first in ("train", stage):
        return rest
    if first in STAGES:
        raise RecipeError(f"--set {pair!r}: this run is of the stage {stage!r}, not {first!r}")
    known = ("train", stage, "augmentation")
    raise RecipeError(f"--set {pair!r}: unknown key {first!r}{suggest(first, known)}")


def train_network(
    learning: Learning,
    network: Network,
    *,
    arch: Arch,
    run: RunFolder,
    teacher: Teach | None = None,
    origin: Mapping[str, str] | None = None,
    compiled: bool = False,
) -> TrainResult:
    """Train one network with a progress bar, validated on the scenes for that, if any.

    Raises:
        UsageError: torch.compile does not work here.
    """
    from ofa_pose.train import finetune

    with training_meter() as meter, _compiling(when=compiled):
        return finetune(
            network,
            learning.train,
            space=learning.space,
            arch=arch,
            validate=_validation(learning, network, arch),
            teacher=teacher,
            origin=origin,
            compiled=compiled,
            **learning.keywords(run, meter),
        )


@contextlib.contextmanager
def _compiling(*, when: bool) -> Iterator[None]:
    """Tell in one line that torch.compile failed inside the block, where it was asked for."""
    try:
        yield
    except Exception as error:
        if not when or not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        reason = next((line for line in str(error).splitlines() if line.strip()), "")
        raise UsageError(
            f"--compile does not work here ({type(error).__name__}: {reason}); leave it out"
        ) from error


def save_trained(
    run: RunFolder, tier: Tier, network: Network, *, result: TrainResult, occasion: str
) -> Tier:
    """Save a tier with the weights that a training recommends, and the AP they were chosen by.

    That AP is the highest of several validations, so it says too much of the network; the score
    tells of how many.
    """
    from ofa_pose.export import save_tier
    from ofa_pose.supernet import load_state, load_weights

    path = finished_weights(result)
    state, _ = load_weights(path)
    load_state(network, state, source=str(path))
    if result.best is not None:
        best = {"AP": result.best, _BEST_OF: validations_in(run)}
        tier = tier.with_scores(occasion, best)
    return save_tier(run.path, tier, network)


def validations_in(run: RunFolder) -> int:
    """Return how many validations the run's metrics tell of."""
    from ofa_pose.train.loop import METRICS
    from ofa_pose.train.metrics import count_rows

    return count_rows(run.file(METRICS), "AP")


def finished_weights(result: TrainResult) -> Path:
    """Return the weights a training recommends: the best, else the last."""
    return result.best_weights or result.last_weights


def tell_outcome(
    run: RunFolder, result: TrainResult, *, tier: Tier | None, as_json: bool, hint: str
) -> None:
    """Print what a training reached, where it lies and what to do with it."""
    weights = finished_weights(result)
    validations = validations_in(run)
    if as_json:
        document: dict[str, Any] = {
            "steps": result.steps,
            "seconds": round(result.seconds, 1),
            "best_AP": result.best,
            "best_step": result.best_step,
            "validations": validations,
            "weights": weights,
        }
        if tier is not None:
            document["tier"] = tier.path
            document["scores"] = {name: dict(values) for name, values in tier.scores.items()}
        _console.emit_json(document)
        return
    _console.line(f"{result.steps} steps in {result.seconds / 60:.1f} minutes of training")
    if result.best is None:
        _console.line("not validated: there were no validation scenes (--val)")
    else:
        _console.line(
            f"AP {result.best:.3f}, {_of_validations(validations)}, after step {result.best_step}"
        )
    if tier is not None:
        figures = [f"{name} {_figure(scores)}" for name, scores in tier.scores.items()]
        _console.line(f"tier: {tier.path}" + (f" (AP: {', '.join(figures)})" if figures else ""))
    _console.line(f"weights: {weights}")
    _console.line(f"next: {hint}")


def _figure(scores: Mapping[str, float]) -> str:
    """Return an occasion's AP, and of how many it is the best where that is known."""
    figure = f"{scores['AP']:.3f}"
    if _BEST_OF not in scores:
        return figure
    return f"{figure} ({_of_validations(int(scores[_BEST_OF]))})"


def _of_validations(count: int) -> str:
    return "of one validation" if count == 1 else f"best of {count} validations"


def _validation(learning: Learning, network: Network, arch: Arch) -> Validate | None:
    if learning.val is None:
        return None
    from ofa_pose.evaluate import Shard, evaluate_network

    scenes, space, shard = learning.val, learning.space, Shard.of_process_group()

    def validate(step: int) -> dict[str, float]:
        scores = evaluate_network(
            network, scenes, resolution=arch.resolution, space=space, shard=shard
        )
        return {name: scores[name] for name in _VALIDATED}

    return validate


def _progress(meter: Meter) -> Callable[[int, int | None, Mapping[str, float]], None]:
    def show(done: int, total: int | None, figures: Mapping[str, float]) -> None:
        meter.show(done, total, figures, fraction=figures["fraction"])

    return show


def _number(value: Any) -> Any:
    """Read `1e-3`, which YAML 1.1 takes for text, as a number."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
