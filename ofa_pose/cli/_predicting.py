"""What `predict` does with pictures and with films, and what it tells of that in the end."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_pose.cli._progress import Meter
from ofa_pose.errors import DataError, UsageError
from ofa_pose.files import LONGEST_NAME, shortened
from ofa_pose.interrupt import noted_interrupt
from ofa_pose.predict import (
    Film,
    OksTracker,
    PosePredictor,
    PoseSmoother,
    coco_result,
    describe_person,
    film_writer,
    json_list,
    read_picture,
    write_picture,
)
from ofa_pose.runs import RunFolder

if TYPE_CHECKING:
    from ofa_pose.export import Tier
    from ofa_pose.pose import Person

_LOG = logging.getLogger(__name__)
_STAGES = ("read", "find", "draw", "write")
_LATELY = 30  # frames that the shown speed is measured over
_LONGEST_STEM = LONGEST_NAME - len(".jpg")


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of one call, as `ofa-pose predict --help` tells them."""

    tier: Tier
    sources: tuple[str, ...]
    device: str
    threads: int | None
    flip: bool
    scales: tuple[float, ...]
    min_score: float
    overlays: bool
    track: bool
    smooth: bool
    out: Path | None
    force: bool

    def predictor(self) -> PosePredictor:
        """Return the tier, ready to look at pictures."""
        return PosePredictor(
            self.tier,
            device=self.device,
            threads=self.threads,
            flip=self.flip,
            scales=self.scales,
            min_score=self.min_score,
        )

    def open_run(self) -> RunFolder:
        """Return the folder of the results, by default named after the tier and the first source.

        Raises:
            UsageError: a source lies in it.
            RunFolderError: it is taken, or cannot be written.
        """
        first = Path(self.sources[0])
        name = first.stem or first.resolve().stem or "pictures"
        folder = shortened(f"predict-{self.tier.file_stem}-{name}", LONGEST_NAME)
        path = self.out or Path("runs") / folder
        for source in self.sources:
            if Path(source).resolve().is_relative_to(path.resolve()):
                raise UsageError(f"{source} lies in the folder of the results; give another --out")
        config = {
            "verb": "predict",
            "tier": self.tier.name,
            "tier_sha256": self.tier.sha256,
            "sources": self.sources,
            "flip": self.flip,
            "scales": self.scales,
            "min_score": self.min_score,
            "track": self.track,
            "smooth": self.smooth,
        }
        inputs = [file for file in (self.tier.path, self.tier.weights) if file is not None]
        return RunFolder.open(path, config=config, force=self.force, inputs=inputs, resumable=False)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What was done.

    Attributes:
        what: `pictures` or `frames`.
        run: the folder of the results.
        done: how many were looked at.
        total: how many there were to look at; None where that is not known, as of a camera.
        people: found in all of them together.
        tracked: how many ids were given; None where nobody was tracked.
        skipped: unreadable pictures and why.
        seconds: by stage, all pictures or frames together.
        interrupted: whether a Ctrl-C ended it.
        min_score: that people had to reach.
    """

    what: str
    run: Path
    done: int
    total: int | None
    people: int
    tracked: int | None
    skipped: dict[str, str]
    seconds: dict[str, float]
    interrupted: bool
    min_score: float

    @property
    def per_second(self) -> float:
        """Pictures or frames a second, everything included."""
        return self.done / max(sum(self.seconds.values()), 1e-9)

    def document(self) -> dict[str, Any]:
        """Return the summary for machines."""
        return {
            "folder": str(self.run),
            "results": str(self.run / "results.json"),
            "people_by_name": str(self.run / "people.json"),
            self.what: self.done,
            f"{self.what}_in_all": self.total,
            "people": self.people,
            "tracked": self.tracked,
            "skipped": self.skipped,
            f"{self.what}_per_second": round(self.per_second, 3),
            "ms_each": {name: round(ms, 2) for name, ms in self._ms_each().items()},
        }

    def text(self) -> str:
        """Return the summary for people, on two lines; others say how to get more."""
        ids = "" if self.tracked is None else f" ({self.tracked} ids)"
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        stages = ", ".join(f"{name} {ms:.0f}" for name, ms in self._ms_each().items())
        of = f" of {self.total:,}" if self.interrupted and self.total is not None else ""
        what = self.what.removesuffix("s") if self.done == 1 and not of else self.what
        people = f"{self.people:,} {'person' if self.people == 1 else 'people'}"
        text = (
            f"{self.done:,}{of} {what}{skipped}, {people}{ids}: {self.run}\n"
            f"{self.per_second:.1f} {self.what} a second; ms each: {stages}"
        )
        again = "\nit does not go on from here: the same command with --force begins again"
        nobody = f"\nnobody reached a score of {self.min_score:g}; --min-score 0 tells of everybody"
        unmet = self.done > 0 and not self.people and self.min_score > 0
        return text + nobody * unmet + again * bool(of)

    def _ms_each(self) -> dict[str, float]:
        return {name: 1e3 * total / max(1, self.done) for name, total in self.seconds.items()}


class _Watch:
    """Adds up how long each stage takes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(_STAGES, 0.0)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - started


