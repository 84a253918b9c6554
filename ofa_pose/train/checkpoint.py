"""`checkpoint.pt`: everything a killed training needs to go on as if nothing had happened."""

from __future__ import annotations

import dataclasses
import json
import logging
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import ofa_pose
from ofa_pose.catalog import load_space, space_names
from ofa_pose.digest import digest
from ofa_pose.errors import OfaPoseError, RunFolderError, TrainingDivergedError, WeightsError
from ofa_pose.files import atomic_path
from ofa_pose.skeleton import Skeleton, load_skeleton, skeleton_names
from ofa_pose.supernet.metadata import SKELETON, WEIGHTS_FORMAT
from ofa_pose.train.plain import check_plain, plain

FORMAT = 2

_LOG = logging.getLogger(__name__)

# What the weights mean, in the order of reporting; a difference is a foreign checkpoint.
_MEANING = ("kind", "space", "space_hash", "options", SKELETON, "arch")


# In what torch's writer says of a full disk.
_NOT_WRITTEN = ("inline_container", "PytorchStreamWriter")


class DamagedCheckpointError(WeightsError):
    """A checkpoint that was cut short or altered on the disk."""


@dataclass
class TrainState:
    """What changes while a training runs, apart from the weights and the optimizer.

    Attributes:
        step: finished steps.
        seconds: time spent training; validation left out.
        reported: the step of the last row of the metrics.
        validations: validations done.
        best: highest validation AP so far, or None.
        best_step: the step it was reached at.
        window: sums of the losses since the last row.
        window_steps: number of steps in these sums.
        processes: how many share every step.
        accumulate: parts that each process's share of a batch is run in.
        compiled_gradients: whether weight gradients of depthwise convolutions are compiled, where
            they can be; it changes the last digits.
    """

    step: int = 0
    seconds: float = 0.0
    reported: int = 0
    validations: int = 0
    best: float | None = None
    best_step: int | None = None
    window: dict[str, float] = field(default_factory=dict)
    window_steps: int = 0
    processes: int = 1
    accumulate: int = 1
    compiled_gradients: bool = False

    def count(self, losses: Mapping[str, float]) -> None:
        """Count one finished step and add its losses to the window."""
        for name, value in losses.items():
            self.window[name] = self.window.get(name, 0.0) + value
        self.window_steps += 1
        self.step += 1

    def means(self) -> dict[str, float]:
        """Return the mean losses since the last row."""
        return {name: total / self.window_steps for name, total in self.window.items()}

    def start_window(self) -> None:
        """Note that the row of this step is written."""
        self.reported, self.window, self.window_steps = self.step, {}, 0


@dataclass(frozen=True)
class Checkpoint:
    """One moment of a training.

    Attributes:
        identity: what the run is: `kind`, `space`, `space_hash`, `options` (the family's, with
            the skeleton's name), the skeleton whole, `arch`, `seed`, `recipe`, `budget`, …; plain
            values.
        state: counters, best and losses since the last row.
        model: the model's state dict.
        learner: the state dict of what learns: optimizer, gradient scale, average of the weights.
    """

    identity: Mapping[str, Any]
    state: TrainState
    model: Mapping[str, Tensor]
    learner: Mapping[str, Any]


def previous_of(path: Path) -> Path:
    """Return where the checkpoint before the one at `path` is kept: `checkpoint.previous.pt`."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def has_checkpoint(path: Path) -> bool:
    """Whether there is a checkpoint at `path`, or at least the one before it."""
    return path.is_file() or previous_of(path).is_file()


def save_checkpoint(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` atomically; the one that was there stays as `previous_of(path)`.

    Raises:
        TrainingDivergedError: a tensor holds a NaN or an infinity; the files are left as they
            were.
        OfaPoseError: something else than tensors and plain values is among it, which could not be
            read again, or the folder cannot be written or the disk is full; likewise.
    """
    path = Path(path)
    check_finite(checkpoint.model, last_good=path)
    check_finite(dict(_tensors(checkpoint.learner)), last_good=path)
    content = {
        "format": FORMAT,
        "version": ofa_pose.__version__,
        "identity": plain(checkpoint.identity),
        "state": plain(dataclasses.asdict(checkpoint.state)),
        "model": dict(checkpoint.model),
        "learner": plain(checkpoint.learner),
    }
    for part in ("identity", "state", "model", "learner"):
        check_plain(content[part], name=part)
    content["sha256"] = digest(content)
    try:
        with atomic_path(path, previous=previous_of(path)) as temporary:
            torch.save(content, temporary)
    except RuntimeError as error:
        if not any(sign in str(error) for sign in _NOT_WRITTEN):
            raise
        reason = str(error).splitlines()[0]
        raise OfaPoseError(f"cannot write {path}; is the disk full? ({reason})") from error


