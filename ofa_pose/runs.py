"""The folder of one run: refused when taken, described by `config.yaml`, told in `log.txt`."""

from __future__ import annotations

import contextlib
import errno
import logging
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

import yaml

import ofa_pose
from ofa_pose.errors import OfaPoseError, RunFolderError
from ofa_pose.files import atomic_write, remove_partial

try:
    import fcntl
except ImportError:  # not POSIX: two processes in one folder go unnoticed
    fcntl = None

CONFIG = "config.yaml"
LOG = "log.txt"
LOCK = ".lock"
EVENTS = "tensorboard"
RACE = "race"
REPORTED = "reported"
FORMAT = 1
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
_TOLD = 6  # differences that a message names

# What a run may leave in its folder; `force` deletes these, the tiers and nothing else.
_LEFTOVERS = (
    LOG, "metrics.csv", "checkpoint.pt", "checkpoint.previous.pt",
    "best.safetensors", "last.safetensors", f"{EVENTS}/events.out.tfevents.*",
    "archive.csv", "archive.jsonl", "baseline.csv", "baseline.jsonl", "front.csv", "front.png",
    "predictor.json", "report.html", "health.csv", "health.json", "health.jsonl",
    "results.json", "people.json", "overlay.mp4", "overlays/*.jpg",
    f"{RACE}/*.safetensors", f"{REPORTED}/*.safetensors",
)  # fmt: skip
_SUBFOLDERS = (EVENTS, RACE, REPORTED, "overlays")


class RowListener(Protocol):
    """What hears of a run's rows as they are written to its `metrics.csv`."""

    def append(self, row: Mapping[str, float]) -> None:
        """Take note of one row, which has a `step`."""
        ...

    def close(self) -> None:
        """Take note that the run's process ends; rows may follow when it is resumed."""
        ...


@dataclass(frozen=True)
class RunFolder:
    """A folder that one run owns; a context manager that ends the logging to `log.txt`.

    Attributes:
        path: the folder; it exists and can be written.
        resumed: whether it holds an earlier part of the same run.
        config: the resolved configuration as plain YAML values.
    """

    path: Path
    resumed: bool
    config: Mapping[str, Any]
    _handler: logging.Handler = field(repr=False, compare=False)
    _lock: IO[bytes] | None = field(repr=False, compare=False)
    _brief: bool = field(default=False, repr=False, compare=False)
    _listeners: list[RowListener] = field(default_factory=list, repr=False, compare=False)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        config: Mapping[str, Any],
        resume: bool = False,
        force: bool = False,
        free: Collection[str] = (),
        inputs: Collection[Path] = (),
        resumable: bool = True,
    ) -> RunFolder:
        """Create or take over the folder `path` and write `config.yaml`.

        Args:
            path: the folder; made if it is absent, accepted as it is if it is empty.
            config: what defines the run; nested mappings of plain values and paths.
            resume: go on with the run in the folder.
            force: delete the files of an earlier run of the same `verb` and start anew.
            free: dotted keys of `config` that may differ when a run is resumed (`workers`); one
                that is not given any more keeps its value.
            inputs: files the run reads, which `force` must not delete.
            resumable: whether the command can go on with a run, so that a message may say so.

        Raises:
            RunFolderError: the folder is taken, cannot be written, is being written by another
                process, holds no run to resume, holds a run with another configuration (the
                message names the keys), holds what a run of another `verb` has made, or an input
                that `force` would delete.
        """
        path = Path(path)
        config = _plain(config)
        if resume and force:
            raise RunFolderError("--resume and --force contradict each other; give one of them")
        verb = config.get("verb")
        # One that can be resumed keeps its folder, so that --resume begins in it.
        brief = not resumable and not path.exists()
        resumed, lock = _claim(
            path, verb=verb, resume=resume, force=force, inputs=inputs, resumable=resumable
        )
        try:
            remove_partial(path)
            if resumed:
                before = _read_config(path)
                _compare(path, before, config, free=free)
                kept = {key: before[key] for key in free if key in before and key not in config}
                config = {**config, **kept}
            header = {"format": FORMAT, "version": ofa_pose.__version__}
            atomic_write(
                path / CONFIG, yaml.safe_dump({**header, **config}, sort_keys=False, width=100)
            )
            return cls(path, resumed, config, _log_to(path / LOG), lock, brief)
        except BaseException:
            lock.close()
            raise

    @classmethod
    def seen(cls, path: str | Path, *, config: Mapping[str, Any], resumed: bool) -> RunFolder:
        """Return a folder that another process has opened; this one will not write there."""
        return cls(Path(path), resumed, config, logging.NullHandler(), None)

    def file(self, name: str) -> Path:
        """Return the path of the run's file `name`."""
        return self.path / name

    def listen(self, listener: RowListener) -> None:
        """Let `listener` hear of every row from now on, until the run is closed."""
        self._listeners.append(listener)

    def tell(self, row: Mapping[str, float]) -> None:
        """Tell the listeners of a row of `metrics.csv`."""
        for listener in self._listeners:
            listener.append(row)

    def close(self) -> None:
        """Stop writing to `log.txt` and close the listeners; may be called twice."""
        _stop_log(self._handler)
        if self._lock is not None:
            self._lock.close()
        while self._listeners:
            self._listeners.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            logging.getLogger(__name__).error("stopped: %s: %s", type(error).__name__, error)
        if isinstance(error, OfaPoseError) and not self.resumed and self._lock is not None:
            self._give_back()
        self.close()

    def _give_back(self) -> None:
        """Leave the folder empty, or as absent as it was, if nothing was made before a refusal."""
        visible = {file for file in self.path.iterdir() if not file.name.startswith(".")}
        made = {file for file in visible if file.name not in (CONFIG, LOG)}
        if any(file.is_dir() or file.stat().st_size for file in made):
            return
        _stop_log(self._handler)  # Windows deletes no open file
        for file in visible:
            file.unlink()
        with contextlib.suppress(OSError):  # Windows deletes no open file, the lock is one
            self.file(LOCK).unlink()
            if self._brief:
                self.path.rmdir()


