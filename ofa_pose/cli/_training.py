"""Runs a training for a command: with `torchrun`'s other processes, a progress bar, validation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ofa_pose.cli import _console
from ofa_pose.cli._progress import Meter
from ofa_pose.errors import UsageError

if TYPE_CHECKING:
    from ofa_pose.cli._learning import Learning
    from ofa_pose.models import Network
    from ofa_pose.runs import RunFolder
    from ofa_pose.space import Arch
    from ofa_pose.train import Teach, TrainResult, Validate

_VALIDATED = ("AP", "AP50", "AP75", "AR")


@contextlib.contextmanager
def together(device: str) -> Iterator[str]:
    """Join the processes that `torchrun` started, if it did; the first one alone speaks.

    Yields:
        The device of this process.
    """
    from ofa_pose.interrupt import terminated_as_interrupted
    from ofa_pose.train import joined

    with (
        terminated_as_interrupted(),
        joined(device) as (world, own),
        _console.only_faults(when=not world.leads),
    ):
        yield own


def training_meter() -> Meter:
    """Return what shows how far a training is; the log tells it where there is no terminal."""
    from ofa_pose.train import World

    return Meter("train", plain=False, bar=World.current().leads)


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
