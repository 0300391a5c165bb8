"""Values as people write them."""

import math
import re
from enum import StrEnum

from derms.errors import UsageError


class Units(StrEnum):
    """What people read powers in."""

    KW = "kw"
    W = "w"


_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_UNITS_KW = {"": 1.0, "w": 0.001, "kw": 1.0, "mw": 1000.0}
_POWER = re.compile(r"([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)\s*(w|kw|mw)?")
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


def parse_power(text: str) -> float:
    """Read `150`, `-3.5`, `150kW`, `1.2MW` [kW].

    Raises:
        UsageError: It is no power. Python's own `nan` and `inf` are none: JSON would make null of them, which clears.
    """
    found = _POWER.fullmatch(text.strip().lower())
    if found is None or not math.isfinite(kw := float(found[1]) * _UNITS_KW[found[2] or ""]):
        raise UsageError(
            f"{text!r} is no power", why="it is a number of kW, or one with W, kW or MW", next_step="write it like 150"
        )
    return kw


def parse_magnitude(text: str) -> float:
    """Read a power that has no sign [kW].

    Raises:
        UsageError: It is no power, or below 0.
    """
    kw = parse_power(text)
    if kw < 0.0:
        raise UsageError(
            f"{text!r} is below 0", why="the option's name gives the direction", next_step="write it without the sign"
        )
    return kw


def parse_limit(text: str) -> float | None:
    """Read a magnitude, or `none`, which takes a limit away [kW].

    Raises:
        UsageError: It is neither.
    """
    return None if text.strip().lower() == "none" else parse_magnitude(text)


def parse_price(text: str) -> float:
    """Read a price, 0 or more [currency/kWh].

    Raises:
        UsageError: It is none.
    """
    try:
        price = float(text)
    except ValueError:
        price = math.nan
    if not 0.0 <= price < math.inf:
        raise UsageError(f"{text!r} is no price", why="it is 0 or more, per kWh", next_step="write it like 0.15")
    return price


def parse_share(text: str) -> float:
    """Read `0.8` or `80%`, 0..1.

    Raises:
        UsageError: It is neither.
    """
    digits, percent, rest = text.strip().partition("%")
    try:
        share = float(digits) / (100.0 if percent else 1.0)
    except ValueError:
        share = math.nan
    if rest or not 0.0 <= share <= 1.0:
        raise UsageError(f"{text!r} is no share", why="it is 0..1, or 0%..100%", next_step="write it like 0.8 or 80%")
    return share
