"""Where an axis has its ticks, and what is written there. Pure."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

MOST = 1e15
"""Beyond it, in either direction, nothing is drawn: no feeder has such a power, and no float such a step."""
_LEAST_SPAN = 1e-9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE_S, _HOUR_S, _DAY_S = 60.0, 3600.0, 86_400.0
_TIME_STEPS_S = (
    *(1.0, 2.0, 5.0, 10.0, 15.0, 30.0),
    *(each * _MINUTE_S for each in (1, 2, 5, 10, 15, 30)),
    *(each * _HOUR_S for each in (1, 2, 3, 6, 12)),
    *(each * _DAY_S for each in (1, 2, 7, 14, 28, 91, 182, 364)),
)
_DATED_S = (-6e10, 2e11)
"""Between them, some 1,900 years before 1970 and 6,300 after it, an instant has a date [s]."""


def opened(low: float, high: float, finest: float) -> tuple[float, float]:
    """The span, wide enough to be divided; a single value has room on both sides.

    Args:
        low: Its lower end.
        high: Its upper end.
        finest: A span below this share of the values themselves is widened: nothing could tell its ends apart.
    """
    if high - low >= max(_LEAST_SPAN, finest * max(abs(low), abs(high))):
        return low, high
    middle = (low + high) / 2.0
    room = max(abs(middle) * 10.0 * finest, 0.5)
    return middle - room, middle + room


def nice_step(span: float, most: int) -> float:
    """The smallest of 1, 2, 5 times a power of ten that divides the span into at most so many steps."""
    rough = span / max(most, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    return next((each * power for each in (1.0, 2.0, 5.0) if each * power >= rough * (1 - 1e-9)), 10.0 * power)


def multiples(low: float, high: float, step: float) -> list[float]:
    """Every multiple of the step between both, from the lowest on."""
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [at * step for at in range(first, last + 1)]


def numbers(values: Sequence[float], step: float) -> list[str]:
    """What stands at the ticks: with as many decimals as the step has."""
    if step < 1e-4 or any(abs(value) >= 1e7 for value in values):
        return [f"{value + 0.0:.7g}" for value in values]
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{round(value, digits) + 0.0:.{digits}f}" for value in values]


def time_step(span_s: float, most: int) -> float:
    """The smallest step of clock or calendar that divides the span into at most so many steps [s]."""
    rough = span_s / max(most, 1)
    if rough < 1.0:
        return nice_step(span_s, most)
    return next((each for each in _TIME_STEPS_S if each >= rough * (1 - 1e-9)), nice_step(span_s, most))


def is_time(low: float, high: float) -> bool:
    """Both ends have dates."""
    return _DATED_S[0] < low and high < _DATED_S[1]


def times(low: float, high: float, step: float, offset_s: float) -> list[tuple[float, str]]:
    """Ticks of an axis of time: instants [s since 1970 in UTC], and the clock there.

    Args:
        low: Its first instant.
        high: Its last one.
        step: Between ticks [s].
        offset_s: Of the clock from UTC [s]; ticks stand where that clock is even.
    """
    found = []
    for local in multiples(low + offset_s, high + offset_s, step):
        at = _EPOCH + timedelta(seconds=local)
        if step >= _DAY_S or (at.hour == at.minute == at.second == 0 and step >= _MINUTE_S):
            label = f"{at:%m-%d}"
        elif step >= _MINUTE_S:
            label = f"{at:%H:%M}"
        elif step >= 1.0:
            label = f"{at:%H:%M:%S}"
        else:
            label = f"{at:%M:%S}.{at.microsecond // 1000:03d}"
        found.append((local - offset_s, label))
    return found
