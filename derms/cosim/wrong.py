"""What is wrong with a line. An expected outcome: the session goes on, and the line has changed nothing. Pure."""

from collections.abc import Iterable
from difflib import get_close_matches
from enum import StrEnum


class Code(StrEnum):
    """The documented codes (`docs/errors.md`)."""

    MALFORMED = "malformed"
    TOO_LARGE = "too-large"
    UNKNOWN_FIELD = "unknown-field"
    MISSING_FIELD = "missing-field"
    BAD_VALUE = "bad-value"
    BAD_TIME = "bad-time"
    UNKNOWN_NODE = "unknown-node"
    UNKNOWN_DEVICE = "unknown-device"
    CYCLE = "cycle"
    INTERNAL = "internal"


class WrongLine(Exception):
    """Carries what is wrong to the end of the line's way, where it becomes an answer.

    Args:
        code: Which rule.
        what: The value that is wrong, and where it stands.
        why: The rule it broke.
        next_step: What to do now.
    """

    def __init__(self, code: Code, what: str, *, why: str, next_step: str) -> None:
        super().__init__(f"{what}; {why}; {next_step}")
        self.code = code


def near(name: str, known: Iterable[str]) -> str:
    """Which known names may have been meant, as a next step."""
    names = sorted(known)
    close = get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"known are {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}" if names else "there are none"


def shown(value: object, longest: int = 40) -> str:
    """A value as it may stand in a message."""
    text = repr(value)
    return text if len(text) <= longest else text[: longest - 3] + "..."
