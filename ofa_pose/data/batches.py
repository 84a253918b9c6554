"""Training batches as a pure function of (seed, step), so that a resumed run goes on exactly."""

from __future__ import annotations

import contextlib
import multiprocessing
import operator
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ofa_pose.data.augment import Augmentation
from ofa_pose.data.inputs import stack, to_tensor
from ofa_pose.data.scene import SceneSource, check_scene
from ofa_pose.errors import DataError, OfaPoseError, UsageError
from ofa_pose.pose.targets import make_targets
from ofa_pose.signals import held_back

# The first words of the seeds, so that no two uses of one user seed share a stream of numbers.
_ORDER, _SAMPLE = 201, 202
# In what torch says of a worker that was killed, or that has no shared memory.
_LOST = ("DataLoader worker (pid", "shared memory")


@dataclass
class Batch:
    """What one training step needs; all on one device.

    Attributes:
        images: (N, 3, R, R) uint8, RGB.
        heatmaps: (N, K, h, w) float32, one tensor an output.
        masks: (N, h, w) float32, one tensor an output; 0 where the loss must not look. Where a
            scene's annotations lack joints, (N, K, h, w).
        tags: (N, people, K, 2) int64: cell in the first output's tag maps, and whether it counts.
    """

    images: torch.Tensor
    heatmaps: tuple[torch.Tensor, ...]
    masks: tuple[torch.Tensor, ...]
    tags: torch.Tensor

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """Return the batch on another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """Return the batch in memory from which it is copied to a GPU beside other work."""
        return self._each(torch.Tensor.pin_memory)

    def split(self, parts: int) -> list[Batch]:
        """Return the batch cut along N into `parts` of equal size.

        Raises:
            UsageError: it does not divide so.
        """
        rows, left = divmod(len(self.images), parts)
        if left:
            raise UsageError(f"{len(self.images)} pictures do not divide into {parts} parts")
        places = [slice(first, first + rows) for first in range(0, rows * parts, rows)]
        return [self._each(operator.itemgetter(place)) for place in places]

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        return Batch(
            images=change(self.images),
            heatmaps=tuple(map(change, self.heatmaps)),
            masks=tuple(map(change, self.masks)),
            tags=change(self.tags),
        )


class TrainBatches(Dataset[Batch]):
    """The batch of every step there will ever be; indexed by step, without an end.

    Steps walk through a permutation of the scenes; each time it is used up, another one, drawn
    from the seed and the lap's number, begins, in the middle of a batch if need be. Scenes that
    the source wants `together` (`MixedScenes`) are moved as one, and a lap leaves out its last
    ones that fill no group.

    Args:
        source: the scenes.
        augmentation: how a scene becomes a square picture.
        batch_size: pictures a step.
        seed: of order and augmentation.
        resolution_of: step to resolution; it must be picklable where workers are spawned.
        rows: which of a step's pictures are wanted, where several processes share them; each
            picture is the same whoever makes it.
    """

    def __init__(
        self,
        source: SceneSource,
        augmentation: Augmentation,
        *,
        batch_size: int,
        seed: int,
        resolution_of: Callable[[int], int],
        rows: slice = slice(None),
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch size must be at least 1, got {batch_size}")
        self.source = source
        self.augmentation = augmentation
        self.batch_size = batch_size
        self.seed = seed
        self.resolution_of = resolution_of
        self.rows = rows
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def indices(self, step: int) -> list[int]:
        """Return which scenes a step uses."""
        first = step * self.batch_size
        return [self._index(place) for place in range(first, first + self.batch_size)]

    def __getitem__(self, step: int) -> Batch:
        resolution = self.resolution_of(step)
        images, targets, known = [], [], []
        for row, index in list(enumerate(self.indices(step)))[self.rows]:
            skeleton = self.source.skeleton
            scene = self.source[index]
            check_scene(scene, skeleton, index=index)
            rng = np.random.default_rng([_SAMPLE, self.seed, step, row])
            scene = self.augmentation.apply(scene, resolution, rng, skeleton=skeleton)
            images.append(scene.image)
            known.append(scene.known)
            targets.append(
                make_targets(scene.keypoints, scene.valid, size=(resolution, resolution))
            )
        outputs = range(len(targets[0].heatmaps))
        masks = tuple(stack([target.masks[i] for target in targets]) for i in outputs)
        return Batch(
            images=to_tensor(images),
            heatmaps=tuple(stack([target.heatmaps[i] for target in targets]) for i in outputs),
            masks=masks_of_joints(masks, known, joints=self.source.skeleton.num_joints),
            tags=stack([target.tags for target in targets]),
        )

    def _index(self, place: int) -> int:
        together = min(getattr(self.source, "together", 1), len(self.source))
        groups = len(self.source) // together
        lap, place = divmod(place, groups * together)
        if self._order[0] != lap:
            rng = np.random.default_rng([_ORDER, self.seed, lap])
            self._order = (lap, rng.permutation(groups))
        group, member = divmod(place, together)
        return int(self._order[1][group]) * together + member


def masks_of_joints(
    masks: Sequence[torch.Tensor], known: Sequence[np.ndarray | None], *, joints: int
) -> tuple[torch.Tensor, ...]:
    """Return (N, h, w) masks with a mask for each joint, (N, K, h, w), if a scene lacks some.

    Args:
        masks: one tensor an output.
        known: `Scene.known` of the N scenes.
        joints: K.
    """
    if all(each is None for each in known):
        return tuple(masks)
    rows = [np.ones(joints, bool) if each is None else each for each in known]
    counts = torch.from_numpy(np.stack(rows).astype(np.float32))[:, :, None, None]
    return tuple(mask[:, None] * counts for mask in masks)


@contextlib.contextmanager
def telling_lost_workers() -> Iterator[None]:
    """Tell in one line that a process which prepares batches was killed, or had no memory.

    torch tells the parent by a signal, so it learns of it wherever it is at that moment.

    Raises:
        DataError: instead of torch's RuntimeError.
    """
    try:
        yield
    except RuntimeError as error:
        if not any(sign in str(error) for sign in _LOST):
            raise
        raise DataError(
            "a process that prepares batches was lost: it was killed, or memory or shared memory "
            "was full (in Docker the latter is 64 MB unless --shm-size says more); fewer "
            "--workers or a smaller --batch-size may help"
        ) from error


@dataclass(frozen=True)
class _Failure:
    """A user's mistake on its way out of a worker, without the worker's traceback."""

    message: str


class _Guarded(Dataset["Batch | _Failure"]):
    def __init__(self, batches: Dataset[Batch]) -> None:
        self.batches = batches

    def __getitem__(self, step: int) -> Batch | _Failure:
        try:
            return self.batches[step]
        except OfaPoseError as error:
            return _Failure(str(error))


def make_loader(
    batches: Dataset[Batch], *, start: int, stop: int, workers: int, pinned: bool = False
) -> Iterator[Batch]:
    """Return the batches of steps `start` to `stop` - 1, in that order.

    Args:
        batches: usually `TrainBatches`.
        start: first step.
        stop: step after the last one.
        workers: processes that prepare batches ahead; 0 prepares them in this one. The batches
            are the same either way.
        pinned: put batches into memory that a GPU copies from; it takes one.

    Raises:
        DataError: while iterating, what the scene source raised.
    """
    if workers < 0:
        raise UsageError(f"workers must be 0 or more, got {workers}")
    return _loaded(
        DataLoader(
            _Guarded(batches),
            batch_size=None,
            sampler=range(start, stop),
            num_workers=workers,
            prefetch_factor=2 if workers else None,
            pin_memory=pinned,
            worker_init_fn=_prepare_worker if workers else None,
            generator=torch.Generator().manual_seed(0),  # else torch draws from its global one
        )
    )


def _loaded(loader: DataLoader[Batch | _Failure]) -> Iterator[Batch]:
    """Yield what a loader gives; an error arrives as one line."""
    with telling_lost_workers():
        with held_back(signal.SIGINT, signal.SIGTERM):  # its workers inherit that
            batches = iter(loader)
        for batch in batches:
            if isinstance(batch, _Failure):
                raise DataError(batch.message)
            yield batch


def _prepare_worker(worker: int) -> None:
    """Leave Ctrl-C and SIGTERM to the parent, and take one core, never from the parent.

    A terminal and a scheduler send them to the whole group; the parent saves and closes the rest.
    Linux's batch policy lets a step's threads run on when this process wakes: they wait for each
    other, so a pause of one is a pause of all. OpenCV gets 0 threads (run in the caller), not 1:
    with 1 it joins the threads of its pool, which a forked process does not have.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    # A spawned process has threads that numpy began, in which it is not blocked.
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    if hasattr(signal, "sigwaitinfo"):
        threading.Thread(target=_end_at_the_parents_word, daemon=True).start()
    sys.excepthook = _tell
    cv2.setNumThreads(0)
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):  # a sandbox may not allow it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _end_at_the_parents_word() -> None:
    """End this process, in which SIGTERM is blocked, at one that its parent has sent.

    Closing the loader sends one to a worker that does not end by itself. As torch's own handler
    does, end with 0, which the parent does not take for a failure.
    """
    parent = multiprocessing.parent_process()
    while parent is not None:
        if signal.sigwaitinfo({signal.SIGTERM}).si_pid == parent.pid:
            os._exit(0)


def _tell(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Print an error of a worker's thread, unless it is that the parent takes no more batches."""
    if not issubclass(kind, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, traceback)
