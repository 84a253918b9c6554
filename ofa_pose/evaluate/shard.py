"""Work spread over the ranks of a process group, and its parts brought together on all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch.distributed as dist

from ofa_pose.errors import OfaPoseError, UsageError

Part = TypeVar("Part")


@dataclass(frozen=True)
class Shard:
    """This process's share of a work: the items `rank`, `rank + size`, and so on.

    The default is the whole work, for which no process group is needed.

    Attributes:
        rank: which share, from 0.
        size: into how many shares the work is cut.

    Raises:
        UsageError: a rank that is not one of `size`.
    """

    rank: int = 0
    size: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.size:
            raise UsageError(f"there is no rank {self.rank} of {self.size}")

    @classmethod
    def of_process_group(cls) -> Shard:
        """Return the share of this rank of torch.distributed's default group.

        Where none is initialised, as in a single process, it is the whole work.
        """
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    def places(self, count: int) -> range:
        """Return which of `count` items are this rank's."""
        return range(self.rank, count, self.size)

    def gather(self, work: Callable[[], Part]) -> list[Part]:
        """Do this rank's part and return everybody's, in the order of the ranks, on every rank.

        An error on one rank is an error on all: it raises its own, the others one of the same
        kind that names it. Nobody waits for a rank longer than the process group's timeout, so
        that must exceed what the slowest part takes beyond the fastest. (NCCL does not raise when
        it has passed, it ends the process.)

        Args:
            work: gives this rank's part, which can be pickled. All ranks must come here.

        Raises:
            OfaPoseError: another rank failed, died or did not answer in time.
        """
        if self.size == 1:
            return [work()]
        try:
            part = work()
        except BaseException as error:  # a Ctrl-C, too: who waits in an exchange cannot see it
            with contextlib.suppress(OfaPoseError):  # the first error tells more
                self._exchange(Failure.of(error))
            raise
        parts = self._exchange(part)
        for rank, other in enumerate(parts):
            if isinstance(other, Failure):
                raise other.error(f"rank {rank}")
        return parts

    def _exchange(self, own: Any) -> list[Any]:
        parts: list[Any] = [None] * self.size
        try:
            dist.all_gather_object(parts, own)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise OfaPoseError(
                f"rank {self.rank} waited in vain for the other ranks: {reason}"
            ) from error
        return parts


@dataclass(frozen=True)
class Failure:
    """What one rank tells the others of its error."""

    kind: type[OfaPoseError]
    message: str

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Return what can be told of an error; one that is no `OfaPoseError` by its name."""
        kind = type(error)
        if not issubclass(kind, OfaPoseError):
            return cls(OfaPoseError, f"{kind.__name__}: {error}".removesuffix(": "))
        # A kind that is made of more than a message cannot be made again from one.
        plain = kind.__init__ is OfaPoseError.__init__
        return cls(kind if plain else OfaPoseError, str(error))

    def error(self, whose: str) -> OfaPoseError:
        """Return the error that the other ranks raise; it begins with whose fault it was."""
        return self.kind(f"{whose}: {self.message}")
