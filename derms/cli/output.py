"""What the command line says when something is wrong, and the one table of exit codes.

Data goes to stdout, narration and errors to stderr. An error is three lines: what, why, next step; each only where
there is something to say. With `--debug` the traceback stands above them.
"""

import contextlib
import errno
import os
import re
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

_GUESS = re.compile(r"[.]? ?(?:Did you mean (?P<one>[^?]+)\?|\(Possible options: (?P<several>[^)]+)\))")


def exit_code_of(run: Callable[[], object], *, debug: bool = False) -> int:
    """Run a command and turn whatever ends it into lines and a code.

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
        return _about_words(error)
    except (KeyboardInterrupt, typer.Abort):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        write_no_more()
        return ExitCode.OK
    except DermsError as error:
        return report(error, debug=debug)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
            raise
        return _about_stdout(error)
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
    _say(error.what, error.why, error.next_step, error.code)
    return exit_code_for(error)


def exit_code_for(error: DermsError) -> ExitCode:
    """The exit code of an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.FAILURE)


def _say(what: str, why: str, next_step: str, code: str) -> None:
    from derms.cli.terminal import here, printable

    first, *others = what.split("\n")  # several settings are wrong at once, each on its line
    lines = [f"derms: {first} [{code}]", *(f"       {one}" for one in others)]
    lines += [f"  {name} {text}" for name, text in (("why: ", why), ("next:", next_step)) if text]
    with contextlib.suppress(OSError):  # stderr may be full, or gone, too
        typer.echo(printable("\n".join(lines), here()), err=True)


def _about_words(error: typer.TyperException) -> int:
    """What the library itself finds wrong with the words of a command, in the form of every other error."""
    message = str(error.format_message()).strip()
    context = getattr(error, "ctx", None)
    if message.startswith("Usage:"):  # a group without a command is its help
        typer.echo(message, err=True)
        return error.exit_code
    guess = _GUESS.search(message)
    what = " ".join(_GUESS.sub("", message).split()).rstrip(".")
    see = "derms -h" if context is None else f"{context.command_path} -h"
    near = "" if guess is None else f"did you mean {guess['one'] or guess['several']}? Else "
    why = "there is none of that name" if guess is not None or what.startswith("No such") else _RULES.get(
        type(error).__name__, "the words do not fit the command"
    )  # fmt: skip
    _say(f"{what[:1].lower()}{what[1:]}", why, f"{near}see `{see}`", UsageError.code)
    return error.exit_code


_RULES = {
    "MissingParameter": "the command needs it",
    "BadParameter": "the value does not fit what is expected there",
    "BadOptionUsage": "the option is used in another way",
}


def _about_stdout(error: OSError) -> ExitCode:
    with contextlib.suppress(OSError, ValueError):
        write_no_more()
    _say(
        "the output cannot be written", error.strerror or str(error), "make room, or write it elsewhere",
        DermsError.code,
    )  # fmt: skip
    return ExitCode.FAILURE


def _first(group: BaseExceptionGroup[DermsError]) -> DermsError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
