"""The archive: every evaluated arch, on disk after each evaluation, and read back exactly."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ofa_pose.errors import RunFolderError
from ofa_pose.files import atomic_write
from ofa_pose.search.evaluation import Evaluation
from ofa_pose.search.ranking import front
from ofa_pose.search.table import from_csv, to_csv
from ofa_pose.space import SearchSpace

_FORMAT = 1


class Archive:
    """Evaluations in the order they were proposed; each arch at most once.

    With a `path`, two files are kept: `path` (CSV) is replaced atomically after every `add`, and
    beside it `path` with suffix `.json` holds the space's name and hash and the settings.

    Attributes:
        space: the space the archs belong to.
        settings: what the search was run with, as JSON values; kept, compared on resume.
        path: of the CSV, or None to keep nothing on disk.
    """

    def __init__(
        self, space: SearchSpace, *, settings: Mapping[str, Any], path: str | Path | None = None
    ) -> None:
        self.space = space
        self.settings = dict(settings)
        self.path = None if path is None else Path(path)
        self._by_index: dict[int, Evaluation] = {}

    @classmethod
    def create(
        cls, path: str | Path, space: SearchSpace, *, settings: Mapping[str, Any]
    ) -> Archive:
        """Return a new, empty archive that is already on disk, so that a bad path shows at once.

        Raises:
            RunFolderError: there is an archive already.
            OfaPoseError: the folder cannot be written.
        """
        archive = cls(space, settings=settings, path=path)
        if Path(path) == header_path(path):
            raise RunFolderError(f"an archive is a CSV file, so {path} cannot be one; use .csv")
        if Path(path).exists():
            raise RunFolderError(f"{path} exists; resume that search or choose another folder")
        header = {
            "format": _FORMAT,
            "space": space.name,
            "space_hash": space.hash,
            "settings": archive.settings,
        }
        atomic_write(header_path(path), json.dumps(header, indent=2) + "\n")
        archive.save()
        return archive

    @classmethod
    def load(cls, path: str | Path, space: SearchSpace) -> Archive:
        """Return the archive that was saved at `path`.

        Raises:
            RunFolderError: a file is missing or damaged, or belongs to another space.
        """
        header = _read_header(path)
        if header["space_hash"] != space.hash:
            raise RunFolderError(
                f"{path} belongs to space {header['space']!r} ({header['space_hash']}), "
                f"not to {space.name!r} ({space.hash})"
            )
        archive = cls(space, settings=header["settings"], path=path)
        try:
            for evaluation in from_csv(_read(Path(path)), space, source=str(path)):
                archive._put(evaluation)
        except ValueError as error:
            raise RunFolderError(f"{path} is damaged: {error}") from error
        return archive

    @classmethod
    def resume(
        cls, path: str | Path, space: SearchSpace, *, settings: Mapping[str, Any]
    ) -> Archive:
        """Return the archive at `path` if it was made with these settings, to go on with it.

        Raises:
            RunFolderError: as `load`; or another setting, all of which the message names.
        """
        archive = cls.load(path, space)
        now = json.loads(json.dumps(dict(settings)))
        differing = [
            f"{name} was {archive.settings.get(name)!r}, is {now.get(name)!r}"
            for name in {**archive.settings, **now}
            if archive.settings.get(name) != now.get(name)
        ]
        if differing:
            raise RunFolderError(
                f"cannot resume {path}: {'; '.join(differing)}; use the same settings or "
                "another folder"
            )
        return archive

    def add(self, evaluation: Evaluation) -> None:
        """Keep an evaluation, and save.

        Raises:
            ValueError: its arch or its order is already there.
        """
        self._put(evaluation)
        self.save()

    def save(self) -> None:
        """Write the CSV; nothing happens without a `path`."""
        if self.path is not None:
            atomic_write(self.path, to_csv(self, self.space))

    def front(self, *, objective: str, costs: Sequence[str]) -> tuple[Evaluation, ...]:
        """Return the Pareto front over `costs` (lower) and `objective` (higher); see `ranking`."""
        return front(self, objective=objective, costs=costs)

    def __len__(self) -> int:
        return len(self._by_index)

    def __iter__(self) -> Iterator[Evaluation]:
        return iter(sorted(self._by_index.values(), key=lambda row: row.order))

    def has(self, index: int) -> bool:
        """Whether the arch with this index was evaluated."""
        return index in self._by_index

    def _put(self, evaluation: Evaluation) -> None:
        if evaluation.index in self._by_index:
            raise ValueError(f"arch {evaluation.arch.key} is in the archive already")
        self._by_index[evaluation.index] = evaluation


def header_path(path: str | Path) -> Path:
    """Return where the space and the settings of an archive are kept."""
    return Path(path).with_suffix(".json")


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise RunFolderError(f"cannot read {path}: {reason}") from error


def _read_header(path: str | Path) -> dict[str, Any]:
    beside = header_path(path)
    try:
        header = json.loads(_read(beside))
    except json.JSONDecodeError as error:
        raise RunFolderError(f"{beside} is not JSON: {error}") from error
    expected = {"format", "space", "space_hash", "settings"}
    if not isinstance(header, dict) or not expected <= header.keys():
        raise RunFolderError(f"{beside} does not describe an archive")
    if header["format"] != _FORMAT:
        raise RunFolderError(
            f"{beside} has format {header['format']}; this version reads {_FORMAT}"
        )
    return header
