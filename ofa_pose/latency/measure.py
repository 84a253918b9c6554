"""Measure the networks of a kit on this device, unit by unit, into results.csv.

This one file does all measuring: `ofa-pose latency build` calls it in place, and a bundle carries a
copy of it to a device that has Python, numpy and the runtime, and nothing else. So it imports
neither torch nor anything of ofa_pose.

A unit is timed where it stands, inside a network: only there does it get its input in the layout
that its neighbours leave it in, and only there is it fused with what follows. onnxruntime's own
profiler times every operation and the optimised graph says to which unit an operation belongs;
ncnn, torch and openvino are asked for the same in their own ways. litert tells nothing of the
inside, so that there every unit comes as a network of its own.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import io
import json
import os
import platform
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np

FORMAT = 1
KIT, MODELS, RESULTS = "kit.json", "models.zip", "results.csv"
COLUMNS = (
    *("machine", "network", "round", "unit", "key", "runs"),
    *("median", "min", "iqr", "reference_ms"),
)
"""Of results.csv; `median`, `min` and `iqr` are times divided by the reference network's."""

REFERENCE = "reference"
"""The role of the network that all others are compared with."""

WHOLE = "*"
"""In the column `unit`: the row is of the whole network."""

_WARM_UP = 2
_LOST = 0.03  # share of a run's time without the processor above which the run does not count
_MOST = 2  # runs of a network in a round are at most so many times the runs wanted
_LEAST_MS = 20.0  # a network is run for at least so long in a round, so that short ones run often
_BLOCK_MS = 8.0  # the reference is run again after so long, or after one run that takes longer
_MOST_SHORT = 10  # but at most so many times the runs wanted
_TELL_SECONDS = 10.0
_PACKAGES = {"litert": "ai-edge-litert"}


class MeasureError(Exception):
    """What the user can do something about; one line."""


@dataclass(frozen=True)
class Task:
    """One network of a kit.

    Attributes:
        name: of the network, and of its file in `models.zip`.
        role: `cover` (times its units), `alone` (one unit as a network), `fit` or `check` (the
            whole network's time only), or `reference`.
        key: `<space>/<arch>`, or a lone unit's.
        inputs: shapes of its inputs without the batch.
        units: (name, key) of its units in order of execution.
        outputs: names of the units whose results it returns.
        rounds: how often its turn comes.
    """

    name: str
    role: str
    key: str
    inputs: tuple[tuple[int, ...], ...]
    units: tuple[tuple[str, str], ...]
    outputs: tuple[str, ...]
    rounds: int = 1

    @property
    def by_unit(self) -> bool:
        """Whether its units are timed, not only the whole."""
        return self.role == "cover"


class Runner(Protocol):
    """A network that is ready to run."""

    def run(self) -> None:
        """Run the whole network once."""
        ...

    def unit_times(self) -> np.ndarray:
        """Every unit's time in every run so far, in ms, `(runs, units)`; of a `by_unit` task."""
        ...


Prepare = Callable[[bytes, Task, int], Runner]
"""A runtime: (model, task, threads) to a runner."""

_PREPARE: dict[str, Prepare] = {}


def runtime(name: str) -> Callable[[Prepare], Prepare]:
    """Register a runtime by name."""

    def register(prepare: Prepare) -> Prepare:
        _PREPARE[name] = prepare
        return prepare

    return register


def package_of(name: str) -> str:
    """What a runtime is called where packages are installed from."""
    return _PACKAGES.get(name, name)


def runtime_version(name: str) -> str:
    """The installed version of a runtime.

    Raises:
        MeasureError: it is not installed.
    """
    package = package_of(name)
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        raise MeasureError(
            f"{package} is not installed; install it: pip install {package}"
        ) from None


# --- the protocol of measuring ---------------------------------------------------------------


