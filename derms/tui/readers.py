"""What somebody writes into a form -> values. Pure."""

from collections.abc import Callable
from datetime import datetime

from derms.errors import UsageError
from derms.wording.instants import parse_instant
from derms.wording.values import parse_duration, parse_limit, parse_magnitude, parse_power


def text(most: int = 500, *, needed: bool = False) -> Callable[[str], str]:
    """A text of so many characters at most."""

    def read(written: str) -> str:
        if needed and not written:
            raise UsageError("it is empty", why="people will read it", next_step="write a few words")
        if len(written) > most or not written.isprintable():
            raise UsageError(f"it has {len(written)} characters", why=f"at most {most}, all printable")
        return written

    return read


def maybe_magnitude(written: str) -> float | None:
    """A power without a sign, or nothing [kW]."""
    return parse_magnitude(written) if written else None


def limit(written: str) -> float | None:
    """A power without a sign, or `none` [kW]."""
    return parse_limit(written or "none")


def power(written: str) -> float:
    """A power [kW]."""
    return parse_power(written)


def duration(written: str) -> float:
    """How long [s]."""
    return parse_duration(written)


def instant(now: datetime) -> Callable[[str], datetime | None]:
    """When; nothing and `now`: at once."""

    def read(written: str) -> datetime | None:
        return None if written.lower() in ("", "now") else parse_instant(written, now)

    return read


def one_of(*values: str) -> Callable[[str], str]:
    """One of these, or the beginning of one."""

    def read(written: str) -> str:
        found = [value for value in values if value.startswith(written.lower())]
        if len(found) != 1:
            raise UsageError(f"{written!r} is none", why=f"it is one of {', '.join(values)}", next_step="write one")
        return found[0]

    return read
