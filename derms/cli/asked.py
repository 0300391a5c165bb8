"""What people are asked: names and passwords. A password never stands on the command line."""

import getpass
import sys

import typer

from derms.cli.command import Run
from derms.errors import UsageError


def asked(run: Run, what: str, *, hide: bool, again: bool = False) -> str:
    """Ask.

    Args:
        run: Says whether somebody can answer.
        what: The question.
        hide: The answer is not shown.
        again: It is asked twice, and both must be the same.

    Raises:
        UsageError: Nobody can answer.
    """
    if not run.terminal.asks:
        raise UsageError(
            f"{what} is not given",
            why="nobody can be asked here",
            next_step="name the user, and give the password with --password-stdin",
        )
    if not hide:
        return str(typer.prompt(what, err=True))
    # getpass shows the question only when what is typed is shown no more; Typer does it the other way round.
    given = getpass.getpass(f"{what}: ")
    if again and getpass.getpass("Once more: ") != given:
        raise UsageError(
            "the two are not the same", why="a password that is set is asked for twice", next_step="try again"
        )
    if not given:
        raise UsageError(f"{what} is empty", why="nothing was typed", next_step="try again")
    return given


def password_line() -> str:
    """The first line of stdin.

    Raises:
        UsageError: It is empty.
    """
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise UsageError("the password is empty", why="stdin has no line", next_step="write it there, and a line feed")
    return password


def new_password(run: Run, username: str, *, from_stdin: bool) -> str:
    """A password to be set: from stdin, or asked for twice."""
    return password_line() if from_stdin else asked(run, f"New password of {username}", hide=True, again=True)