@dataclass(frozen=True)
class Kit:
    """What is to be measured, and how often.

    Attributes:
        folder: with `kit.json` and `models.zip`.
        document: the content of `kit.json`.
        tasks: the networks.
    """

    folder: Path
    document: Mapping[str, Any]
    tasks: tuple[Task, ...]
    hash: str

    @classmethod
    def load(cls, folder: Path) -> Kit:
        """Read a kit.

        Raises:
            MeasureError: it is missing, damaged or of another format.
        """
        try:
            content = (folder / KIT).read_bytes()
            document = json.loads(content)
        except OSError as error:
            raise MeasureError(f"cannot read {folder / KIT}: {error.strerror}") from None
        except ValueError:
            raise MeasureError(f"{folder / KIT} is damaged: it is not JSON") from None
        if document.get("format") != FORMAT:
            raise MeasureError(
                f"{folder / KIT} has format {document.get('format')!r}, not {FORMAT}"
            )
        tasks = tuple(
            Task(
                entry["name"],
                entry["role"],
                entry["key"],
                tuple(map(tuple, entry["inputs"])),
                tuple(map(tuple, entry["units"])),
                tuple(entry["outputs"]),
                entry["rounds"],
            )
            for entry in document["networks"]
        )
        return cls(folder, document, tasks, sha256(content).hexdigest()[:16])

    @property
    def steps(self) -> int:
        """How often a network has its turn before everything is measured."""
        return sum(task.rounds for task in self.tasks)

    def model(self, task: Task) -> bytes:
        """The bytes of a network."""
        with zipfile.ZipFile(self.folder / MODELS) as archive:
            return archive.read(task.name)


@dataclass(frozen=True)
class Machine:
    """Where something was measured; two of these are never mixed.

    Attributes:
        device: the board or the system.
        host: eight hex digits of this very installation, as two boards may be of one make.
        processor: its names and cores.
        runtime: what runs the networks.
        version: of it.
        threads: that it uses.
    """

    device: str
    host: str
    processor: str
    runtime: str
    version: str
    threads: int

    @property
    def id(self) -> str:
        """Eight hex digits that stand in every row."""
        return sha256(repr(self).encode()).hexdigest()[:8]


def this_machine(name: str, *, threads: int) -> Machine:
    """Describe this machine with one runtime."""
    device = _first_line("/proc/device-tree/model") or f"{platform.system()} {platform.machine()}"
    host = sha256((_first_line("/etc/machine-id") or platform.node()).encode()).hexdigest()[:8]
    return Machine(device, host, _processor(), name, runtime_version(name), threads)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {key.strip(): value.strip() for key, value in found.items()}
    parts = [facts.get("model name") or facts.get("Hardware") or platform.processor()]
    parts += [f"{key} {facts[key]}" for key in ("CPU part", "cpu family", "model") if key in facts]
    cores = f"{os.cpu_count()} cores"
    return ", ".join(part for part in (*parts, cores) if part) or platform.machine()


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""


@dataclass(frozen=True)
class Timing:
    """Times of one thing over several runs, divided by the reference's."""

    runs: int
    median: float
    min: float
    iqr: float

    @classmethod
    def of(cls, times: np.ndarray) -> Timing:
        """Summarise `(runs,)`."""
        low, median, high = np.percentile(times, (25, 50, 75))
        return cls(len(times), float(median), float(times.min()), float(high - low))


