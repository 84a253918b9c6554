"""The entry point: registers the verbs, turns every mistake into one line and an exit code."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

import ofa_pose
from ofa_pose.cli import (
    _console,
    data,
    doctor,
    eval,  # noqa: A004 - the verb's name
    export,
    finetune,
    health,
    latency,
    macs,
    predict,
    search,
    spaces,
    train,
)
from ofa_pose.cli._verbs import Verbs
from ofa_pose.errors import MeasuringStoppedError, OfaPoseError, UsageError, missing_package

PROGRAM = "ofa-pose"
DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130
_TOGETHER = (["train"], ["finetune"])
"""The verbs whose processes, started by torchrun, work on one thing."""
_RESUMABLE = (["train"], ["finetune"], ["search"], ["health"])

# typer's own base of usage errors; it lies in click or inside typer, depending on typer's version.
_TyperError: type[Exception] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name=PROGRAM,
    cls=Verbs,
    no_args_is_help=True,
    rich_markup_mode=None,  # its panels cut words that one has to type
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"Example: {PROGRAM} search --budget 1.2G",
)
for verb in (search, train, finetune, eval, predict, export, health, macs, doctor):
    app.command(verb.__name__.rpartition(".")[2], epilog=verb.EPILOG)(verb.command)
app.add_typer(spaces.app, name="spaces")
app.add_typer(data.app, name="data")
app.add_typer(latency.app, name="latency")


def _show_version(wanted: bool) -> None:
    if wanted:
        _console.line(f"{PROGRAM} {ofa_pose.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; anywhere on the line.")
    ] = False,
) -> None:
    """Declare what may vary, train once, then cut out the best pose network for any device."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; the last error is one line on stderr."""
    debug = "--debug" in arguments
    arguments = [_at_home(argument) for argument in arguments if argument != "--debug"]
    try:
        _require_alone(arguments[:1])
        with _console.logging_to_stderr():
            code = app(arguments, prog_name=PROGRAM, standalone_mode=False)
    except _TyperError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # no verb was given
            _console.line(str(error))
            return WRONG_USE
        return _fail(error, _usage_message(error), code=WRONG_USE, debug=debug)
    except MeasuringStoppedError as error:
        told = f"{error}{_hint_after_stop(arguments)}"
        return _fail(error, told, code=error.exit_code, debug=debug)
    except OfaPoseError as error:
        return _fail(error, str(error), code=error.exit_code, debug=debug)
    except BrokenPipeError:
        # The reader of our output (`| head`) has gone; Python must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except OSError as error:
        return _fail(error, _os_message(error), code=FAILED, debug=debug)
    except ModuleNotFoundError as error:
        missing = missing_package(error)
        return _fail(error, str(missing), code=missing.exit_code, debug=debug)
    except Exception as error:  # noqa: BLE001 - the last door: a bug is told in one line, too
        return _fail(error, _last_message(error), code=FAILED, debug=debug)
    if code == INTERRUPTED:
        _console.error("interrupted" + _hint_after_stop(arguments))
    return code if isinstance(code, int) else DONE


def main() -> None:
    """Run the command line of this process and exit with its code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a ? for a letter that the terminal lacks
    sys.exit(run(sys.argv[1:]))


def _hint_after_stop(arguments: Sequence[str]) -> str:
    """How to go on with what was interrupted; empty where nothing was kept."""
    if arguments[:1] in _RESUMABLE:
        return "; what was saved is complete, --resume goes on from it"
    kept = any(argument.partition("=")[0] == "--work" for argument in arguments)
    if arguments[:2] == ["latency", "build"] or (arguments[:2] == ["latency", "validate"] and kept):
        again = "the same command without --force" if "--force" in arguments else "the same command"
        return f"; what was measured is kept, {again} goes on from it"
    return ""


def _at_home(argument: str) -> str:
    """Return an argument with its `~` expanded, which shells leave as it is in `--out=~/x`."""
    option, equals, value = argument.partition("=")
    if not option.startswith("-"):
        return os.path.expanduser(argument)
    return f"{option}{equals}{os.path.expanduser(value)}"


def _require_alone(verb: Sequence[str]) -> None:
    """Refuse to do the same several times under torchrun.

    Raises:
        UsageError: the verb is none that several processes share.
    """
    under_torchrun = "TORCHELASTIC_RUN_ID" in os.environ
    if under_torchrun and os.environ.get("WORLD_SIZE", "1") != "1" and verb not in _TOGETHER:
        raise UsageError(
            f"{' '.join([PROGRAM, *verb])} is one process's work: start it without torchrun; a "
            "search has --workers"
        )


def _fail(error: Exception, message: str, *, code: int, debug: bool) -> int:
    if debug:
        _console.traceback(error)
    _console.error(message)
    return code


def _out_of_memory(error: Exception) -> bool:
    """Whether Python, a GPU or torch's allocator on a CPU has no memory left."""
    told = "can't allocate memory" in str(error) or "not enough memory" in str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and told)
    )


def _usage_message(error: Exception) -> str:
    tell = getattr(error, "format_message", error.__str__)
    message = tell()
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else PROGRAM
    return f"{message.rstrip('.')}; see {path} --help"


def _last_message(error: Exception) -> str:
    """Tell of a full memory, else of a bug."""
    if _out_of_memory(error):
        return (
            "out of memory; try a smaller --batch-size or fewer --workers; a training takes its "
            "batch in parts by --set accumulate=2, also one that goes on by --resume"
        )
    return (
        f"this is a bug in {PROGRAM}: {type(error).__name__}: {error}; --debug shows the traceback"
    )


def _os_message(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"
