"""Values as people write them on the command line."""

import re

from derms.errors import UsageError

_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d)?")


def parse_duration(text: str) -> float:
    """Read `90`, `60s`, `2m`, `1h30m` [s].

    Raises:
        UsageError: It is no duration, or none above 0.
    """
    stripped = text.strip().lower()
    parts = _PART.findall(stripped)
    whole = "".join(_PART.sub("", stripped).split())
    seconds = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    if whole or not parts or seconds <= 0.0 or seconds > 366 * 86_400.0:
        raise UsageError(
            f"{text!r} is no duration",
            why="it is a number with s, m, h or d, above 0 and at most a year",
            next_step="write it like 60s, 2m or 1h30m",
        )
    return seconds
