"""What can go wrong, named after what the user did, so that one clear line can be shown."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable


class OfaPoseError(Exception):
    """Base of every error raised on purpose; `exit_code` is what the command returns."""

    exit_code = 1


class UsageError(OfaPoseError):
    """The request itself is wrong: a name, an option, a value."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that is not registered or declared; the message has the near match or all names.

    With `list_all` it has both, and at its end `hint`, which says what else there is to know.
    """

    def __init__(
        self,
        what: str,
        name: str,
        known: Iterable[str],
        *,
        list_all: bool = False,
        hint: str = "",
    ) -> None:
        names = sorted(known)
        guess = suggest(name, names)
        more = f"; known: {', '.join(names)}" if list_all and "known" not in guess else ""
        end = f"; {hint}" if hint else ""
        super().__init__(f"unknown {what} {name!r}{guess}{more if names else ''}{end}")


class SpaceError(UsageError):
    """A search-space YAML that breaks the schema; every fault is in the message."""


class ArchError(UsageError):
    """An arch that does not belong to the space it is used with."""


class BudgetError(UsageError):
    """A budget that cannot be parsed or that mixes conventions."""


class InfeasibleBudgetError(BudgetError):
    """A budget below the cheapest arch; the message names the smallest feasible one."""


class SkeletonError(UsageError):
    """A skeleton declaration that contradicts itself."""


class RecipeError(UsageError):
    """A training recipe with unknown keys or impossible values."""


class RunFolderError(UsageError):
    """An output folder that exists, cannot be written, or belongs to another run."""


class MissingExtraError(UsageError):
    """An optional dependency is not installed; the message names the extra."""


class DataError(OfaPoseError):
    """Annotations or images that cannot be used as they are."""


class WeightsError(OfaPoseError):
    """Weights of another space or skeleton, damaged, or with NaNs."""


class WorkerLostError(OfaPoseError):
    """What was to be evaluated killed its worker, and those that tried again."""


class CostError(OfaPoseError):
    """A network holds an operation whose cost is not known; it is reported, never guessed."""


class LatencyError(CostError):
    """A latency table that is damaged, of another format, or that misses units."""


class MeasuringStoppedError(LatencyError):
    """A measurement that a runtime or a full disk ended; what was measured before is kept."""


class ConversionError(OfaPoseError):
    """A network that a runtime's converter cannot turn into its file, or that it cannot run."""


class TrainingDivergedError(OfaPoseError):
    """The loss became NaN or infinite; the message names the last good checkpoint."""


DEPENDENCIES = {
    *("torch", "numpy", "scipy", "pandas", "sklearn", "cv2", "PIL", "matplotlib", "pycocotools"),
    *("deap", "joblib", "thop", "pydantic", "safetensors", "yaml", "typer", "rich", "jinja2"),
}
"""What ofa-pose depends on, by the names that are imported."""


def missing_package(error: ModuleNotFoundError) -> MissingExtraError:
    """Return what to tell where a module that is needed is not there.

    It is a package that this one depends on, or what another's code imports, such as a user's: then
    the message names the file that does.
    """
    if error.name == "torch":
        return MissingExtraError("this needs PyTorch, which is not installed: pip install torch")
    if error.name in DEPENDENCIES:  # one with a dot lacks in a package that is installed
        return MissingExtraError(
            f"this needs {error.name}, which is not installed: install ofa-pose with all that it "
            "depends on"
        )
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    where = f"{files[-1]}: " if files else ""
    return MissingExtraError(f"{where}{' '.join(str(error).split())}; install what it imports")


def listing(names: Iterable[str], most: int = 12) -> str:
    """Return the names in one line, the first `most` of them; `none` if there is none."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) + more) or "none"


def suggest(name: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for a near match, else `"; known: a, b, c"`."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known: {', '.join(names)}" if names else "; none is known"
