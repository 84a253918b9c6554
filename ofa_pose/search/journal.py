"""An append-only file of JSON lines: what was appended is on the disk when `append` returns.

A process that is killed leaves at most one unfinished line at the end; it is passed over when the
file is read, and cut off before anything more is appended.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ofa_pose.errors import OfaPoseError, RunFolderError
from ofa_pose.files import atomic_write

logger = logging.getLogger(__name__)
_BINARY = getattr(os, "O_BINARY", 0)  # Windows would write a line's end as two bytes


def create(path: Path, record: Mapping[str, Any]) -> None:
    """Write a new journal of one record, atomically.

    Raises:
        OfaPoseError: the file cannot be written.
    """
    atomic_write(path, _line(record))


def append(path: Path, record: Mapping[str, Any]) -> None:
    """Add a record to the end and wait until it is on the disk.

    Raises:
        OfaPoseError: the file cannot be written; it is then as it was before.
    """
    line = _line(record).encode()
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | _BINARY)
        try:
            before = os.fstat(handle).st_size
            try:
                written = os.write(handle, line)
                if written != len(line):
                    raise OSError(None, "the disk is full")
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, before)
                raise
        finally:
            os.close(handle)
    except OSError as error:
        raise OfaPoseError(f"cannot write {path}: {error.strerror or error}") from error


def read(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the records, and how many bytes hold them: less than the file has after a kill.

    Raises:
        RunFolderError: the file cannot be read, or a line other than the last is damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunFolderError(f"cannot read {path}: {error.strerror or error}") from error
    records: list[dict[str, Any]] = []
    size = 0
    lines = content.splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line.decode()) if line.endswith(b"\n") else None
        except ValueError:
            record = None
        if not isinstance(record, dict):
            if number == len(lines) and records:
                logger.warning("%s ends in an unfinished line, which is passed over", path)
                break
            raise RunFolderError(f"{path}, line {number}, is damaged: it is no JSON record")
        records.append(record)
        size += len(line)
    if not records:
        raise RunFolderError(f"{path} is empty")
    return records, size


def cut(path: Path, size: int) -> None:
    """Cut the file off after `size` bytes, where it is longer.

    Raises:
        OfaPoseError: the file cannot be written.
    """
    try:
        if path.stat().st_size > size:
            os.truncate(path, size)
    except OSError as error:
        raise OfaPoseError(f"cannot write {path}: {error.strerror or error}") from error


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":")) + "\n"
