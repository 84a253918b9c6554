"""Files that are either the old version or the new one, never half of one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from ofa_pose.errors import OfaPoseError

_PARTIAL = re.compile(r"\..*~[a-z0-9_]{8}(\.[^.]+)?")
"""Name of a file that is being written; the suffix is the final file's."""
LONGEST_NAME = 255
"""Bytes that a file's name may have, on nearly every file system."""
_KEPT = 100  # bytes of a long stem or suffix that the name of a file being written tells


@contextlib.contextmanager
def atomic_path(path: str | Path, *, previous: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed to `path`.

    Whatever happens in between (an exception, a full disk, `kill -9`), `path` holds either its
    old content or the whole new one.

    Args:
        path: what is written.
        previous: a path beside it that the old file is renamed to once the new one is whole;
            a kill between the two renames leaves it there and nothing at `path`.

    Raises:
        OfaPoseError: the folder cannot be written or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stem, suffix = shortened(path.stem, _KEPT), shortened(path.suffix, _KEPT)
        temporary = path.with_name(f".{stem}~{secrets.token_hex(4)}{suffix}")
        mode = _create(temporary)
        try:
            yield temporary
            temporary.chmod(mode)  # safetensors puts a file of its own there
            with temporary.open("r+b") as stream:  # Windows syncs only what may be written
                os.fsync(stream.fileno())
            if previous is not None and path.exists():
                path.replace(previous)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OfaPoseError(f"cannot write {path}: {error.strerror or error}") from error


def _create(path: Path) -> int:
    """Make an empty file that was not there; return its permissions, which heed the umask."""
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return stat.S_IMODE(os.fstat(handle).st_mode)
    finally:
        os.close(handle)


def remove_partial(folder: str | Path) -> None:
    """Remove what a killed process was writing into `folder`; nobody else may be writing there.

    Raises:
        OfaPoseError: the folder cannot be written.
    """
    try:
        for file in Path(folder).iterdir():
            if _PARTIAL.fullmatch(file.name):
                file.unlink(missing_ok=True)
    except OSError as error:
        raise OfaPoseError(f"cannot write {folder}: {error.strerror or error}") from error


def atomic_write(path: str | Path, content: str | bytes) -> None:
    """Write `content` to `path` atomically; see `atomic_path`.

    Text is written as UTF-8; what UTF-8 has not, such as a byte of a file's odd name, is escaped.
    """
    if isinstance(content, str):
        content = content.encode(errors="backslashreplace")
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hex digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def shortened(name: str, most_bytes: int) -> str:
    """Return the beginning of a name that takes at most so many bytes, whole characters of it."""
    name = name[:most_bytes]  # no character takes less than one
    while len(name.encode(errors="replace")) > most_bytes:  # what is no UTF-8 is a byte each
        name = name[:-1]
    return name


def is_encodable(text: str) -> bool:
    """Say whether a text can name a file; an empty one and half a surrogate pair cannot."""
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False
