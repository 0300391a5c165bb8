"""From samples to dots: gaps, clipping, and one stroke a column however many samples fall into it. Pure."""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias, cast

from derms.plot.ticks import MOST

Run: TypeAlias = tuple[list[float], list[float]]
"""Where and how much, without a gap in between, from left to right."""
Draw: TypeAlias = Callable[[int, int, int], None]
"""A column, and the rows from which and to which there are dots."""


def runs(xs: Sequence[float], ys: Sequence[float | None], *, step: bool = False, until: float = 0.0) -> list[Run]:
    """The samples between gaps; out of order they are sorted.

    Args:
        xs: Where; what is no number is left out.
        ys: How much; None and what is no number, or beyond `MOST`, is a gap.
        step: A value holds until the next one, or a gap, or the end.
        until: The end.
    """
    if (whole := _without_gaps(xs, ys)) is not None:
        return [_held(whole, until) if step else whole]
    found: list[Run] = []
    run: Run = [], []
    last = -MOST
    for x, y in zip(xs, ys, strict=False):
        if not last <= x <= MOST:
            if -MOST <= x <= MOST:
                return runs(*_in_order(xs, ys), step=step, until=until)
            continue
        last = x
        if y is not None and -MOST <= y <= MOST:
            run[0].append(x)
            run[1].append(y)
        elif run[0]:
            found.append(_held(run, x) if step else run)
            run = [], []
    if run[0]:
        found.append(_held(run, until) if step else run)
    return found


def clipped(run: Run, low: float, high: float, *, step: bool) -> Run | None:
    """The part of a run between two places; None: it has none there.

    Args:
        run: Which.
        low: The left end.
        high: The right end.
        step: A value holds until the next one; else lines go straight from one to the other.
    """
    xs, ys = run
    if low <= xs[0] and xs[-1] <= high:
        return run
    if xs[-1] < low or xs[0] > high:
        return None
    inside = [at for at, x in enumerate(xs) if low <= x <= high]
    first, last = (inside[0], inside[-1] + 1) if inside else (_first_beyond(xs, low), _first_beyond(xs, low))
    kept_x, kept_y = xs[first:last], ys[first:last]
    if first > 0:
        kept_x.insert(0, low)
        kept_y.insert(0, ys[first - 1] if step else _between(xs, ys, first, low))
    if last < len(xs):
        kept_x.append(high)
        kept_y.append(ys[last - 1] if step and last > 0 else _between(xs, ys, last, high))
    return kept_x, kept_y


def trace(run: Run, column_of: tuple[float, float], row_of: tuple[float, float], *, step: bool, draw: Draw) -> None:
    """Draw a run, one stroke a column.

    Args:
        run: Which; within the grid.
        column_of: Origin, and columns a unit.
        row_of: Origin at the top, and rows a unit downwards.
        step: As for `clipped`.
        draw: Takes the strokes.
    """
    left, across = column_of
    top, down = row_of
    before: tuple[int, int] | None = None
    for column, first, least, most, last in _buckets(run, left, across):
        rows = [int((top - value) * down + 0.5) for value in (first, most, least, last)]
        if before is not None:
            _join(before, (column, rows[0]), step, draw)
        draw(column, min(rows), max(rows))
        before = column, rows[3]


def _buckets(run: Run, left: float, across: float) -> Iterable[tuple[int, float, float, float, float]]:
    """By column: its first, least, most and last value."""
    xs, ys = run
    start = 0
    while start < len(xs):
        column = int((xs[start] - left) * across + 0.5)
        end = bisect_left(xs, left + (column + 0.5) / across, start + 1) if across > 0.0 else len(xs)
        there = ys[start:end]
        yield column, there[0], min(there), max(there), there[-1]
        start = end


def _join(start: tuple[int, int], end: tuple[int, int], step: bool, draw: Draw) -> None:
    """Connect two dots, which may be columns apart."""
    (column, row), (end_column, end_row) = start, end
    if step:
        for at in range(column + 1, end_column):
            draw(at, row, row)
        draw(end_column, row, end_row)
        return
    length = end_column - column
    previous = row
    for at in range(1, length + 1):
        here = row + round((end_row - row) * at / length)
        if abs(here - previous) <= 1:
            draw(column + at, here, here)
        else:
            # Half of the way up stands in either column, so that a steep line stays one line.
            middle = (previous + here) // 2
            draw(column + at - 1, previous, middle)
            draw(column + at, middle, here)
        previous = here


def _between(xs: Sequence[float], ys: Sequence[float], at: int, x: float) -> float:
    """What a straight line has at a place before sample `at`."""
    start, end = xs[at - 1], xs[at]
    share = (x - start) / (end - start) if end > start else 0.0
    return ys[at - 1] + share * (ys[at] - ys[at - 1])


def _first_beyond(xs: Sequence[float], low: float) -> int:
    return next((at for at, x in enumerate(xs) if x > low), len(xs))


def _without_gaps(xs: Sequence[float], ys: Sequence[float | None]) -> Run | None:
    """All samples as one run, as they mostly are; found out by what is quick for many; None: they are not."""
    if not xs or len(xs) != len(ys) or None in ys:
        return None
    places, values = list(xs), [*ys]
    good = places == sorted(places) and places[0] >= -MOST and places[-1] <= MOST
    numbers = cast("list[float]", values)
    good = good and min(numbers) >= -MOST and max(numbers) <= MOST
    # What is no number hides from comparisons, but not from a sum.
    return (places, numbers) if good and not math.isnan(sum(numbers) + sum(places)) else None


def _held(run: Run, until: float) -> Run:
    """The run with its last value up to there."""
    xs, ys = run
    return ([*xs, until], [*ys, ys[-1]]) if until > xs[-1] else run


def _in_order(xs: Sequence[float], ys: Sequence[float | None]) -> tuple[list[float], list[float | None]]:
    pairs = sorted(((x, y) for x, y in zip(xs, ys, strict=False) if -MOST <= x <= MOST), key=lambda pair: pair[0])
    return [x for x, _ in pairs], [y for _, y in pairs]