def _claim(
    path: Path,
    *,
    verb: str | None,
    resume: bool,
    force: bool,
    inputs: Collection[Path],
    resumable: bool,
) -> tuple[bool, IO[bytes]]:
    """Make `path` a folder this run may write to.

    Returns:
        Whether an earlier run is continued, and the open lock file.
    """
    try:
        if path.exists() and not path.is_dir():
            raise RunFolderError(f"{path} is a file; a run needs a folder")
        if resume and not path.exists():
            raise RunFolderError(f"nothing to resume: the folder {path} does not exist")
        path.mkdir(parents=True, exist_ok=True)
        # A run that was killed while it began has left at most its lock and half a file.
        taken = any(not entry.name.startswith(".") for entry in path.iterdir())
        earlier = _read_config(path).get("verb") if taken else None
        old = _leftovers(path) if taken and not resume else []
        if not resume and verb is not None and earlier not in (None, verb):
            _refuse_to_replace(path, old, verb=earlier)
        if taken and not (resume or force):
            go_on = "--resume to continue it, " if resumable else ""
            raise RunFolderError(
                f"the folder {path} holds a run already; give {go_on}"
                "--force to replace it, or another folder"
            )
        _spare_inputs(path, old, inputs)
        busy = f"another process is running in {path}; wait for it or choose another folder"
        lock = lock_file(path / LOCK, busy)
        for file in old:
            file.unlink()
        for name in _SUBFOLDERS if old else ():
            _remove_if_empty(path / name)
    except OSError as error:
        raise RunFolderError(
            f"cannot write the run folder {path}: {error.strerror or error}"
        ) from error
    return taken and resume, lock


def _leftovers(path: Path) -> list[Path]:
    """Return what `force` deletes: all a run leaves, but for the configuration.

    That one is replaced in one go, so that the folder is a run's at every moment.
    """
    found = {file for pattern in _LEFTOVERS for file in path.glob(pattern)}
    for file in path.glob("*.yaml"):
        weights = file.with_suffix(".safetensors")
        if _is_tier(file, weights.name):
            found |= {file} | ({weights} if weights.exists() else set())
    # A tier's weights are written before its YAML.
    lone = (file for file in path.glob("*.safetensors") if not file.with_suffix(".yaml").exists())
    found |= {file for file in lone if _are_of_a_tier(file)}
    return [file for file in sorted(found) if file.name[0] != "."]


def _refuse_to_replace(path: Path, old: Collection[Path], *, verb: str) -> None:
    """Raise a RunFolderError if a run of `verb` has made more than its log."""
    made = sorted({file.relative_to(path).parts[0] for file in old} - {LOG})
    if made:
        more = f" and {len(made) - _TOLD} more" if len(made) > _TOLD else ""
        raise RunFolderError(
            f"the folder {path} holds what `{verb}` has made ({', '.join(made[:_TOLD])}{more}), "
            "which another command does not replace; choose another folder"
        )


def _remove_if_empty(folder: Path) -> None:
    """Remove a folder that a run has made, unless something of somebody else lies in it."""
    if folder.is_dir() and not folder.is_symlink():
        remove_partial(folder)
        with contextlib.suppress(OSError):
            folder.rmdir()


def is_of_a_run(file: Path) -> bool:
    """Whether a file is one that a run has left in its folder."""
    try:
        _read_config(file.parent)
    except (RunFolderError, OSError):
        return False
    return file.name == CONFIG or file in _leftovers(file.parent)


