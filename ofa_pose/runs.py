"""The folder of one run: refused when taken, described by `config.yaml`, told in `log.txt`."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import yaml

import ofa_pose
from ofa_pose.errors import RunFolderError
from ofa_pose.files import atomic_write

try:
    import fcntl
except ImportError:  # not POSIX: two processes in one folder go unnoticed
    fcntl = None

CONFIG = "config.yaml"
LOG = "log.txt"
LOCK = ".lock"
FORMAT = 1

# What a run may leave at the top of its folder; `force` deletes these and nothing else.
_LEFTOVERS = ("*.yaml", "*.txt", "*.csv", "*.png", "*.pt", "*.safetensors")


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
    _lock: IO[bytes] = field(repr=False, compare=False)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        config: Mapping[str, Any],
        resume: bool = False,
        force: bool = False,
        free: Collection[str] = (),
    ) -> RunFolder:
        """Create or take over the folder `path` and write `config.yaml`.

        Args:
            path: the folder; made if it is absent, accepted as it is if it is empty.
            config: what defines the run; nested mappings of plain values and paths.
            resume: go on with the run in the folder.
            force: delete the earlier run's files and start anew.
            free: dotted keys of `config` that may differ when a run is resumed (`workers`).

        Raises:
            RunFolderError: the folder is taken, cannot be written, is being written by another
                process, holds no run to resume, or holds a run with another configuration (the
                message names the keys).
        """
        path = Path(path)
        config = _plain(config)
        if resume and force:
            raise RunFolderError("--resume and --force contradict each other; give one of them")
        resumed, lock = _claim(path, resume=resume, force=force)
        try:
            if resumed:
                _compare(path, config, free=free)
            header = {"format": FORMAT, "version": ofa_pose.__version__}
            atomic_write(
                path / CONFIG, yaml.safe_dump({**header, **config}, sort_keys=False, width=100)
            )
            return cls(path, resumed, config, _log_to(path / LOG), lock)
        except BaseException:
            lock.close()
            raise

    def file(self, name: str) -> Path:
        """Return the path of the run's file `name`."""
        return self.path / name

    def close(self) -> None:
        """Stop writing to `log.txt`; may be called twice."""
        logging.getLogger("ofa_pose").removeHandler(self._handler)
        self._handler.close()
        self._lock.close()

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
        self.close()


def _claim(path: Path, *, resume: bool, force: bool) -> tuple[bool, IO[bytes]]:
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
        taken = any(entry.name != LOCK for entry in path.iterdir())
        if taken:
            _read_config(path)
        if taken and not (resume or force):
            raise RunFolderError(
                f"the folder {path} holds a run already; give --resume to continue it, "
                "--force to replace it, or another folder"
            )
        lock = _lock(path)
        if taken and force:
            for pattern in _LEFTOVERS:
                for file in path.glob(pattern):
                    file.unlink()
    except OSError as error:
        raise RunFolderError(
            f"cannot write the run folder {path}: {error.strerror or error}"
        ) from error
    return taken and resume, lock


def _lock(path: Path) -> IO[bytes]:
    """Lock the folder for this process; the lock ends with the process, however that ends."""
    stream = (path / LOCK).open("ab")
    try:
        if fcntl is not None:
            # Not flock: data workers would inherit that one and outlive a killed run with it.
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        stream.close()
        raise RunFolderError(
            f"another process is running in {path}; wait for it or choose another folder"
        ) from None
    return stream


def _compare(path: Path, config: Mapping[str, Any], *, free: Collection[str]) -> None:
    """Refuse when the run in `path` was started with another configuration."""
    before = dict(_leaves(_read_config(path)))
    now = dict(_leaves(config))
    differing = [
        f"{key} was {before.get(key, 'not set')!r} and is now {now.get(key, 'not set')!r}"
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key)
        and not any(key == name or key.startswith(f"{name}.") for name in free)
    ]
    if differing:
        raise RunFolderError(
            f"cannot resume {path}: {'; '.join(differing)}; give the same values or another folder"
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


def _log_to(path: Path) -> logging.Handler:
    """Send the package's messages from INFO on to the end of `path` as well."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setLevel(logging.INFO)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("ofa_pose")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    return handler
