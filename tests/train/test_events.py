"""TensorBoard shows the rows of metrics.csv, each once, also after a kill."""

import csv
import importlib.util
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from ofa_pose import build, load_space
from ofa_pose.errors import MissingExtraError, OfaPoseError
from ofa_pose.runs import EVENTS, RunFolder
from ofa_pose.train import Cadence, Recipe, TrainBudget, finetune
from ofa_pose.train.events import EventFiles

Scalars = dict[str, list[tuple[int, float]]]
installed = pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="the extra is not installed"
)


def shown(folder: Path) -> Scalars:
    """Return what TensorBoard makes of a folder: scalar by name, its steps and values."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    return {
        name: [(event.step, event.value) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


@installed
def test_rows_are_scalars_at_their_steps(tmp_path: Path):
    events = EventFiles(tmp_path / "events")
    assert not (tmp_path / "events").exists()
    events.append({"step": 4, "loss": 0.5})
    events.append({"step": 8, "loss": 0.25, "AP": 0.125})
    expected = {"loss": [(4, 0.5), (8, 0.25)], "AP": [(8, 0.125)]}
    assert shown(tmp_path / "events") == expected  # on the disk before it is closed
    events.close()
    events.close()
    assert shown(tmp_path / "events") == expected


@installed
def test_what_was_told_before_is_forgotten_from_the_first_step_on(tmp_path: Path):
    for rows in ([(4, 1.0), (6, 2.0), (8, 3.0)], [(6, 2.0), (7, 4.0)]):
        events = EventFiles(tmp_path)
        for step, loss in rows:
            events.append({"step": step, "loss": loss})
        events.close()
    assert shown(tmp_path) == {"loss": [(4, 1.0), (6, 2.0), (7, 4.0)]}


@installed
def test_a_file_that_was_deleted_stops_no_run(tmp_path: Path):
    for step in (1, 2, 3):
        if step == 3:
            min(tmp_path.iterdir()).unlink()
        events = EventFiles(tmp_path)
        events.append({"step": step, "loss": 0.5})
        events.close()
    assert shown(tmp_path) == {"loss": [(2, 0.5), (3, 0.5)]}


@installed
def test_a_full_disk(tmp_path: Path, full_disk: Callable[[], AbstractContextManager[None]]):
    events = EventFiles(tmp_path / "events")
    events.append({"step": 1, "loss": 0.5})
    many = {"step": 2, **{f"loss{number}": 0.5 for number in range(1000)}}
    with full_disk(), pytest.raises(OfaPoseError, match=r"cannot write .*events: File too large"):
        events.append(many)
    events.close()
    assert shown(tmp_path / "events") == {"loss": [(1, 0.5)]}


@installed
def test_a_path_that_is_a_file(tmp_path: Path):
    (tmp_path / "events").touch()
    with pytest.raises(OfaPoseError, match="cannot write"):
        EventFiles(tmp_path / "events").append({"step": 1, "loss": 0.5})


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ofa-pose\[tensorboard\]'"):
        EventFiles(tmp_path / "events")
    assert list(tmp_path.iterdir()) == []


@installed
def test_a_killed_and_resumed_training(scenes: Any, open_run: Callable[..., RunFolder]):
    """Killed at step 6 with a checkpoint of step 2 and rows up to step 5, which come again."""
    space = load_space("toy")

    def train(run: RunFolder, **options: Any) -> None:
        run.listen(EventFiles(run.file(EVENTS)))
        with run:
            finetune(
                build(space, space.largest, skeleton="crowdpose", seed=1),
                scenes,
                space=space,
                arch=space.largest,
                run=run,
                recipe=Recipe(batch_size=2),
                budget=TrainBudget(steps=8),
                cadence=Cadence(log_every=1, checkpoint_steps=2),
                workers=0,
                **options,
            )

    def fail(step: int, total: int | None, figures: Any) -> None:
        if step == 6:
            raise RuntimeError("power cut")

    run = open_run()
    with pytest.raises(RuntimeError, match="power cut"):
        train(run, progress=fail)
    run.file("checkpoint.pt").write_bytes(b"damaged")  # of step 4; the one before it is of step 2
    train(open_run(resume=True), resume=True)
    with run.file("metrics.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    found = shown(run.file(EVENTS))
    assert sorted(found) == sorted(rows[0].keys() - {"step"})
    for name, events in found.items():
        assert [step for step, _ in events] == list(range(1, 9)), name
        values = [float(row[name]) for row in rows]
        assert [value for _, value in events] == pytest.approx(values, rel=1e-6), name