def _is_tier(file: Path, weights: str) -> bool:
    """Whether a YAML file is a tier whose weights have this name, as a run writes it."""
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
        return document["kind"] == "tier" and document["weights"]["file"] == weights
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError):
        return False


def _are_of_a_tier(weights: Path) -> bool:
    """Whether weights are a tier's, as they say themselves."""
    try:
        from safetensors import SafetensorError, safe_open
    except ModuleNotFoundError:  # on a device, where nothing is trained
        return False
    try:
        with safe_open(weights, "np") as file:
            return (file.metadata() or {}).get("kind") == "tier"
    except (OSError, SafetensorError):
        return False


def _spare_inputs(path: Path, old: Collection[Path], inputs: Collection[Path]) -> None:
    """Refuse to delete what the new run reads."""
    for file in inputs:
        if file.is_file() and any(other.exists() and other.samefile(file) for other in old):
            raise RunFolderError(
                f"--force would delete {file}, which this run reads; choose another folder "
                f"than {path}"
            )


def lock_file(path: Path, busy: str) -> IO[bytes]:
    """Return a file that is locked for this process until it is closed or the process ends.

    Args:
        path: made if it is absent; nobody else opens it, as closing it anywhere ends the lock.
        busy: what to say where another process has it.

    Raises:
        RunFolderError: another process has locked it.
        OSError: it cannot be written.
    """
    stream = path.open("ab")
    try:
        _try_lock(stream)
    except (BlockingIOError, PermissionError):
        stream.close()
        raise RunFolderError(busy) from None
    return stream


def _try_lock(stream: IO[bytes]) -> None:
    """Lock a file; where the file system has no locks, say so and do without."""
    if fcntl is None:
        return
    try:
        # Not flock: data workers would inherit that one and outlive a killed run with it.
        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        logging.getLogger(__name__).warning(
            "%s: the file system has no locks (%s); two runs in one folder would go unnoticed",
            stream.name,
            error.strerror,
        )


def _compare(
    path: Path, before: Mapping[str, Any], now: Mapping[str, Any], *, free: Collection[str]
) -> None:
    """Refuse when the run in `path` was started with another configuration than it has now."""
    if before.get("verb") != now.get("verb"):
        raise RunFolderError(
            f"cannot resume {path}: it is a run of `{before.get('verb')}`, not of "
            f"`{now.get('verb')}`; give another folder"
        )
    before, now = dict(_leaves(before)), dict(_leaves(now))
    differing = [
        f"{key} was {before.get(key, 'not set')!r} and is now {now.get(key, 'not set')!r}"
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key)
        and not any(key == name or key.startswith(f"{name}.") for name in free)
    ]
    if differing:
        told = differing[:_TOLD] + [f"{len(differing) - _TOLD} more"] * (len(differing) > _TOLD)
        raise RunFolderError(
            f"cannot resume {path}: {'; '.join(told)}; give the same values or another folder"
        )


def _read_config(path: Path) -> dict[str, Any]:
    """Return the configuration of the run in `path`; refuse a folder of something else."""
    file = path / CONFIG
    if not file.is_file():
        raise RunFolderError(
            f"the folder {path} is not empty and holds no {CONFIG} of a run; choose another"
        )
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise RunFolderError(f"{file} is damaged ({reason}); choose another folder") from error
    if not isinstance(found, dict) or not {"format", "version"} <= found.keys():
        raise RunFolderError(f"{file} is not of a run; choose another folder")
    if found["format"] != FORMAT:
        raise RunFolderError(
            f"{file} has format {found['format']!r}, this version reads {FORMAT}; "
            "choose another folder"
        )
    return {key: value for key, value in found.items() if key not in ("format", "version")}


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _leaves(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


def _plain(value: Any) -> Any:
    """Turn mappings, tuples and paths into what YAML writes and reads back unchanged."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value


class _LogFile(logging.FileHandler):
    """Loses what a full disk does not take: by then a run ends, of what it could not save."""

    set_level = False
    """Whether the last of the files that are open gives the package's level back."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


def _log_to(path: Path) -> _LogFile:
    """Send the package's messages from INFO on to the end of `path` as well."""
    handler = _LogFile(path, encoding="utf-8", errors="backslashreplace")
    handler.setLevel(logging.INFO)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("ofa_pose")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
        handler.set_level = True
    logger.addHandler(handler)
    return handler


def _stop_log(handler: logging.Handler) -> None:
    """Send nothing more to a run's log; may be called twice."""
    logger = logging.getLogger("ofa_pose")
    logger.removeHandler(handler)
    handler.close()
    if isinstance(handler, _LogFile) and handler.set_level:
        handler.set_level = False
        others = [other for other in logger.handlers if isinstance(other, _LogFile)]
        if others:
            others[0].set_level = True
        elif logger.level == logging.INFO:
            logger.setLevel(logging.NOTSET)
