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
    lines: int = 24
    """Lines of the terminal itself."""
    dumb: bool = False
    """It knows no escape sequences at all."""
    watts: bool = False
    """Whoever looks reads powers in W instead of kW."""

    def power(self, kw: float | None, digits: int = 1) -> str:
        """A power as it is read, with its unit; `-` for none.

        Args:
            kw: [kW].
            digits: Decimals in kW; in W there are three fewer.
        """
        if kw is None:
            return "-"
        scaled, digits, unit = (1000.0 * kw, max(digits - 3, 0), "W") if self.watts else (kw, digits, "kW")
        return f"{round(scaled, digits) + 0.0:.{digits}f} {unit}"  # without the sign of a zero


def here(*, no_color: bool = False, ascii_only: bool = False, no_input: bool = False) -> Terminal:
    """This process's terminal.

    Args:
        no_color: No escape sequences.
        ascii_only: Nothing beyond ASCII.
        no_input: Never ask.
    """
    size = shutil.get_terminal_size()
    return terminal_of(
        _as_it_was(os.environ),
        out=sys.stdout.isatty(),
        err=sys.stderr.isatty(),
        asks=sys.stdin.isatty() and sys.stderr.isatty() and not no_input,
        encoding=sys.stdout.encoding or "ascii",
        width=size.columns,
        lines=size.lines,
        no_color=no_color,
        ascii_only=ascii_only,
    )


def _as_it_was(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The environment as the user set it: in a locale of `C` Python makes LC_CTYPE another one (PEP 538)."""
    if environment.get("LC_CTYPE") not in ("C.UTF-8", "C.utf8", "UTF-8"):
        return environment
    try:
        began = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return environment
    coerced = not any(each.startswith(b"LC_CTYPE=") for each in began)
    return {name: value for name, value in environment.items() if not (coerced and name == "LC_CTYPE")}


def terminal_of(
    environment: Mapping[str, str],
    *,
    out: bool,
    err: bool,
    asks: bool,
    encoding: str,
    width: int,
    lines: int = 24,
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
        lines: Its lines.
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
        lines=lines,
        dumb=environment.get("TERM", "dumb") == "dumb",
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