def predict_pictures(request: Request, pictures: Sequence[Path]) -> Summary:
    """Look at pictures; those that cannot be read are named and skipped.

    Raises:
        DataError: not one can be read, and no Ctrl-C ended it.
    """
    predictor, watch = request.predictor(), _Watch()
    names, skipped, done, people_in_all = _Names(), dict[str, str](), 0, 0
    with request.open_run() as run, contextlib.ExitStack() as stack:
        stopped = stack.enter_context(noted_interrupt())  # until the files are whole
        write = stack.enter_context(_people_files(run, predictor))
        meter = stack.enter_context(Meter("predict"))
        for number, path in enumerate(pictures, start=1):
            if stopped():
                break
            try:
                with watch.stage("read"):
                    image = read_picture(path)
            except DataError as error:
                skipped[str(path)] = str(error).removeprefix(f"{path}: ")
                if len(pictures) > 1:
                    _LOG.warning("skipped %s", error)
                meter.show(number, len(pictures))
                continue
            with watch.stage("find"):
                people = predictor(image)
            height, width = image.shape[:2]
            about: dict[str, Any] = {"file": str(path), "width": width, "height": height}
            if request.overlays:
                about["overlay"] = f"overlays/{names.of(path)}"
                with watch.stage("draw"):
                    drawn = predictor.draw(image, people)
                with watch.stage("write"):
                    write_picture(run.file(about["overlay"]), drawn)
            with watch.stage("write"):
                write(number, about, people, None)
            done, people_in_all = done + 1, people_in_all + len(people)
            meter.show(number, len(pictures))
        if not done and not stopped():
            raise DataError(_nothing_read(skipped))
        return Summary(
            what="pictures",
            run=run.path,
            done=done,
            total=len(pictures),
            people=people_in_all,
            tracked=None,
            skipped=skipped,
            seconds=watch.seconds,
            interrupted=stopped(),
            min_score=request.min_score,
        )


