"""What is to be measured: the networks of a kit, in a folder."""

from __future__ import annotations

import json
import zipfile
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
        if document.get("format") != FORMAT:
            raise MeasureError(
                f"{folder / KIT} has format {document.get('format')!r}, not {FORMAT}"
            )
        tasks = tuple(
            Task(
                entry["name"],
                entry["role"],
                entry["key"],
                tuple(map(tuple, entry["inputs"])),
                tuple(map(tuple, entry["units"])),
                tuple(entry["outputs"]),
                entry["rounds"],
            )
            for entry in document["networks"]
        )
        return cls(folder, document, tasks, sha256(content).hexdigest()[:16])

    @property
    def steps(self) -> int:
        """How often a network has its turn before everything is measured."""
        return sum(task.rounds for task in self.tasks)

    def models(self) -> zipfile.ZipFile:
        """The networks' bytes under their tasks' names; the caller closes it."""
        return zipfile.ZipFile(self.folder / MODELS)
