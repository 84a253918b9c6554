"""Files that a user names to be written: what may not be replaced, not even by `--force`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ofa_pose.errors import RunFolderError
from ofa_pose.runs import is_of_a_run

_PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"}


def output_file(
    path: str | Path, *, force: bool = False, reads: Iterable[str | Path | None] = ()
) -> Path:
    """Return where to write what is to be found at `path`: the target, where that is a link.

    Args:
        path: as the user named it.
        force: overwrite a file that exists.
        reads: files that the command reads, and folders whose pictures it reads; None and names
            that are no path are passed over.

    Raises:
        RunFolderError: something is there that is no plain file, that is read, or that is one of
            a run's files; a file is there and `force` is not set; the folder cannot be written.
    """
    path = Path(path)
    try:
        target = path.resolve() if path.is_symlink() else path
        exists = target.exists()
        is_file = target.is_file()
        in_circle = target.is_symlink()  # from Python 3.13 on; before, it is an error
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, too long a name
        raise RunFolderError(f"cannot write {path}: {error}") from None
    if in_circle:
        raise RunFolderError(f"cannot write {path}: its links lead in a circle")
    if target.is_dir():
        raise RunFolderError(f"{path} is a folder; give a file's name")
    if exists and not is_file:
        raise RunFolderError(f"{path} is a device, a pipe or a socket; give a file's name")
    if exists:
        _spare(path, target, reads)
        if not force:
            raise RunFolderError(f"{path} exists; use --force to overwrite it")
    folder = next(parent for parent in target.absolute().parents if parent.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise RunFolderError(f"cannot write {path}: {folder} is no folder that may be written to")
    return target


def _spare(path: Path, target: Path, reads: Iterable[str | Path | None]) -> None:
    """Refuse to replace what is read, or what a run has made."""
    for read in (Path(name) for name in reads if name is not None):
        if read.is_file() and read.samefile(target):
            raise RunFolderError(f"{path} is a file that this command reads; write another")
        among = target.resolve().is_relative_to(read.resolve())
        if read.is_dir() and among and target.suffix.lower() in _PICTURES:
            raise RunFolderError(f"{path} lies among the pictures of {read}; write elsewhere")
    if is_of_a_run(target):
        raise RunFolderError(
            f"{path} is a file of the run in {target.parent}, which needs it; write another"
        )