def predict_film(request: Request, source: Path | int, *, most: int | None = None) -> Summary:
    """Look at the frames of a video or a camera, until it ends, `most` are done, or Ctrl-C.

    Raises:
        DataError: the source cannot be opened, or gives no frame.
    """
    predictor, watch = request.predictor(), _Watch()
    follower = _Follower(predictor, track=request.track, smooth=request.smooth)
    done, people_in_all = 0, 0
    lately: deque[float] = deque([time.perf_counter()], maxlen=_LATELY)
    with Film(source) as film, request.open_run() as run, contextlib.ExitStack() as stack:
        total = most if film.total is None else min(film.total, most or film.total)
        stopped = stack.enter_context(noted_interrupt())  # until the files are whole
        write = stack.enter_context(_people_files(run, predictor))
        write_frame = None
        if request.overlays:
            video = film_writer(run.file("overlay.mp4"), fps=film.fps, live=film.is_live)
            write_frame = stack.enter_context(video)
        meter = stack.enter_context(Meter("predict"))
        frames = film.frames(most)
        while not stopped():
            with watch.stage("read"):
                frame = next(frames, None)
            if frame is None:
                break
            with watch.stage("find"):
                people, ids = follower.follow(predictor(frame.image), frame.time_s)
            if write_frame is not None:
                with watch.stage("draw"):
                    drawn = predictor.draw(frame.image, people, ids=ids)
                with watch.stage("write"):
                    write_frame(drawn, frame.time_s)
            with watch.stage("write"):
                write(frame.number, {"time_s": round(frame.time_s, 4)}, people, ids)
            done, people_in_all = done + 1, people_in_all + len(people)
            lately.append(time.perf_counter())
            meter.show(done, total, {"frames/s": (len(lately) - 1) / (lately[-1] - lately[0])})
        return Summary(
            what="frames",
            run=run.path,
            done=done,
            total=total,
            people=people_in_all,
            tracked=follower.tracked,
            skipped={},
            seconds=watch.seconds,
            interrupted=stopped(),
            min_score=request.min_score,
        )


class _Follower:
    """Gives people ids and smooths them, where that is wanted."""

    def __init__(self, predictor: PosePredictor, *, track: bool, smooth: bool) -> None:
        self._tracker = OksTracker(predictor.skeleton) if track or smooth else None
        self._smoother = PoseSmoother() if smooth else None
        self.tracked = None if self._tracker is None else 0

    def follow(self, people: list[Person], time_s: float) -> tuple[list[Person], list[int] | None]:
        if self._tracker is None:
            return people, None
        ids = self._tracker.update(people)
        self.tracked = max(self.tracked or 0, *ids, 0)
        if self._smoother is not None:
            people = self._smoother.update(people, ids, time_s)
            self._smoother.forget(self._tracker.known)
        return people, ids


class _Names:
    """Names of overlays after those of pictures, each once; too long ones are cut."""

    def __init__(self) -> None:
        self._uses: Counter[str] = Counter()

    def of(self, picture: Path) -> str:
        return f"{self._free(shortened(picture.stem, _LONGEST_STEM))}.jpg"

    def _free(self, stem: str) -> str:
        self._uses[stem.lower()] += 1
        uses = self._uses[stem.lower()]
        if uses == 1:
            return stem
        ending = f"-{uses}"
        return self._free(shortened(stem, _LONGEST_STEM - len(ending)) + ending)


_Write = Callable[[int, dict[str, Any], "list[Person]", "list[int] | None"], None]


@contextlib.contextmanager
def _people_files(run: RunFolder, predictor: PosePredictor) -> Iterator[_Write]:
    """Yield what writes the people of one picture to results.json and people.json."""
    with (
        json_list(run.file("results.json")) as results,
        json_list(run.file("people.json")) as described,
    ):

        def write(
            image_id: int, about: dict[str, Any], people: list[Person], ids: list[int] | None
        ) -> None:
            tracks: Sequence[int | None] = ids or [None] * len(people)
            for person, track in zip(people, tracks, strict=True):
                results(coco_result(person, image_id, track_id=track))
            by_name = [
                describe_person(person, predictor.skeleton, track_id=track)
                for person, track in zip(people, tracks, strict=True)
            ]
            described({"image_id": image_id, **about, "people": by_name})

        yield write


def _nothing_read(skipped: dict[str, str]) -> str:
    first, reason = next(iter(skipped.items()))
    if len(skipped) == 1:
        return f"{first}: {reason}"
    return f"none of {len(skipped)} pictures can be read; the first, {first}: {reason}"
