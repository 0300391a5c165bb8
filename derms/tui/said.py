"""Figures as the screens say them. Pure."""

import math
from datetime import datetime

_NOTHING_KW = 0.05


def kw(value: float | None, *, digits: int = 1) -> str:
    """`142.3`; `-` where it is not known."""
    if value is None or math.isnan(value):
        return "-"
    return f"{value + 0.0:,.{digits}f}".replace("-0.0", "0.0") if abs(value) < 0.05 else f"{value:,.{digits}f}"


def flow(value: float | None) -> str:
    """`7.2 in`, `3.1 out`, `0.0`: never a bare minus; `-` where it is not known."""
    if value is None or math.isnan(value):
        return "-"
    if abs(value) < _NOTHING_KW:
        return "0.0   "
    return f"{abs(value):,.1f} {'in ' if value > 0.0 else 'out'}"


def span(seconds: float | None) -> str:
    """`4s`, `3m`, `5h`, `2d`; `-`: not known. What is over is `0s`."""
    if seconds is None or math.isnan(seconds):
        return "-"
    for size, unit in ((86_400.0, "d"), (3600.0, "h"), (60.0, "m")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(max(seconds, 0.0))}s"


def coarse(seconds: float | None) -> str:
    """As `span`, in steps of ten seconds: a table that stands still is not drawn again each second."""
    if seconds is None or math.isnan(seconds):
        return "-"
    if seconds < 0.0:
        return "over"
    if seconds < 10.0:
        return "<10s"
    return f"{int(seconds // 10) * 10}s" if seconds < 120.0 else span(seconds)


def percent(share: float | None) -> str:
    """`82%`; `-`: not known."""
    return "-" if share is None or math.isnan(share) else f"{share * 100.0:.0f}%"


def clock(at: datetime, *, seconds: bool = True) -> str:
    """`21:14:05`, in the zone of whoever looks."""
    return f"{at.astimezone():%H:%M:%S}" if seconds else f"{at.astimezone():%H:%M}"


def day_clock(at: datetime, now: datetime) -> str:
    """`21:14`; with the day where it is not today: `Tue 24 21:14`."""
    here = at.astimezone()
    return f"{here:%H:%M}" if here.date() == now.astimezone().date() else f"{here:%a %d %H:%M}"


def count(number: int, noun: str) -> str:
    """`1 device`, `1,200 devices`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
