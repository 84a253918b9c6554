"""The device in the drawer: a folder that measures itself there, and the table made of it here."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from ofa_pose.catalog import load_space, tested_versions
from ofa_pose.cost import CostTable, LatencyTable
from ofa_pose.cost.latency_schema import CoveredSpace
from ofa_pose.errors import (
    LatencyError,
    OfaPoseError,
    RunFolderError,
    UnknownNameError,
    UsageError,
)
from ofa_pose.files import atomic_write
from ofa_pose.latency import measuring
from ofa_pose.latency.build import Effort, Progress, build_entries, make_kit
from ofa_pose.latency.measuring.machine import package_of
from ofa_pose.latency.results import Results, read_results
from ofa_pose.latency.runtimes import RUNTIMES, get_runtime
from ofa_pose.latency.tables import table_of
from ofa_pose.skeleton import Skeleton, load_skeleton
from ofa_pose.space import SearchSpace

_README = """\
# Measure this device

This folder holds networks of the search space {space} and a program that times them with
{runtime}. It needs Python 3.10 or newer, numpy and {package}; once these are installed, the device
need not be connected to anything.

1. Copy the folder to the device, for example `scp -r {folder} pi@raspberrypi:`.
2. On the device:

       cd {folder}
       python3 -m venv env
       env/bin/pip install numpy {pinned}
       env/bin/python measure.py

   On a Raspberry Pi use a 64-bit system and Python from `apt install python3-venv`. Close what
   else is running, give it a fan or let it cool: a processor that gets hot slows down half-way.
   `sudo cpupower frequency-set -g performance` (package linux-cpupower) keeps its clock steady.
   `--threads 4` measures four threads; each number of threads is a table of its own, and so is
   each version of {package}: take the one that the network will be run by.

3. It may be stopped with Ctrl-C, or lose power, at any time: start it again and it goes on.
   {steps:,} steps are to be done. A desktop needs minutes; a Raspberry Pi 4 about ten times that.
4. Copy `results.csv` back, and there:

       ofa-pose latency import results.csv --name rpi4 --describe "Raspberry Pi 4B, 4 GB"

   Then `--budget 30ms@rpi4-{runtime}` works in every search over {space}.

The file is of one machine: measure.py does not go on with a file of another device, another
version of {package} or another number of threads, and such files are never joined.

What is measured: {networks} small networks that hold all {units:,} units of the space between
them, unit by unit in the place where each stands, and {fit} whole networks that the sum of the
units is adjusted to. The weights are a pattern, not learnt ones: they take as long.
"""

_PROGRAM = """\
\"\"\"Measure the networks beside this file on this device, unit by unit, into results.csv.\"\"\"

import sys

if sys.version_info < (3, 10):
    here = "%d.%d" % sys.version_info[:2]
    sys.exit("measure.py: error: it needs Python 3.10 or newer, this is " + here)

from pathlib import Path

from measuring.command import main

if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent))
"""


def write_bundle(
    folder: str | Path,
    all_costs: Sequence[CostTable],
    *,
    runtime: str,
    effort: Effort | None = None,
    progress: Progress | None = None,
) -> None:
    """Write a folder that measures a device without torch and without this package.

    Args:
        folder: new or empty.
        all_costs: of the spaces.
        runtime: one that can be taken along.
        effort: how much is measured.
        progress: told of every exported network.

    Raises:
        UsageError: the runtime cannot be taken along.
        RunFolderError: the folder is not empty.
        MissingExtraError: what exports the networks is not installed.
    """
    folder, chosen = Path(folder), get_runtime(runtime)
    if not chosen.bundled:
        known = ", ".join(name for name, one in RUNTIMES.items() if one.bundled)
        raise UsageError(f"no bundle for {runtime}: it is for {known}; use `latency build` there")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunFolderError(f"{folder} exists and is not empty; give another --out")
    effort = effort or Effort()
    entries = build_entries(all_costs, chosen, effort=effort)
    make_kit(folder, entries, all_costs, chosen, effort=effort, progress=progress)
    shutil.copytree(
        Path(measuring.__file__).parent,
        folder / "measuring",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    atomic_write(folder / "measure.py", _PROGRAM)
    roles = Counter(entry.task.role for entry in entries)
    package = package_of(runtime)
    text = _README.format(
        space=" and ".join(costs.space.name for costs in all_costs),
        runtime=runtime,
        package=package,
        pinned=_pinned(package),
        folder=folder.name,
        steps=sum(entry.task.rounds for entry in entries),
        networks=roles["cover"] + roles["alone"],
        units=len({spec for costs in all_costs for spec in costs.specs_of_all}),
        fit=roles["fit"],
    )
    atomic_write(folder / "README.md", text)


def _pinned(package: str) -> str:
    """Return what pip is to install on the device: the version that a table should be of.

    It is the one that is installed here, else the one that this release was tested with.
    """
    with suppress(metadata.PackageNotFoundError):
        return f"{package}=={metadata.version(package)}"
    with suppress(OfaPoseError, KeyError):
        return f"{package}=={tested_versions()[package]}"
    return f"{package}  # or the version that you will deploy"


def read_measured(
    path: str | Path, spaces: Sequence[SearchSpace] = (), *, skeletons: Sequence[Skeleton] = ()
) -> tuple[Results, list[CostTable]]:
    """Read a results file and load what it is of; `spaces` and `skeletons` go before names.

    Raises:
        LatencyError: the file is damaged or of another space, or of a skeleton that is not known.
    """
    path = Path(path)
    results = read_results(path)
    if not results.spaces:
        raise LatencyError(f"{path}, line 1: damaged: it names no space")
    return results, [_measured_space(about, spaces, skeletons, path) for about in results.spaces]


def table_of_measured(
    path: str | Path,
    results: Results,
    all_costs: Sequence[CostTable],
    *,
    name: str,
    device: str | None,
) -> LatencyTable:
    """Make the table of what a bundle measured.

    Args:
        path: the results file, for messages.
        results: of `read_measured`.
        all_costs: likewise.
        name: of the device.
        device: it in words; None: what it told of itself.

    Raises:
        LatencyError: as `table_of`, with `path`.
    """
    try:
        return table_of(results, all_costs, name=name, device=device)
    except LatencyError as error:
        raise LatencyError(f"{path}: {error}") from None


def _measured_space(
    about: CoveredSpace, given: Sequence[SearchSpace], skeletons: Sequence[Skeleton], path: Path
) -> CostTable:
    named = {space.name: space for space in given}
    try:
        space = named.get(about.name) or load_space(about.name)
    except UnknownNameError as error:
        raise LatencyError(f"{path}: {error}; give a space of your own with --space") from None
    if space.hash != about.hash:
        raise LatencyError(
            f"{path} is of the space {about.name!r} with hash {about.hash}, but here "
            f"{about.name!r} has {space.hash}; give the measured one with --space"
        )
    return costs_with(space, about.skeleton, skeletons)


def costs_with(space: SearchSpace, skeleton: str, known: Sequence[Skeleton] = ()) -> CostTable:
    """Return the space's costs with the skeleton of this name, which a table or results name.

    Args:
        space: whose costs.
        skeleton: its name.
        known: skeletons that go before those of the package.

    Raises:
        LatencyError: there is none of this name.
    """
    if skeleton in (space.skeleton, load_skeleton(space.skeleton).name):
        return CostTable(space)
    own = next((one for one in known if one.name == skeleton), None)
    try:
        return CostTable(space, skeleton=own or load_skeleton(skeleton))
    except UnknownNameError as error:
        raise LatencyError(
            f"it was measured with other joints: {error}; give their file with --skeleton"
        ) from None