def load_newest(path: Path) -> tuple[Checkpoint, Path]:
    """Read the checkpoint at `path`, or the one before it if that one is damaged or gone.

    Returns:
        The checkpoint, and the file it was read from.

    Raises:
        DamagedCheckpointError: there is none that is whole.
        WeightsError: there is none at all, or the newest one is of another format.
    """
    faults: list[str] = []
    for file in (path, previous_of(path)):
        if not file.is_file():
            continue
        try:
            checkpoint = load_checkpoint(file)
        except DamagedCheckpointError as error:
            faults.append(str(error))
            continue
        if file != path:
            fault = faults[0] if faults else f"{path} is gone"
            _LOG.warning("%s; going on from the one before it, %s", fault, file)
        return checkpoint, file
    if not faults:
        raise WeightsError(f"no checkpoint at {path}")
    if len(faults) == 1:
        faults.append("there is no other")
    raise DamagedCheckpointError(f"{' and '.join(faults)}; --force starts the run anew")


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint onto the CPU without unpickling code.

    Raises:
        DamagedCheckpointError: it is not what was written.
        WeightsError: the file is absent, or of another format.
    """
    content = _read(Path(path))
    writer = f"written by ofa_pose {content.get('version', 'in an unknown version')}"
    if content["format"] != FORMAT:
        raise WeightsError(
            f"{path} is a checkpoint of format {content['format']}, {writer}; this version reads "
            f"format {FORMAT}"
        )
    try:
        return Checkpoint(
            identity=content["identity"],
            state=TrainState(**content["state"]),
            model=content["model"],
            learner=content["learner"],
        )
    except (KeyError, TypeError) as error:
        raise WeightsError(
            f"{path} is a checkpoint that this version cannot read, {writer} ({error})"
        ) from error


def _read(path: Path) -> dict[str, Any]:
    """Return what a file holds, once its hash has shown that it is what was written."""
    if not path.is_file():
        raise WeightsError(f"no checkpoint at {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        form, sha256 = content["format"], content.pop("sha256", None)
    except PermissionError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # junk that looks like a pickle can raise anything
        # Of torch's messages, the first sentence; the others advise to load it unsafely.
        reason = f"{type(error).__name__}: {error}".partition("\n")[0].partition(". ")[0]
        raise DamagedCheckpointError(f"{path} is not a whole checkpoint ({reason})") from error
    hashed = form == FORMAT or sha256 is not None
    if hashed and sha256 != digest(content):
        raise DamagedCheckpointError(f"{path} is damaged (its content has another SHA-256)")
    return content


def check_identity(path: str | Path, *, found: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse a checkpoint that belongs to another model or another run.

    Raises:
        WeightsError: its weights mean something else: another space, skeleton or arch.
        RunFolderError: the same model, trained otherwise: another seed, recipe, data or length.
    """
    differing = [key for key in sorted({*found, *now}) if found.get(key) != now.get(key)]
    foreign = [key for key in _MEANING if key in differing]
    changes = "; ".join(_changes(foreign or differing, found, now))
    if foreign:
        raise WeightsError(f"{path} is a checkpoint of another model: {changes}")
    if differing:
        raise RunFolderError(
            f"cannot resume {path}: {changes}; give the same values or start another run"
        )


