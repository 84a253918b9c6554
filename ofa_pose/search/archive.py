"""The archive: every evaluated arch, on disk when its evaluation ends, and read back exactly."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ofa_pose.errors import ArchError, OfaPoseError, RunFolderError, UnknownNameError, UsageError
from ofa_pose.files import atomic_write
from ofa_pose.runs import lock_file
from ofa_pose.search import journal
from ofa_pose.search.evaluation import Evaluation
from ofa_pose.search.proposal import Phase, Proposal
from ofa_pose.search.ranking import front
from ofa_pose.search.table import to_csv
from ofa_pose.space import SearchSpace
from ofa_pose.space.frozen import FrozenDict

_FORMAT = 2
_CHANGEABLE = ("budgets", "costs")


class Archive:
    """Evaluations in the order they were proposed (each arch at most once), and the proposals.

    With a `path`, a journal is kept beside it (`path` with suffix `.jsonl`): one JSON line for
    every phase, generation and evaluation, appended and synced when it happens. The journal is
    the state that a search resumes from. `path` itself is a CSV of the evaluations for people
    and pandas, in the order of proposals; `save` replaces it atomically.

    Attributes:
        space: the space the archs belong to.
        phases: what the search was run with; the last one is now.
        path: of the CSV, or None to keep nothing on disk.
    """

    def __init__(
        self, space: SearchSpace, *, settings: Mapping[str, Any], path: str | Path | None = None
    ) -> None:
        self.space = space
        self.phases = [Phase(dict(settings))]
        self.path = None if path is None else Path(path)
        self._by_index: dict[int, Evaluation] = {}
        self._generations: dict[int, tuple[Proposal, ...]] = {}

    @classmethod
    def create(
        cls, path: str | Path, space: SearchSpace, *, settings: Mapping[str, Any]
    ) -> Archive:
        """Return a new, empty archive that is already on disk, so that a bad path shows at once.

        Raises:
            UsageError: `path` does not end in `.csv`.
            RunFolderError: there is an archive already.
            OfaPoseError: the folder cannot be written.
        """
        archive = cls(space, settings=settings, path=path)
        for file in (Path(path), journal_path(path)):
            if file.exists():
                raise RunFolderError(f"{file} exists; resume that search or choose another folder")
        journal.create(journal_path(path), archive._header(archive.phase))
        archive.save()
        return archive

    @classmethod
    def load(cls, path: str | Path, space: SearchSpace) -> Archive:
        """Return the archive whose CSV is `path`, read from its journal; nothing is written.

        Raises:
            UsageError: `path` does not end in `.csv`.
            RunFolderError: the journal is missing or damaged, or belongs to another space.
        """
        return cls._load(path, space)[0]

    @classmethod
    def resume(
        cls,
        path: str | Path,
        space: SearchSpace,
        *,
        settings: Mapping[str, Any],
        evaluations: int = 0,
    ) -> Archive:
        """Return the archive at `path`, to go on with it.

        Other budgets than those it was made with begin a new phase. A tier that is new gets a
        fair share of `evaluations` to itself, beyond those already made.

        Args:
            path: of the CSV.
            space: the archive's.
            settings: as `describe` returns them.
            evaluations: how many the search may make in all.

        Raises:
            UsageError: `path` does not end in `.csv`.
            RunFolderError: as `load`; or another setting, all of which the message names; or a
                cost that has changed.
        """
        archive, size = cls._load(path, space)
        now = json.loads(json.dumps(dict(settings)))
        before = archive.phase.settings
        differing = [
            f"{name} was {before.get(name)!r}, is {now.get(name)!r}"
            for name in {**before, **now}
            if name not in _CHANGEABLE and before.get(name) != now.get(name)
        ]
        for phase in archive.phases:
            differing += _changed_costs(phase.settings, now)
        if differing:
            raise RunFolderError(
                f"cannot resume {path}: {'; '.join(dict.fromkeys(differing))}; use the same "
                "settings or another folder"
            )
        journal.cut(journal_path(path), size)
        if before.get("budgets") != now.get("budgets"):
            archive._begin(now, evaluations=evaluations)
        return archive

    @property
    def phase(self) -> Phase:
        """The phase that the search is in."""
        return self.phases[-1]

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the search is run with, as JSON values."""
        return self.phase.settings

    def add(self, evaluation: Evaluation) -> None:
        """Keep an evaluation; it is on disk when this returns, and nowhere where it cannot be.

        Raises:
            ValueError: its arch is already there.
        """
        self._put(evaluation)
        try:
            self._append({"evaluation": _plain(evaluation)})
        except Exception:
            del self._by_index[evaluation.index]
            raise

    def revise(self, evaluation: Evaluation) -> None:
        """Put an evaluation in the place of an earlier one of its arch; it is on disk then.

        Raises:
            KeyError: the arch is not there.
        """
        self._revise(evaluation)
        self._append({"revision": _plain(evaluation)})

    def propose(self, generation: int, proposals: Sequence[Proposal]) -> None:
        """Keep what a generation is made of; a resumed search does not make it again."""
        self._generations[generation] = tuple(proposals)
        rows = [[proposal.order, proposal.tier, proposal.index] for proposal in proposals]
        self._append({"generation": generation, "proposals": rows})

    def proposals(self, generation: int) -> tuple[Proposal, ...] | None:
        """Return what a generation is made of, or None where it was not made yet."""
        return self._generations.get(generation)

    def all_proposals(self) -> Iterator[Proposal]:
        """Yield the proposals of every generation that was made."""
        for proposals in self._generations.values():
            yield from proposals

    def save(self) -> None:
        """Write the CSV; nothing happens without a `path`."""
        if self.path is not None:
            atomic_write(self.path, to_csv(self, self.space))

    def add_costs(self, costs: Mapping[str, np.ndarray]) -> None:
        """Give every evaluation the costs (archs,) that it lacks: new budgets may bring them."""
        for index, row in self._by_index.items():
            found = {name: values[index].item() for name, values in costs.items()}
            if row.costs != found:
                self._by_index[index] = replace(row, costs=FrozenDict({**found, **row.costs}))

    def front(self, *, objective: str, costs: Sequence[str]) -> tuple[Evaluation, ...]:
        """Return the Pareto front over `costs` (lower) and `objective` (higher); see `ranking`.

        Raises:
            UnknownNameError: no evaluation has the score or one of the costs.
        """
        scores = {name for row in self._by_index.values() for name in row.scores}
        if scores and objective not in scores:
            raise UnknownNameError("score", objective, scores)
        known = {name for row in self._by_index.values() for name in row.costs}
        for name in costs if known else ():
            if name not in known:
                raise UnknownNameError("cost", name, known)
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

    def _revise(self, evaluation: Evaluation) -> None:
        if evaluation.index not in self._by_index:
            raise KeyError(f"arch {evaluation.arch.key} is not in the archive")
        self._by_index[evaluation.index] = evaluation

    def _append(self, record: Mapping[str, Any]) -> None:
        if self.path is not None:
            journal.append(journal_path(self.path), record)

    def _begin(self, settings: Mapping[str, Any], *, evaluations: int) -> None:
        """Begin a phase with other budgets."""
        known = {_limits(budget) for phase in self.phases for budget in phase.settings["budgets"]}
        budgets = settings["budgets"]
        added = tuple(budget[0] for budget in budgets if _limits(budget) not in known)
        share = -(-evaluations // len({_limits(b) for b in budgets} | known))
        made = [row.order for row in self]
        phase = Phase(
            settings,
            generation=max(self._generations, default=-1) + 1,
            order=max(made, default=-1) + 1,
            done=len(self),
            added=added,
            extra=share * len(added),
        )
        self.phases.append(phase)
        self._append(self._header(phase))

    def _header(self, phase: Phase) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "space": self.space.name,
            "space_hash": self.space.hash,
            "phase": asdict(phase),
        }

    @classmethod
    def _load(cls, path: str | Path, space: SearchSpace) -> tuple[Archive, int]:
        source = journal_path(path)
        records, size = journal.read(source)
        head = records[0]
        if not {"format", "space", "space_hash", "phase"} <= head.keys():
            raise RunFolderError(f"{source} is no archive's journal")
        if head["format"] != _FORMAT:
            raise RunFolderError(
                f"{source} has format {head['format']}; this version reads {_FORMAT}"
            )
        if head["space_hash"] != space.hash:
            raise RunFolderError(
                f"{source} belongs to space {head['space']!r} ({head['space_hash']}), "
                f"not to {space.name!r} ({space.hash})"
            )
        archive = cls(space, settings={}, path=path)
        archive.phases.clear()
        for number, record in enumerate(records, 1):
            try:
                archive._replay(record)
            except (KeyError, TypeError, ValueError, IndexError, ArchError) as error:
                reason = f"{type(error).__name__}: {error}"
                message = f"{source}, line {number}, is damaged: {reason}"
                raise RunFolderError(message) from error
        return archive, size

    def _replay(self, record: Mapping[str, Any]) -> None:
        if "phase" in record:
            fields = {**record["phase"], "added": tuple(record["phase"]["added"])}
            self.phases.append(Phase(**fields))
        elif "proposals" in record:
            generation = int(record["generation"])
            self._generations[generation] = tuple(
                Proposal(int(order), generation, str(tier), int(index))
                for order, tier, index in record["proposals"]
            )
        elif "revision" in record:
            self._revise(_parse(record["revision"], self.space))
        else:
            row = _parse(record["evaluation"], self.space)
            if self.has(row.index):
                raise ValueError(
                    f"arch {row.arch.key} is in the archive already, as where two processes have "
                    "searched at once"
                )
            self._put(row)


