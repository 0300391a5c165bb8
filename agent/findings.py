"""What a check of an agent's setup found, one thing at a time. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from derms.errors import DermsError


class State(StrEnum):
    """How a thing stands."""

    OK = "ok"
    WARNING = "warning"
    """It works, and somebody should know."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """It could not be tried, because something before it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was tried."""

    name: str
    state: State
    detail: str
    next_step: str = ""
    error: DermsError | None = None
    """Set where it failed."""


def ok(name: str, detail: str) -> Finding:
    """It works."""
    return Finding(name=name, state=State.OK, detail=detail)


def warning(name: str, detail: str, next_step: str) -> Finding:
    """It works, and somebody should know."""
    return Finding(name=name, state=State.WARNING, detail=detail, next_step=next_step)


def failed(name: str, error: DermsError) -> Finding:
    """It does not work."""
    detail = f"{error.what}; {error.why}" if error.why else error.what
    return Finding(name=name, state=State.FAILED, detail=detail, next_step=error.next_step, error=error)


def skipped(name: str, why: str) -> Finding:
    """It could not be tried."""
    return Finding(name=name, state=State.SKIPPED, detail=why)