def _changes(
    keys: list[str], found: Mapping[str, Any], now: Mapping[str, Any], *, prefix: str = ""
) -> Iterator[str]:
    for key in keys:
        before, after = found.get(key), now.get(key)
        if key == SKELETON:
            if "options" not in keys:  # else the name has changed, which says enough
                yield "the skeleton is declared otherwise"
        elif isinstance(before, Mapping) and isinstance(after, Mapping):
            inner = [k for k in sorted({*before, *after}) if before.get(k) != after.get(k)]
            yield from _changes(inner, before, after, prefix=f"{prefix}{key}.")
        else:
            yield f"{prefix}{key} was {before!r} and is now {after!r}"


def check_finite(tensors: Mapping[str, Tensor], *, last_good: Path) -> None:
    """Refuse to save a NaN or an infinity.

    Raises:
        TrainingDivergedError: names the tensor and the last good checkpoint.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise TrainingDivergedError(
                f"{name} holds a NaN or an infinity and was not saved; {describe(last_good)}"
            )


def describe(path: Path, *, diverged_after: int | None = None) -> str:
    """Say where training can go on from: the checkpoint at `path`, if there is one, and how.

    Args:
        path: where the newest one is.
        diverged_after: finished steps whose weights gave a NaN; a checkpoint of just these is not
            a good one, so the one before it is named.
    """
    if not has_checkpoint(path):
        return "no checkpoint had been written yet"
    try:
        checkpoint, file = load_newest(path)
    except WeightsError as error:
        return str(error)
    if checkpoint.state.step == diverged_after and file == path:
        try:
            checkpoint, file = load_checkpoint(previous_of(path)), previous_of(path)
        except WeightsError:
            return (
                f"the only checkpoint, {path} (step {diverged_after}), holds the weights that gave "
                "it, so begin again"
            )
    found = f"the last good checkpoint is {file} (step {checkpoint.state.step})"
    command = _command(checkpoint.identity, file)
    return f"{found}, from which this starts anew: {command}" if command else found


def _command(identity: Mapping[str, Any], file: Path) -> str:
    """Return what trains from a checkpoint's weights; empty where it does not say whose they are.

    The scenes and the recipe are left to the user.
    """
    if "space" not in identity:
        return ""
    name, arch = identity["space"], identity.get("arch")
    known = name in space_names() and load_space(name).hash == identity["space_hash"]
    words = ["ofa-pose", "train", "--space", name if known else "FILE"]
    if arch is not None:
        words += ["--arch", "-".join(map(str, arch.values()))]
    joints = identity.get(SKELETON)
    if joints is not None and not (known and _has_joints(load_space(name).skeleton, joints)):
        called = joints["name"]
        shipped = called in skeleton_names() and _has_joints(called, joints)
        words += ["--skeleton", called if shipped else "FILE"]
    return shlex.join([*words, "--init", str(file), "--out", "ANOTHER"])


def _has_joints(skeleton: str | Skeleton, joints: Mapping[str, Any]) -> bool:
    """Whether a skeleton is the one that a checkpoint declares."""
    return plain(load_skeleton(skeleton).to_dict()) == joints


def is_checkpoint(path: Path) -> bool:
    """Whether a file is a training's checkpoint, whole or not; its weights stay on the disk."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception:  # noqa: BLE001 - junk that looks like a pickle can raise anything
        return False
    return isinstance(content, Mapping) and {"format", "identity", "model"} <= content.keys()


def load_model(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a checkpoint's weights as `load_weights` reads a weights file's.

    Returns:
        The model's state dict (as trained: an average of the weights is left out), and the
        metadata that the weights file would have, without the space's declaration.

    Raises:
        DamagedCheckpointError: it is not what was written.
        WeightsError: the file is absent, or of another format.
    """
    checkpoint = load_checkpoint(path)
    metadata = {
        key: value if isinstance(value, str) else json.dumps(value, sort_keys=key == "options")
        for key, value in checkpoint.identity.items()
        if key in _MEANING
    }
    return dict(checkpoint.model), {"format": WEIGHTS_FORMAT, **metadata}


def _tensors(value: object, prefix: str = "learner") -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield prefix, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _tensors(item, f"{prefix}.{key}")
