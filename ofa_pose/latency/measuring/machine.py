"""Where something is measured: the machine, its runtime, its cores."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path

from .errors import MeasureError

_PACKAGES = {"litert": "ai-edge-litert"}


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
    device = _text_of("/proc/device-tree/model") or f"{platform.system()} {platform.machine()}"
    host = sha256((_text_of("/etc/machine-id") or platform.node()).encode()).hexdigest()[:8]
    return Machine(device, host, _processor(), name, runtime_version(name), threads)


def check_threads(threads: int) -> None:
    """Refuse more threads than there are processors: they would only wait for each other.

    Raises:
        MeasureError: there are too many.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # what this process may use; Linux only
    processors = len(affinity(0)) if affinity else os.cpu_count() or threads
    if threads > processors:
        raise MeasureError(
            f"{threads} threads are more than the {processors} "
            f"processor{'s' * (processors != 1)} of this machine"
        )


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


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""


def told(machine: Machine) -> str:
    """A machine in a few words."""
    return (
        f"{machine.device} {machine.host} ({machine.processor}) with "
        f"{machine.runtime} {machine.version} on "
        f"{machine.threads} thread{'s' * (machine.threads != 1)}"
    )


@contextmanager
def pinned(threads: int) -> Iterator[None]:
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
        texts = (
            _text_of(str(system / f"cpu{core}" / name))
            for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq")
        )
        capacity, clock = (int(text) if text.isdigit() else 0 for text in texts)
        return capacity, clock, core

    return max(cores, key=speed)
