"""The one training loop: it takes steps, reports, validates, saves and resumes."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from ofa_pose.data import Batch
from ofa_pose.data.batches import telling_lost_workers
from ofa_pose.errors import DataError, OfaPoseError, TrainingDivergedError, WeightsError
from ofa_pose.interrupt import deferred_interrupt, heeded_interrupt, noted_interrupt
from ofa_pose.models import depthwise
from ofa_pose.supernet import load_state
from ofa_pose.train.checkpoint import (
    Checkpoint,
    TrainState,
    check_identity,
    describe,
    has_checkpoint,
    load_newest,
    save_checkpoint,
)
from ofa_pose.train.distributed import World
from ofa_pose.train.footprint import check_memory, rehearse
from ofa_pose.train.job import Job, Progress, TrainResult
from ofa_pose.train.metrics import MetricsFile
from ofa_pose.train.plain import check_plain
from ofa_pose.train.schedule import learning_rate
from ofa_pose.train.step import Learner, batches_of

CHECKPOINT = "checkpoint.pt"
METRICS = "metrics.csv"
BEST = "best.safetensors"
LAST = "last.safetensors"
_FEW_PICTURES = 8  # for the mean and variance of one pass

_LOG = logging.getLogger(__name__)


class Trainer:
    """Runs one `Job`; what changes meanwhile is the model, the learner and `state`.

    Where `torchrun` started several processes, each runs a trainer of the same job; they take
    every step together, and the first one alone writes the run folder.

    Args:
        job: what is trained and how.
        resume: go on from the run folder's checkpoint, if there is one.
        progress: told of every step.
        workers: processes that prepare batches; 0 prepares them here.

    Raises:
        RecipeError: the batch does not divide among the processes; `float16` on a CPU.
        WeightsError: the checkpoint is damaged or of another space, skeleton or arch.
        RunFolderError: the checkpoint is of a run with another seed, recipe or length.
        OfaPoseError: the job holds what no checkpoint can.
    """

    def __init__(
        self, job: Job, *, resume: bool = False, progress: Progress | None = None, workers: int = 1
    ) -> None:
        self.job = job
        self._world = World.current()
        self.state = TrainState(
            processes=self._world.size,
            accumulate=job.recipe.accumulate,
            compiled_gradients=depthwise.available(),
        )
        self.total = job.budget.total_steps(
            images=len(job.source), batch_size=job.recipe.batch_size
        )
        self._workers = workers
        self._progress = progress
        self._path = job.run.file(CHECKPOINT)
        self._check_share()
        self._check_warmup()
        check_plain(job.identity(), name="the run's identity")
        if self._world.size > 1:
            self._world.agree_on_scenes(len(job.source), job.source.fingerprint())
        job.recipe.check_device(job.device.type)
        if self._world.leads:
            check_memory(job, processes=self._world.size)
        job.model.to(job.device)
        if job.device.type == "cuda":
            rows = self._world.share(job.recipe.batch_size, parts=job.recipe.accumulate)
            rehearse(job, pictures=(rows.stop - rows.start) // job.recipe.accumulate)
        self._learner = Learner(job, world=self._world)
        if resume and self._world.led(lambda: has_checkpoint(self._path)):
            self._restore()
        self._metrics = (
            MetricsFile(job.run.file(METRICS), keep=self.state.reported)
            if self._world.leads
            else None
        )
        self._saved_at = time.monotonic()

    def _check_share(self) -> None:
        """Refuse a batch that does not divide; warn of shares too small for batch norm."""
        recipe, world = self.job.recipe, self._world
        rows = world.share(recipe.batch_size, parts=recipe.accumulate)
        pictures = (rows.stop - rows.start) // recipe.accumulate
        if world.size > 1 and world.leads and pictures < _FEW_PICTURES:
            _LOG.warning(
                "batch norm sees %d picture(s) at a time, each process its own; a larger "
                "--batch-size, with an lr to match, gives steadier statistics",
                pictures,
            )

    def _check_warmup(self) -> None:
        """Warn of a rate that rises to the end of the run."""
        warmup = self.job.recipe.warmup_steps
        if self._world.leads and self.total is not None and warmup > self.total:
            _LOG.warning(
                "the warm-up of %d steps is longer than the run of %d: the rate never reaches lr; "
                "warmup_steps shortens it",
                *(warmup, self.total),
            )

    @property
    def fraction(self) -> float:
        """How much of the run is done, 0 to 1."""
        state = self.state
        return self.job.budget.fraction(step=state.step, seconds=state.seconds, total=self.total)

    def train(self) -> TrainResult:
        """Train to the end of the budget; a Ctrl-C or unreadable data save the state first.

        Raises:
            TrainingDivergedError: the loss, the gradient or a weight became NaN or infinite; it
                is not saved, and the message names the last good checkpoint.
        """
        with telling_lost_workers():  # told of within a step, nothing is saved: it is half taken
            try:
                self._report()  # a run stopped during its validation has its row still to write
                self._take_steps()
            except (KeyboardInterrupt, DataError) as error:
                self._save(last=True)
                reason = "interrupted" if isinstance(error, KeyboardInterrupt) else "no data"
                _LOG.info("%s after step %d; saved in %s", reason, self.state.step, self._path)
                raise
        self._save(last=True)
        return self._result()

    def _result(self) -> TrainResult:
        state, run = self.state, self.job.run
        return TrainResult(
            steps=state.step,
            seconds=state.seconds,
            best=state.best,
            best_step=state.best_step,
            last_weights=run.file(LAST),
            best_weights=None if state.best is None else run.file(BEST),
        )

    def _take_steps(self) -> None:
        state, world = self.state, self._world
        batches = batches_of(
            self.job, start=state.step, stop=self.total, workers=self._workers, world=world
        )
        alone = world.size == 1
        with contextlib.nullcontext(lambda: False) if alone else noted_interrupt() as interrupted:
            while self.fraction < 1:
                started = time.perf_counter()
                batch = self._next(batches, interrupted)
                with deferred_interrupt():
                    figures = self._step(batch)
                    state.seconds += time.perf_counter() - started
                    if self.total is None:  # the length is in minutes: all must agree on them
                        state.seconds = world.mean_of(state.seconds)
                self._tell(figures)
                if self._report() or self._save_due():
                    self._save()

    def _next(self, batches: Iterator[Batch], interrupted: Callable[[], bool]) -> Batch:
        """Return the next batch; where one process must stop, all stop here."""
        batch = fault = None
        try:
            batch = next(batches)
        except DataError as error:
            fault = error
        stop, failed = self._world.any(interrupted(), fault is not None)
        if fault is not None:
            raise fault
        if failed or batch is None:
            raise DataError("another process cannot read its pictures")
        if stop:
            raise KeyboardInterrupt
        return batch

    def _tell(self, figures: Mapping[str, float]) -> None:
        state = self.state
        if self._progress and self._world.leads:
            best = {} if state.best is None else {"AP": state.best}
            figures = {"fraction": self.fraction, **figures, **best}
            self._progress(state.step, self.total, figures)

    def _step(self, batch: Batch) -> dict[str, float]:
        state = self.state
        rate = learning_rate(self.job.recipe, step=state.step, fraction=self.fraction)
        try:
            losses = self._learner.step(batch, step=state.step, rate=rate)
        except TrainingDivergedError as error:
            raise TrainingDivergedError(
                f"{error}; {describe(self._path, diverged_after=state.step)}; a lower lr, a longer "
                "warm-up or a grad_clip may help"
            ) from None
        state.count(losses)
        return {"loss": losses["loss"], "lr": rate}

    def _report(self) -> bool:
        """Validate and write the row of this step if they are due; return whether it validated."""
        job, state = self.job, self.state
        due = 0 if job.validate is None else self._validations_due()
        validates = due > state.validations
        logs = validates or self.fraction >= 1 or state.step % job.cadence.log_every == 0
        if state.step == state.reported or not logs:
            return False
        if validates and self._world.size > 1:
            self._save()  # for if a process dies during it, nobody saves any more
        scores = self._validate() if validates else {}
        row = {**self._row(), **scores}
        with deferred_interrupt():
            if validates:
                state.validations = due
                self._keep_best(scores)
            if self._metrics is not None:
                self._metrics.append(row)
                job.run.tell(row)
                figures = ", ".join(f"{key} {value:.5g}" for key, value in row.items())
                _LOG.info("%s (%.0f s)", figures, state.seconds)
            state.start_window()
        return validates

    def _row(self) -> dict[str, float]:
        """Return what is told of a step without a validation."""
        job, state = self.job, self.state
        return {
            "step": state.step,
            "epoch": round(state.step * job.recipe.batch_size / len(job.source), 4),
            "lr": self._learner.optimizer.param_groups[0]["lr"],
            **state.means(),
        }

    def _validate(self) -> dict[str, float]:
        if self.job.validate is None:
            return {}
        try:
            with self._learner.best_weights(), heeded_interrupt():
                scores = self.job.validate(self.state.step)
            return _numbers(scores, taken=self._row())
        except WeightsError as error:
            raise TrainingDivergedError(f"{error}; {describe(self._path)}") from error

    def _validations_due(self) -> int:
        cadence = self.job.cadence
        if cadence.validate_every is None:
            return int(cadence.validations * self.fraction + 1e-9)
        return self.state.step // cadence.validate_every + (self.fraction >= 1)

    def _keep_best(self, scores: Mapping[str, float]) -> None:
        """Save the weights of the highest AP, the last of equal ones; an AP of NaN tells nothing.

        While tags are not learnt no AP tells how good the heatmaps are: the last weights count.
        """
        state, score = self.state, scores["AP"]
        if not self.job.recipe.tags or math.isnan(score):
            return
        if state.best is None or score >= state.best:
            state.best, state.best_step = score, state.step
            self._save_weights(BEST, {"step": state.step, "AP": score})

    def _save_weights(self, name: str, facts: Mapping[str, Any]) -> None:
        if self._world.leads:
            with self._learner.best_weights():
                self.job.save(self.job.run.file(name), facts)

    def _save_due(self) -> bool:
        cadence = self.job.cadence
        if cadence.checkpoint_steps and self.state.step % cadence.checkpoint_steps == 0:
            return True
        return time.monotonic() - self._saved_at >= cadence.checkpoint_seconds

    def _save(self, *, last: bool = False) -> None:
        if self._metrics is None:
            return
        with deferred_interrupt():
            self._metrics.sync()
            checkpoint = Checkpoint(
                identity=self.job.identity(),
                state=self.state,
                model=self.job.model.state_dict(),
                learner=self._learner.state_dict(),
            )
            save_checkpoint(self._path, checkpoint)
            if last:
                self._save_weights(LAST, {"step": self.state.step})
        self._saved_at = time.monotonic()

    def _restore(self) -> None:
        checkpoint, file = self._world.led(self._newest)
        load_state(self.job.model, checkpoint.model, source=str(file))
        self._learner.load_state_dict(checkpoint.learner)
        self.state = state = checkpoint.state
        if self._world.leads:
            self._tell_changes()
        state.processes = self._world.size
        state.accumulate = self.job.recipe.accumulate
        state.compiled_gradients = depthwise.available()
        best = self.job.run.file(BEST)
        if state.best is not None and not self._world.led(best.is_file):
            if self._world.leads:
                _LOG.warning("%s is gone; the best is sought anew after step %d", best, state.step)
            state.best = state.best_step = None
        _LOG.info("resumed after step %d", self.state.step)

    def _tell_changes(self) -> None:
        """Warn of what a run is resumed with otherwise than it was begun."""
        state, accumulate = self.state, self.job.recipe.accumulate
        if state.processes != self._world.size:
            _LOG.warning(
                "resumed by %d process(es), begun by %d: batch norm sees parts of another size, "
                "so the result will differ",
                self._world.size,
                state.processes,
            )
        if state.accumulate != accumulate:
            _LOG.warning(
                "resumed with accumulate %d, begun with %d: batch norm sees parts of another "
                "size, so the result will differ",
                accumulate,
                state.accumulate,
            )
        if state.compiled_gradients != depthwise.available():
            _LOG.warning(
                "resumed %s numba, begun %s it: the result will differ in its last digits",
                *(("without", "with") if state.compiled_gradients else ("with", "without")),
            )

    def _newest(self) -> tuple[Checkpoint, Path]:
        """Return the newest whole checkpoint of this run and its file, put in its place."""
        checkpoint, file = load_newest(self._path)
        check_identity(file, found=checkpoint.identity, now=self.job.identity())
        if file != self._path:
            file.replace(self._path)  # or the next save would keep a damaged one for this one
        return checkpoint, file


def _numbers(scores: Any, *, taken: Collection[str]) -> dict[str, float]:
    """Return a validation's scores as plain numbers; refuse names that the run's rows use."""
    named = isinstance(scores, Mapping) and all(isinstance(name, str) for name in scores)
    if not named or "AP" not in scores:
        raise OfaPoseError(
            f"a validation gives numbers by name, AP among them, such as {{'AP': 0.5}}, "
            f"not {scores!r:.60}"
        )
    for name in scores:
        if name in taken:
            raise OfaPoseError(
                f"the validation gave {name!r}, which the run's own rows use; call it otherwise"
            )
    return {name: _number(name, value) for name, value in scores.items()}


def _number(name: str, value: Any) -> float:
    """Return a validation's score, which may be numpy's or a tensor, as a plain number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise OfaPoseError(f"the validation gave {name} = {value!r}, not a number") from None
