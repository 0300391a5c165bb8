"""What the other end of stdout and stderr can show. Pure, but for `here`."""

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_WIDE = 10_000
"""Columns where nobody looks: nothing is cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """What may be written."""

    looks: bool
    """Somebody looks at stdout: it is a terminal."""
    narrates: bool
    """Somebody looks at stderr."""
    asks: bool
    """Somebody can answer a question."""
    colour: bool
    unicode: bool
    width: int
    """Columns of stdout; very many where nobody looks."""
    columns: int = 80
    """Columns of the terminal itself."""


def here(*, no_color: bool = False, ascii_only: bool = False, no_input: bool = False) -> Terminal:
    """This process's terminal.

    Args:
        no_color: No escape sequences.
        ascii_only: Nothing beyond ASCII.
        no_input: Never ask.
    """
    return terminal_of(
        _as_given(os.environ),
        out=sys.stdout.isatty(),
        err=sys.stderr.isatty(),
        asks=sys.stdin.isatty() and sys.stderr.isatty() and not no_input,
        encoding=sys.stdout.encoding or "ascii",
        width=shutil.get_terminal_size().columns,
        no_color=no_color,
        ascii_only=ascii_only,
    )


def _as_given(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The environment as it was given: in the C locale Python sets LC_CTYPE to C.UTF-8 by itself (PEP 538)."""
    try:
        given = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return environment
    if environment.get("LC_CTYPE") == "C.UTF-8" and not any(one.startswith(b"LC_CTYPE=") for one in given):
        return {name: value for name, value in environment.items() if name != "LC_CTYPE"}
    return environment


def terminal_of(
    environment: Mapping[str, str],
    *,
    out: bool,
    err: bool,
    asks: bool,
    encoding: str,
    width: int,
    no_color: bool = False,
    ascii_only: bool = False,
) -> Terminal:
    """What a terminal can show.

    Args:
        environment: `NO_COLOR`, `FORCE_COLOR`, `CLICOLOR_FORCE`, `TERM`, and the locale.
        out: stdout is a terminal.
        err: stderr is one.
        asks: A question would be answered.
        encoding: Of stdout.
        width: Columns, where it is a terminal.
        no_color: Colour was refused on the command line, which beats the environment.
        ascii_only: Anything beyond ASCII was.
    """
    forced = any(environment.get(name, "") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE"))
    refused = no_color or bool(environment.get("NO_COLOR")) or environment.get("TERM") == "dumb"
    locale = environment.get("LC_ALL") or environment.get("LC_CTYPE") or environment.get("LANG") or "C"
    plain = locale.split(".")[0] in ("C", "POSIX") and "utf" not in locale.lower()
    return Terminal(
        looks=out,
        narrates=err,
        asks=asks,
        colour=not no_color and (forced or (out and not refused)),
        unicode=not ascii_only and not plain and "utf" in encoding.lower(),
        width=width if out else _WIDE,
        columns=width,
    )


def printable(text: str, terminal: Terminal) -> str:
    """Text that others wrote, fit to be shown: nothing in it steers the terminal.

    Args:
        text: Lines stay lines.
        terminal: Where it is shown.
    """
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(
        one if one == "\n" or (one.isprintable() and (terminal.unicode or one.isascii())) else "?" for one in text
    )