def measure(
    kit: Kit,
    results: Path,
    *,
    threads: int = 1,
    prepare: Prepare | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Measure every network of a kit, in rounds, and append each to `results` at once.

    Machines have slow moments: other programs, other guests of the same host, heat. Rounds
    interleave the networks, so that no network has all of a slow minute; and before and after
    every few milliseconds of any network one and the same reference network is run, by whose time
    the network's is divided. What stands in `results` is not measured again.

    Args:
        kit: what to measure.
        results: the CSV file.
        threads: that the runtime uses.
        prepare: the runtime, where it is not one of this file's.
        progress: told (steps done, all steps).

    Raises:
        MeasureError: `results` is of another kit or machine, or the runtime fails.
    """
    name = kit.document["runtime"]
    machine = this_machine(name, threads=threads)
    journal = Journal.open(results, kit, machine)
    prepare = prepare or _PREPARE[name]
    last = max(task.rounds for task in kit.tasks)
    steps = [(turn, task) for turn in range(last) for task in kit.tasks if turn < task.rounds]
    (reference,) = (task for task in kit.tasks if task.role == REFERENCE)
    with _pinned(threads):
        pace = prepare(kit.model(reference), reference, threads)
        for done, (turn, task) in enumerate(steps):
            if (task.name, turn) not in journal.done:
                runner = prepare(kit.model(task), task, threads)
                runs = kit.document["runs"]
                journal.add(task, turn, *_times(runner, pace, task, runs=runs, threads=threads))
                del runner
            if progress is not None:
                progress(done + 1, len(steps))


def _times(
    runner: Runner, pace: Runner, task: Task, *, runs: int, threads: int
) -> tuple[np.ndarray, float]:
    """Run a network and the reference in turns.

    With one thread a run that lost the processor for a moment does not count and is repeated, up
    to a limit; where they do not suffice, the least disturbed are taken.

    Returns:
        Times divided by the reference's around them `(runs, 1 [+ units])`, the whole first; and
        the reference's median time in ms.
    """
    for _ in range(_WARM_UP):
        runner.run()
    walls: list[float] = []
    lost: list[float] = []
    paces = [_run(pace, threads)]
    blocks: list[int] = []  # of every run, the number of the pace before it
    while _wants_more(walls, lost, runs=runs):
        spent = 0.0
        while spent < _BLOCK_MS and len(walls) < _MOST_SHORT * runs:
            wall, share = _run(runner, threads)
            walls.append(wall)
            lost.append(share)
            blocks.append(len(paces) - 1)
            spent += wall
        paces.append(_run(pace, threads))
    kept = [index for index, share in enumerate(lost) if share <= _LOST]
    if len(kept) < runs:
        kept = sorted(np.argsort(lost, kind="stable")[:runs].tolist())
    times = np.array(walls, dtype=np.float64)[:, None]
    if task.by_unit:
        times = np.hstack([times, runner.unit_times()[_WARM_UP : _WARM_UP + len(times)]])
    around = _around(paces)
    return times[kept] / around[np.array(blocks)[kept], None], float(np.median(around))


def _run(runner: Runner, threads: int) -> tuple[float, float]:
    """Run once; return the time in ms and the share of it without the processor."""
    own, wall = time.thread_time(), time.perf_counter()
    runner.run()
    wall, own = time.perf_counter() - wall, time.thread_time() - own
    return 1e3 * wall, max(0.0, 1 - own / wall) if threads == 1 else 0.0


def _around(paces: Sequence[tuple[float, float]]) -> np.ndarray:
    """The reference's time around each block, in ms; of two, one that was interrupted is left out.

    Args:
        paces: (ms, share lost) of the reference's runs, one more than there are blocks.
    """
    found = []
    for before, after in zip(paces, paces[1:], strict=False):
        good = [wall for wall, share in (before, after) if share <= _LOST]
        found.append(sum(good) / len(good) if good else min(before[0], after[0]))
    return np.array(found)


def _wants_more(walls: Sequence[float], lost: Sequence[float], *, runs: int) -> bool:
    if sum(walls) < _LEAST_MS:
        return len(walls) < _MOST_SHORT * runs
    return sum(share <= _LOST for share in lost) < runs and len(walls) < _MOST * runs


@contextmanager
def _pinned(threads: int) -> Iterator[None]:
    """Keep one-thread measurements on one core, of the fastest kind."""
    if threads != 1 or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {fastest_core(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def fastest_core(cores: Iterable[int], system: Path = Path("/sys/devices/system/cpu")) -> int:
    """Choose a core of the fastest kind: processors may have some that are half as fast.

    Linux tells a core's capacity (ARM) or its highest clock (Intel, AMD); of equal cores the last
    one is taken, as the first serves most interrupts.
    """

    def speed(core: int) -> tuple[int, int, int]:
        told = (
            _first_line(str(system / f"cpu{core}" / name))
            for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq")
        )
        capacity, clock = (int(text) if text.isdigit() else 0 for text in told)
        return capacity, clock, core

    return max(cores, key=speed)


# --- results.csv -------------------------------------------------------------------------------


@dataclass
class Journal:
    """The rows measured so far; every step is appended in one write.

    Attributes:
        path: of the CSV file.
        machine: where it is written.
        done: (network, round) of the steps that stand in it whole.
    """

    path: Path
    machine: Machine
    done: set[tuple[str, int]] = field(default_factory=set)

    @classmethod
    def open(cls, path: Path, kit: Kit, machine: Machine) -> Journal:
        """Start the file, or go on with it; a step that was cut off is dropped.

        Raises:
            MeasureError: it is of another kit or machine.
        """
        journal = cls(path, machine)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            head = {
                "format": FORMAT,
                "kit": kit.hash,
                **{name: kit.document[name] for name in ("spaces", "runs")},
                "steps": kit.steps,
                "date": time.strftime("%Y-%m-%d"),
                "machine": vars(machine),
            }
            path.write_text(f"# {json.dumps(head)}\n{','.join(COLUMNS)}\n")
            return journal
        text = path.read_text()
        head = read_head(text, source=path)
        if head["kit"] != kit.hash:
            raise MeasureError(
                f"{path} was measured with another kit ({head['kit']}, this one is {kit.hash}); "
                "move it away to start anew"
            )
        found = Machine(**head["machine"])
        if found != machine:
            raise MeasureError(
                f"{path} was measured on {_text(found)}, this is {_text(machine)}; "
                "times of two machines are never mixed; move the file away to start anew"
            )
        whole = text[: text.rfind("\n") + 1]
        lines = whole.splitlines(keepends=True)
        sizes = {task.name: 1 + len(task.units) * task.by_unit for task in kit.tasks}
        position, end = 2, 2
        while position < len(lines):
            _, name, round_, *_ = next(csv.reader([lines[position]]))
            position += sizes[name]
            if position <= len(lines):
                journal.done.add((name, int(round_)))
                end = position
        kept = "".join(lines[:end])
        if kept != text:
            path.write_text(kept)
        return journal

    def add(self, task: Task, round_: int, times: np.ndarray, reference_ms: float) -> None:
        """Append one step: times divided by the reference's `(runs, 1 [+ units])`."""
        stream = io.StringIO(newline="")
        writer = csv.writer(stream, lineterminator="\n")
        for (unit, key), column in zip(((WHOLE, task.key), *task.units), times.T, strict=False):
            timing = Timing.of(column)
            figures = (timing.median, timing.min, timing.iqr, reference_ms)
            texts = (f"{value:.6g}" for value in figures)
            writer.writerow((self.machine.id, task.name, round_, unit, key, timing.runs, *texts))
        with self.path.open("a") as file:
            file.write(stream.getvalue())
            file.flush()
            os.fsync(file.fileno())
        self.done.add((task.name, round_))


def read_head(text: str, *, source: Path) -> dict[str, Any]:
    """The first line of a results file.

    Raises:
        MeasureError: the text is not of a results file of this format.
    """
    lines = text.split("\n", 2)
    try:
        head = json.loads(lines[0].removeprefix("# "))
        known = head["format"] == FORMAT and lines[1] == ",".join(COLUMNS) and head["steps"] > 0
    except (ValueError, LookupError, TypeError):
        known = False
        head = {}
    if not known:
        raise MeasureError(f"{source} is not a results file of format {FORMAT}")
    return head


def _text(machine: Machine) -> str:
    return (
        f"{machine.device} {machine.host} ({machine.processor}) with "
        f"{machine.runtime} {machine.version} on "
        f"{machine.threads} thread{'s' * (machine.threads != 1)}"
    )


# --- the runtimes ------------------------------------------------------------------------------


def _pictures(task: Task) -> list[np.ndarray]:
    """Inputs of a network, `(1, C, H, W)` each."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal((1, *shape), dtype=np.float32) for shape in task.inputs]


@runtime("onnxruntime")
class OnnxRuntime:
    """onnxruntime on the processor; its profiler times every operation."""

    def __init__(self, model: bytes, task: Task, threads: int) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._units = [name for name, _ in task.units]
        self._folder = tempfile.TemporaryDirectory()
        optimized = Path(self._folder.name) / "optimized.onnx"
        if task.by_unit:
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(self._folder.name) / "profile")
            options.optimized_model_filepath = str(optimized)
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        names = [entry.name for entry in self._session.get_inputs()]
        self._inputs = dict(zip(names, _pictures(task), strict=True))
        self._runs = 0
        if task.by_unit:
            self._unit_of = operations_to_units(
                read_onnx_graph(optimized.read_bytes()), self._units
            )
            optimized.unlink()

    def run(self) -> None:
        """Run once."""
        self._session.run(None, self._inputs)
        self._runs += 1

    def unit_times(self) -> np.ndarray:
        """Times in ms `(runs, units)`; ends the profile."""
        events = json.loads(Path(self._session.end_profiling()).read_text())
        self._folder.cleanup()
        times: dict[str, list[float]] = {}
        for event in events:
            name = event["name"].removesuffix("_kernel_time")
            if event.get("cat") == "Node" and name != event["name"]:
                times.setdefault(name, []).append(event["dur"] / 1e3)
        sums = np.zeros((self._runs, len(self._units)))
        for name, durations in times.items():
            sums[:, self._units.index(self._unit_of[name])] += durations
        return sums


Operation = tuple[str, tuple[str, ...], tuple[str, ...]]
"""Name, inputs, outputs of one operation of a graph."""


def operations_to_units(operations: Sequence[Operation], units: Sequence[str]) -> dict[str, str]:
    """Say to which unit each operation of an optimised graph belongs.

    An operation of a unit has a name that starts with the unit's and a slash. What the optimiser
    has added (a conversion of layout) belongs to the unit that reads it, and at the end of the
    network to the one that made it.

    Raises:
        MeasureError: an operation belongs to no unit.
    """
    known = set(units)
    makers = {output: op for op in operations for output in op[2]}
    readers: dict[str, Operation] = {}
    for op in operations:
        for source in op[1]:
            readers.setdefault(source, op)

    def own(op: Operation) -> str | None:
        unit = op[0].partition("/")[0]
        return unit if unit in known else None

    def reader(op: Operation) -> str | None:
        for output in op[2]:
            if output in readers:
                return own(readers[output]) or reader(readers[output])
        return None

    def maker(op: Operation) -> str | None:
        for source in op[1]:
            if source in makers:
                return own(makers[source]) or maker(makers[source])
        return None

    found: dict[str, str] = {}
    for op in operations:
        unit = own(op) or reader(op) or maker(op)
        if unit is None:
            raise MeasureError(f"the operation {op[0]!r} of the optimised graph belongs to no unit")
        found[op[0]] = unit
    return found


def read_onnx_graph(model: bytes) -> list[Operation]:
    """The operations of an ONNX file in order, read without the package onnx.

    The file is a protobuf message: field 7 of the model is the graph, field 1 of the graph an
    operation, whose fields 1, 2 and 3 are its inputs, its outputs and its name.
    """
    operations = []
    for field_, graph in _protobuf(memoryview(model)):
        if field_ != 7:
            continue
        for number, node in _protobuf(graph):
            if number != 1:
                continue
            texts: dict[int, list[str]] = {1: [], 2: [], 3: [""]}
            for part, value in _protobuf(node):
                if part in texts:
                    texts[part].append(str(value, "utf-8"))
            operations.append((texts[3][-1], tuple(texts[1]), tuple(texts[2])))
    return operations


def _protobuf(message: memoryview) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message: (number, content), skipping numbers' contents."""
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(message):
        tag = varint()
        kind = tag & 7
        if kind == 0:
            varint()
        elif kind == 2:
            size = varint()
            yield tag >> 3, message[position : position + size]
            position += size
        else:
            position += {1: 8, 5: 4}[kind]


@runtime("ncnn")
class Ncnn:
    """ncnn on the processor; the results of the units are asked for one after the other.

    An extractor computes what is asked for and was not computed yet, so the time of asking for a
    unit's result, when those before it are there, is the unit's. A kit holds no weights for ncnn:
    they read as zeros, whose products take as long as any others.
    """

    def __init__(self, model: bytes, task: Task, threads: int) -> None:
        ncnn: Any = importlib.import_module("ncnn")  # its classes are made in C++
        self._net = ncnn.Net()
        self._net.opt.num_threads = threads
        self._net.opt.use_vulkan_compute = False
        for half in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
            setattr(self._net.opt, f"use_{half}", False)
        if self._net.load_param_mem(model.decode()) or self._net.load_model(
            ncnn.DataReaderFromEmpty()
        ):
            raise MeasureError(f"ncnn cannot read the network {task.name}")
        self._inputs = [ncnn.Mat(picture[0]).clone() for picture in _pictures(task)]
        # Asked for in this order; only what leaves the network is unpacked to the plain layout.
        last = set(task.outputs)
        self._asked = [(unit, int(unit not in last)) for unit, _ in task.units]
        self._outputs = task.outputs
        self._by_unit = task.by_unit
        self._times: list[list[float]] = []

    def run(self) -> None:
        """Run once."""
        extractor = self._net.create_extractor()
        for number, picture in enumerate(self._inputs):
            extractor.input(f"in{number}", picture)
        if not self._by_unit:
            for name in self._outputs:
                extractor.extract(name)
            return
        times = []
        for unit, packed in self._asked:
            start = time.perf_counter()
            extractor.extract(unit, packed)
            times.append(1e3 * (time.perf_counter() - start))
        self._times.append(times)

    def unit_times(self) -> np.ndarray:
        """Times in ms `(runs, units)`."""
        return np.array(self._times)


@runtime("openvino")
class OpenVino:
    """OpenVINO on the processor; its performance counters time every operation."""

    def __init__(self, model: bytes, task: Task, threads: int) -> None:
        import openvino  # pyright: ignore[reportMissingImports]

        core = openvino.Core()
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": "f32",
            "PERF_COUNT": task.by_unit,
        }
        compiled = core.compile_model(core.read_model(model), "CPU", settings)
        self._request = compiled.create_infer_request()
        self._inputs = dict(enumerate(_pictures(task)))
        self._units = [name for name, _ in task.units]
        self._by_unit = task.by_unit
        self._times: list[list[float]] = []

    def run(self) -> None:
        """Run once."""
        self._request.infer(self._inputs)
        if self._by_unit:
            times = dict.fromkeys(self._units, 0.0)
            for operation in self._request.profiling_info:
                spent = 1e3 * operation.real_time.total_seconds()
                if spent:
                    times[self._unit_of(operation.node_name)] += spent
            self._times.append([times[unit] for unit in self._units])

    def _unit_of(self, operation: str) -> str:
        """Its unit: a conversion of layout is called after what it stands between."""
        named = [(operation.find(f"{unit}/"), unit) for unit in self._units]
        found = [(place, -len(unit), unit) for place, unit in named if place >= 0]
        if not found:
            raise MeasureError(f"the operation {operation!r} belongs to no unit")
        return min(found)[2]

    def unit_times(self) -> np.ndarray:
        """Times in ms `(runs, units)`."""
        return np.array(self._times)


