"""What the command line says when something is wrong, and the one table of exit codes.

Data goes to stdout, narration and errors to stderr. An error is one line: what, why, next step. With `--debug` the
traceback stands above it.
"""

import os
import sys
import traceback
from collections.abc import Callable
from enum import IntEnum

import typer

from derms.errors import (
    AccessError,
    ClockError,
    ConflictError,
    DermsError,
    NotFoundError,
    UnavailableError,
    UsageError,
)


class ExitCode(IntEnum):
    """Documented in `docs/errors.md`."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NOT_FOUND = 3
    AUTH = 4
    CONFLICT = 5
    UNAVAILABLE = 6
    UNMET = 7
    INTERRUPTED = 130


_CODES: tuple[tuple[type[DermsError], ExitCode], ...] = (
    (UsageError, ExitCode.USAGE),
    (NotFoundError, ExitCode.NOT_FOUND),
    (AccessError, ExitCode.AUTH),
    (ClockError, ExitCode.UNMET),
    (ConflictError, ExitCode.CONFLICT),
    (UnavailableError, ExitCode.UNAVAILABLE),
)


def exit_code_of(run: Callable[[], object], *, debug: bool = False) -> int:
    """Run a command and turn whatever ends it into a line and a code.

    Args:
        run: The command; an `int` it returns is its exit code.
        debug: Show where an error came from.
    """
    try:
        result = run()
        sys.stdout.flush()
        return result if isinstance(result, int) else ExitCode.OK
    except typer.Exit as error:
        return error.exit_code
    except typer.TyperException as error:
        typer.echo(_about_words(error), err=True)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        write_no_more()
        return ExitCode.OK
    except DermsError as error:
        return report(error, debug=debug)
    except BaseExceptionGroup as group:
        # One of the daemon's tasks failed; what a person can act upon comes first.
        known = group.subgroup(DermsError)
        if known is None:
            raise
        return report(_first(known), debug=debug)


def write_no_more() -> None:
    """Whoever read stdout has had enough. Without this Python would complain once more when it flushes at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def report(error: DermsError, *, debug: bool = False) -> ExitCode:
    """Say an error on stderr and give its exit code."""
    if debug:
        traceback.print_exception(error)
    typer.echo(f"derms: {error} [{error.code}]", err=True)
    return exit_code_for(error)


def exit_code_for(error: DermsError) -> ExitCode:
    """The exit code of an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.FAILURE)


def _about_words(error: typer.TyperException) -> str:
    """What the library itself finds wrong with the words of a command, in the form of every other error."""
    message = str(error.format_message()).strip()
    if "\n" in message:  # a group without a command is its help
        return message
    context = getattr(error, "ctx", None)
    see = "" if context is None else f"; see `{context.command_path} -h`"
    return f"derms: {message[:1].lower()}{message[1:].rstrip('.')}{see} [usage]"


def _first(group: BaseExceptionGroup[DermsError]) -> DermsError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
