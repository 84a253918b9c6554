"""What is to be measured: the networks of a kit, in a folder."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from .errors import MeasureError

FORMAT = 1
KIT, MODELS, RESULTS = "kit.json", "models.zip", "results.csv"

REFERENCE = "reference"
"""The role of the network that all others are compared with."""

_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, struct.error),
    *(LookupError, ValueError, EOFError, RuntimeError),
)
"""What reading a damaged archive raises."""


@dataclass(frozen=True)
class Task:
    """One network of a kit.

    Attributes:
        name: of the network, and of its file in `models.zip`.
        role: `cover` (times its units), `alone` (one unit as a network), `fit` or `check` (the
            whole network's time only), or `reference`.
        key: `<space>/<arch>`, or a lone unit's.
        inputs: shapes of its inputs without the batch.
        units: (name, key) of its units in order of execution.
        outputs: names of the units whose results it returns.
        rounds: how often its turn comes.
    """

    name: str
    role: str
    key: str
    inputs: tuple[tuple[int, ...], ...]
    units: tuple[tuple[str, str], ...]
    outputs: tuple[str, ...]
    rounds: int = 1

    @property
    def by_unit(self) -> bool:
        """Whether its units are timed, not only the whole."""
        return self.role == "cover"


@dataclass(frozen=True)
class Kit:
    """What is to be measured, and how often.

    Attributes:
        folder: with `kit.json` and `models.zip`.
        document: the content of `kit.json`.
        tasks: the networks.
        hash: of the file `kit.json`.
    """

    folder: Path
    document: Mapping[str, Any]
    tasks: tuple[Task, ...]
    hash: str

    @classmethod
    def load(cls, folder: Path) -> Kit:
        """Read a kit.

        Raises:
            MeasureError: it is missing, damaged or of another format.
        """
        try:
            content = (folder / KIT).read_bytes()
            document = json.loads(content)
        except OSError as error:
            raise MeasureError(f"cannot read {folder / KIT}: {error.strerror}") from None
        except ValueError:
            raise MeasureError(f"{folder / KIT} is damaged: it is not JSON") from None
        if not isinstance(document, dict):
            raise MeasureError(f"{folder / KIT} is damaged: it is not a kit")
        if document.get("format") != FORMAT:
            raise MeasureError(
                f"{folder / KIT} has format {document.get('format')!r}, not {FORMAT}"
            )
        try:
            tasks = tuple(map(_task, document["networks"]))
            _check(document, tasks)
        except KeyError as error:
            raise MeasureError(f"{folder / KIT} is damaged: {error} is missing") from None
        except TypeError:
            raise MeasureError(f"{folder / KIT} is damaged: it is not a kit") from None
        except ValueError as error:
            raise MeasureError(f"{folder / KIT} is damaged: {error}") from None
        return cls(folder, document, tasks, sha256(content).hexdigest()[:16])

    @property
    def steps(self) -> int:
        """How often a network has its turn before everything is measured."""
        return sum(task.rounds for task in self.tasks)

    @property
    def turns(self) -> list[tuple[int, Task]]:
        """(round, network) in the order they are measured in."""
        last = max(task.rounds for task in self.tasks)
        return [(turn, task) for turn in range(last) for task in self.tasks if turn < task.rounds]

    @property
    def reference(self) -> Task:
        """The network that all others are compared with."""
        return next(task for task in self.tasks if task.role == REFERENCE)

    def models(self) -> zipfile.ZipFile:
        """The networks' bytes under their tasks' names; the caller closes it.

        Raises:
            MeasureError: it cannot be read, or a network is missing.
        """
        path = self.folder / MODELS
        try:
            models = zipfile.ZipFile(path)
        except OSError as error:
            raise MeasureError(f"cannot read {path}: {error.strerror or error}") from None
        except _DAMAGED:
            raise MeasureError(f"{path} is damaged or cut short; copy it here again") from None
        held = set(models.namelist())
        missing = [task.name for task in self.tasks if task.name not in held]
        if missing:
            models.close()
            raise MeasureError(
                f"{path} is of another kit: {len(missing)} of {len(self.tasks)} networks are "
                f"missing, such as {missing[0]}; copy the whole folder here again"
            )
        return models

    def model(self, models: zipfile.ZipFile, task: Task) -> bytes:
        """One network out of what `models` opened.

        Raises:
            MeasureError: its bytes are damaged.
        """
        try:
            return models.read(task.name)
        except _DAMAGED:
            raise MeasureError(
                f"{self.folder / MODELS} is damaged at the network {task.name}; copy it here again"
            ) from None


def _task(entry: Mapping[str, Any]) -> Task:
    return Task(
        entry["name"],
        entry["role"],
        entry["key"],
        tuple(tuple(map(int, shape)) for shape in entry["inputs"]),
        tuple((name, key) for name, key in entry["units"]),
        tuple(entry["outputs"]),
        int(entry["rounds"]),
    )


def _check(document: Mapping[str, Any], tasks: tuple[Task, ...]) -> None:
    """Raise a ValueError where something of a kit cannot be used, a KeyError where it lacks."""
    if not isinstance(document["runtime"], str):
        raise ValueError("runtime is not a name")
    if not isinstance(document["spaces"], list):
        raise ValueError("spaces is not a list")
    if int(document["runs"]) < 1:
        raise ValueError("runs is less than 1")
    references = sum(task.role == REFERENCE for task in tasks)
    if references != 1:
        raise ValueError(f"it has {references} reference networks, not 1")
    if len({task.name for task in tasks}) < len(tasks):
        raise ValueError("two networks have one name")
    if all(task.rounds < 1 for task in tasks):
        raise ValueError("it has nothing to measure")