@runtime("litert")
class LiteRt:
    """LiteRT with its XNNPACK delegate; it tells nothing of the inside of a network."""

    def __init__(self, model: bytes, task: Task, threads: int) -> None:
        from ai_edge_litert.interpreter import (  # pyright: ignore[reportMissingImports]
            Interpreter,
        )

        self._interpreter = Interpreter(model_content=model, num_threads=threads)
        self._interpreter.allocate_tensors()
        rng = np.random.default_rng(0)
        for entry in self._interpreter.get_input_details():
            picture = rng.standard_normal(tuple(entry["shape"]), dtype=np.float32)
            self._interpreter.set_tensor(entry["index"], picture)

    def run(self) -> None:
        """Run once."""
        self._interpreter.invoke()

    def unit_times(self) -> np.ndarray:
        """Not to be had.

        Raises:
            MeasureError: always.
        """
        raise MeasureError("litert does not time the parts of a network")


# --- the command -------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the kit beside this file, or in --kit, into results.csv."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description="Measure a bundle's networks on this device.")
    parser.add_argument("--kit", type=Path, default=here, help="folder of kit.json")
    parser.add_argument("--out", type=Path, default=None, help="default: results.csv beside it")
    parser.add_argument("--threads", type=int, default=1, help="threads of the runtime")
    options = parser.parse_args(arguments)
    if options.threads < 1:
        parser.error("--threads is at least 1")
    started = last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > _TELL_SECONDS or done == total:
            last = now
            print(
                f"{done} of {total} steps ({done / total:.0%}, {now - started:.0f} s)", flush=True
            )

    try:
        kit = Kit.load(options.kit)
        results = options.out or options.kit / RESULTS
        machine = this_machine(kit.document["runtime"], threads=options.threads)
        print(f"measuring on {_text(machine)}; stop and go on whenever you like", flush=True)
        measure(kit, results, threads=options.threads, progress=tell)
    except MeasureError as error:
        print(f"measure.py: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; start again to go on", file=sys.stderr)
        return 130
    print(f"wrote {results}; now: ofa-pose latency import {results.name} --name NAME")
    return 0


if __name__ == "__main__":
    sys.exit(main())
