"""The command that a bundle is measured with."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from .errors import MeasureError, StoppedError, in_one_line
from .kit import RESULTS, Kit
from .lines import give_up_untold, say
from .machine import package_of, this_machine, told

_TELL_SECONDS = 10.0
_KEPT = "what was measured is kept: start again to go on"


def main(here: Path, arguments: Sequence[str] | None = None) -> int:
    """Measure the kit in `here`, or in --kit, into results.csv; return the exit code."""
    try:
        return _measure(here, arguments)
    finally:
        give_up_untold()


def _measure(here: Path, arguments: Sequence[str] | None) -> int:
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
            say(f"{done} of {total} steps ({done / total:.0%}, {now - started:.0f} s)")

    try:
        from .protocol import measure  # needs numpy, whose lack is told below

        kit = Kit.load(options.kit)
        results = options.out or options.kit / RESULTS
        machine = this_machine(kit.document["runtime"], threads=options.threads)
        say(f"measuring on {told(machine)}; stop and go on whenever you like")
        measure(kit, results, threads=options.threads, progress=tell)
    except StoppedError as error:
        return _fail(f"{error}; {_KEPT}")
    except (MeasureError, OSError) as error:
        return _fail(str(error))
    except ImportError as error:
        return _fail(_told_import(error))
    except KeyboardInterrupt:
        say("stopped; start again to go on", error=True)
        return 130
    except Exception as error:  # where the machine is short of something
        return _fail(f"{in_one_line(error)}; {_KEPT}")
    say(f"wrote {results}; now: ofa-pose latency import {results.name} --name NAME")
    return 0


def _fail(message: str) -> int:
    say(f"measure.py: error: {message}", error=True)
    return 1


def _told_import(error: ImportError) -> str:
    """What is not installed, or cannot be used here, in one line."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        if error.name.startswith(f"{__package__}."):
            return f"{error.name} is missing; copy the whole folder here again"
        package = package_of(error.name.partition(".")[0])
        return f"{package} is not installed; install it: pip install {package}"
    return " ".join(
        f"cannot import {error.name or 'a package'}: {error.__cause__ or error}".split()
    )
