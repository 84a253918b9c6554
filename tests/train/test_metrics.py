"""metrics.csv: appended, widened, and cut back to the checkpoint's step."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from ofa_pose.errors import OfaPoseError, RunFolderError
from ofa_pose.train.metrics import MetricsFile, count_rows


def test_rows_and_new_columns(tmp_path: Path):
    path = tmp_path / "metrics.csv"
    metrics = MetricsFile(path, keep=0)
    assert path.read_text() == ""
    metrics.append({"step": 2, "loss": 0.1})
    metrics.append({"step": 4, "loss": 0.5, "AP": 0.25})
    metrics.append({"step": 6, "loss": 1e-9})
    metrics.sync()
    assert path.read_text() == "step,loss,AP\n2,0.1,\n4,0.5,0.25\n6,1e-09,\n"


def test_a_name_with_a_comma_is_one_column(tmp_path: Path):
    path = tmp_path / "metrics.csv"
    MetricsFile(path, keep=0).append({"step": 2, "AP, small": 0.25})
    assert path.read_text() == 'step,"AP, small"\n2,0.25\n'
    assert count_rows(path, "AP, small") == 1


def test_numbers_of_numpy_are_written_as_numbers(tmp_path: Path):
    path = tmp_path / "metrics.csv"
    MetricsFile(path, keep=0).append({"step": np.int64(2), "AP": np.float64(0.25)})  # pyright: ignore[reportArgumentType]
    assert path.read_text() == "step,AP\n2,0.25\n"


def test_a_full_disk_is_told_with_the_files_name(
    tmp_path: Path, full_disk: Callable[[], AbstractContextManager[None]]
):
    path = tmp_path / "metrics.csv"
    metrics = MetricsFile(path, keep=0)
    metrics.append({"step": 1})
    path.write_text("x" * 8192)
    message = r"^cannot write .*metrics\.csv: File too large$"
    with full_disk(), pytest.raises(OfaPoseError, match=message):
        metrics.append({"step": 2})


def test_count_rows(tmp_path: Path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss,AP\n2,0.1,\n4,0.5,0.25\n6,0.3,0.0\n")
    assert [count_rows(path, column) for column in ("step", "AP", "AR")] == [3, 2, 0]
    path.write_text("")
    assert count_rows(path, "AP") == 0


def test_resume_drops_later_rows_and_their_columns(tmp_path: Path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss,AP\n2,0.1,\n4,0.5,0.25\n6,0.3,\n")
    metrics = MetricsFile(path, keep=2)
    assert path.read_text() == "step,loss\n2,0.1\n"
    metrics.append({"step": 4, "loss": 0.5, "AP": 0.25})
    assert path.read_text() == "step,loss,AP\n2,0.1,\n4,0.5,0.25\n"


def test_line_cut_short_by_a_kill(tmp_path: Path):
    """The "1" is the beginning of "120,...", not step 1."""
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss\n100,0.5\n1")
    MetricsFile(path, keep=110)
    assert path.read_text() == "step,loss\n100,0.5\n"


def test_lost_rows_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    MetricsFile(tmp_path / "metrics.csv", keep=110)
    assert "the one of step 110 is not there" in caplog.text


def test_keep_nothing_starts_anew(tmp_path: Path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss\n100,0.5\n")
    MetricsFile(path, keep=0)
    assert path.read_text() == ""


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "step,loss\nx,2\n"])
def test_another_file(tmp_path: Path, content: str):
    path = tmp_path / "metrics.csv"
    path.write_text(content)
    with pytest.raises(RunFolderError, match="not a run's metrics file"):
        MetricsFile(path, keep=5)
    assert path.read_text() == content
