"""What archs got, on disk as soon as it is measured.

A race tells the outcome of a batch at its end, a report that of all its archs. So that a search
that is killed within one loses at most what was being measured, each outcome has a file of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ofa_pose.files import atomic_write, remove_partial
from ofa_pose.search.workers import Workers

_LOG = logging.getLogger(__name__)


class Arrays(Protocol):
    """A measurement that is made of arrays and made again from them."""

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return them by the names that a measurement is made with."""
        ...


Kept = TypeVar("Kept", bound=Arrays)
Task = TypeVar("Task", int, tuple[int, int])


class KeptWorkers(Generic[Task, Kept]):
    """Workers whose results are kept in a folder, and read from it where they are there.

    A result that is there is taken as it is: the folder belongs to one search. A file that is
    damaged is measured again. Failures are not kept.

    Args:
        workers: evaluate the index of an arch, or index and part; closed with this.
        folder: made when the first result is kept; nobody else writes there.
        make: makes a result from its arrays.

    Raises:
        OfaPoseError: what a killed process left there cannot be removed.
    """

    def __init__(
        self,
        workers: Workers[Task, Kept],
        folder: Path,
        make: Callable[..., Kept],
    ) -> None:
        self._workers = workers
        self._folder = folder
        self._make = make
        if folder.exists():
            remove_partial(folder)

    def evaluate(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Kept | Exception]]:
        """Yield each task with its outcome: first those that are kept, then the others.

        Raises:
            OfaPoseError: a result cannot be written.
        """
        missing = []
        for task in tasks:
            known = self._read(self._path(task))
            if known is None:
                missing.append(task)
            else:
                yield task, known
        for task, outcome in self._workers.evaluate(missing):
            if not isinstance(outcome, Exception):
                # What is not contiguous would be written in another order, without a warning.
                arrays = {key: np.ascontiguousarray(a) for key, a in outcome.arrays().items()}
                atomic_write(self._path(task), save(arrays))
            yield task, outcome

    def close(self) -> None:
        """Close the workers."""
        self._workers.close()

    def _path(self, task: Task) -> Path:
        name = str(task) if isinstance(task, int) else "-".join(map(str, task))
        return self._folder / f"{name}.safetensors"

    def _read(self, path: Path) -> Kept | None:
        try:
            return self._make(**load(path.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, TypeError, KeyError, ValueError, SafetensorError):
            _LOG.warning("%s is damaged, what it held is measured again", path)
            return None
