"""What the command line says when something is wrong, and the one table of exit codes.

Data goes to stdout, narration and errors to stderr. An error is one line: what, why, next step.
"""

import os
import sys
from collections.abc import Callable
from enum import IntEnum

import typer

from derms.errors import (
    AccessError,
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
    INTERRUPTED = 130


_CODES: tuple[tuple[type[DermsError], ExitCode], ...] = (
    (UsageError, ExitCode.USAGE),
    (NotFoundError, ExitCode.NOT_FOUND),
    (AccessError, ExitCode.AUTH),
    (ConflictError, ExitCode.CONFLICT),
    (UnavailableError, ExitCode.UNAVAILABLE),
)


def exit_code_of(run: Callable[[], object]) -> int:
    """Run a command and turn whatever ends it into a line and a code.

    Args:
        run: The command; an `int` it returns is its exit code.
    """
    try:
        result = run()
        sys.stdout.flush()
        return result if isinstance(result, int) else ExitCode.OK
    except typer.Exit as error:
        return error.exit_code
    except typer.TyperException as error:
        # What the library itself finds wrong with the words of a command; it says so with the command's usage.
        show = getattr(error, "show", None)
        typer.echo(f"derms: {error.format_message()}", err=True) if show is None else show()
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read has had enough. Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except DermsError as error:
        return report(error)
    except BaseExceptionGroup as group:
        # One of the daemon's tasks failed; what a person can act upon comes first.
        known = group.subgroup(DermsError)
        if known is None:
            raise
        return report(_first(known))


def report(error: DermsError) -> ExitCode:
    """Say an error on stderr and give its exit code."""
    typer.echo(f"derms: {error} [{error.code}]", err=True)
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.FAILURE)


def _first(group: BaseExceptionGroup[DermsError]) -> DermsError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
