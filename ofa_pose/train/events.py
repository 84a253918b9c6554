"""The rows of `metrics.csv` as TensorBoard's event files."""

from __future__ import annotations

import importlib.util
import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from ofa_pose.errors import MissingExtraError, OfaPoseError

_NAME = "events.out.tfevents.{:04d}"
_VERSION = "brain.Event:2"  # of the format; the first record of every file


class EventFiles:
    """Rows as scalars, at their `step`; hears of a run's rows through `RunFolder.listen`.

    Each part of a run writes a file of its own. Its first row purges what an earlier part, killed
    after its last checkpoint, had told of that step and later ones.

    Torch's `SummaryWriter` writes the same records from a thread; here a row is on the disk when
    `append` returns, and a full disk is an error where it happens.

    Args:
        folder: where the files go; made with the first row.

    Raises:
        MissingExtraError: the package tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        require_tensorboard()
        self._folder = folder
        self._stream: IO[bytes] | None = None

    def append(self, row: Mapping[str, float]) -> None:
        """Write one row to the disk.

        Raises:
            OfaPoseError: the folder cannot be written or the disk is full.
        """
        step = int(row["step"])
        values = [
            {"tag": name, "simple_value": value} for name, value in row.items() if name != "step"
        ]
        try:
            if self._stream is None:
                self._stream = self._begin(step)
            _write(self._stream, step=step, summary={"value": values})
        except OSError as error:
            raise OfaPoseError(f"cannot write {self._folder}: {error.strerror or error}") from error

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _begin(self, step: int) -> IO[bytes]:
        """Open a file behind those that are there; it counts from `step` on."""
        self._folder.mkdir(parents=True, exist_ok=True)
        numbers = (file.suffix[1:] for file in self._folder.glob("*tfevents*"))
        number = 1 + max((int(text) for text in numbers if text.isdecimal()), default=-1)
        # Unbuffered, so that nothing is left to be written when it is closed.
        stream = (self._folder / _NAME.format(number)).open("xb", buffering=0)
        _write(stream, step=step, file_version=_VERSION)
        _write(stream, step=step, session_log={"status": "START"})
        return stream


def require_tensorboard() -> None:
    """Refuse what needs the package tensorboard where it is not installed.

    Raises:
        MissingExtraError: it is not.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise MissingExtraError(
            "TensorBoard comes with an extra; install it: pip install 'ofa-pose[tensorboard]'"
        )


def _write(stream: IO[bytes], **event: Any) -> None:
    from tensorboard.compat.proto.event_pb2 import (
        Event,  # pyright: ignore[reportAttributeAccessIssue]
    )
    from tensorboard.summary.writer.record_writer import RecordWriter

    record = io.BytesIO()
    RecordWriter(record).write(Event(wall_time=time.time(), **event).SerializeToString())
    left = record.getvalue()
    while left:  # a disk that is nearly full takes a part, and refuses the rest
        left = left[stream.write(left) :]