@contextlib.contextmanager
def locked(path: str | Path | None) -> Iterator[None]:
    """Keep other processes that do likewise from an archive; without a `path` nothing happens.

    The lock has a file of its own, `.<name>.lock`, which stays: a lock on the journal would end
    whenever this process closes it.

    Raises:
        UsageError: `path` does not end in `.csv`.
        RunFolderError: another process has the archive.
        OfaPoseError: the folder cannot be written.
    """
    if path is None:
        yield
        return
    file = journal_path(path).with_name(f".{Path(path).stem}.lock")
    busy = f"another process is searching with {path}; wait for it or choose another path"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        stream = lock_file(file, busy)
    except OSError as error:
        raise OfaPoseError(f"cannot write {path}: {error.strerror or error}") from error
    with stream:
        yield


def journal_path(path: str | Path) -> Path:
    """Return where the journal of an archive is kept.

    Raises:
        UsageError: `path` does not end in `.csv`; two such could share a journal.
    """
    if Path(path).suffix != ".csv":
        raise UsageError(f"an archive is a CSV file, so {str(path)!r} cannot be one; use .csv")
    return Path(path).with_suffix(".jsonl")


def _plain(row: Evaluation) -> dict[str, Any]:
    return {
        "order": row.order,
        "generation": row.generation,
        "tier": row.tier,
        "index": row.index,
        "arch": row.arch.key,
        "costs": dict(row.costs),
        "scores": dict(row.scores),
        "error": row.error,
    }


def _parse(record: Mapping[str, Any], space: SearchSpace) -> Evaluation:
    index = int(record["index"])
    if not 0 <= index < len(space):
        raise ValueError(f"there is no arch {index} in {space.name!r}")
    key = space[index].key
    if key != record["arch"]:
        raise ValueError(f"{record['arch']} is not arch {index}, {key}")
    costs = {str(name): _number(cost) for name, cost in record["costs"].items()}
    return Evaluation.of(
        space,
        index,
        order=int(record["order"]),
        generation=int(record["generation"]),
        tier=str(record["tier"]),
        costs=costs,
        scores={str(name): float(score) for name, score in record["scores"].items()},
        error=str(record["error"]),
    )


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number")
    return value


def _limits(budget: Sequence[Any]) -> tuple[tuple[str, float], ...]:
    return tuple((str(cost), float(value)) for cost, value in budget[1:])


def _changed_costs(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    old, new = before.get("costs", {}), now.get("costs", {})
    return [
        f"the costs called {name} were others"
        for name in old
        if name in new and old[name] != new[name]
    ]
