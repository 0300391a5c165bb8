"""Lines over a common axis, with ticks, units, limits, windows and a legend. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from derms.plot.curve import Draw, Run, clipped, runs, trace
from derms.plot.parts import Chart, Stroke, XAxis
from derms.plot.raster import DOTS_DOWN, Raster
from derms.plot.text import AXIS, LABEL, NOW, Row, cells, fitted, plain, row_of, safe
from derms.plot.ticks import MOST, is_time, multiples, nice_step, numbers, opened, time_step, times

_GLYPHS = "*+ox@%&$"
"""What lines are made of where there is nothing but ASCII, in turn."""
_LEVEL_GLYPHS = "-="
_FINEST_X, _FINEST_Y = 1e-12, 1e-6
_ROWS_A_TICK = 4
"""At least, so that labels have air."""
_LEAST_WIDTH, _LEAST_HEIGHT = 8, 2
"""Of the field inside the axes; below that there are none."""


_SAMPLES = {Stroke.SOLID: "──", Stroke.DASHED: "╌╌", Stroke.DOTTED: "··"}
_PATTERNS = {Stroke.SOLID: (1, 1), Stroke.DASHED: (6, 4), Stroke.DOTTED: (4, 1)}
"""Columns a period, and how many of them have dots."""


@dataclass(frozen=True, slots=True)
class _Line:
    """What is traced, of a series or a level."""

    runs: list[Run]
    step: bool
    stroke: Stroke
    tone: str
    glyph: str


def chart(what: Chart, width: int, height: int, *, ascii_only: bool = False) -> list[Row]:
    """Draw.

    Args:
        what: A chart.
        width: In cells; axes are left out where they would leave no room.
        height: In cells.
        ascii_only: Nothing beyond ASCII.

    Returns:
        `height` rows of `width` cells.
    """
    width, height = max(width, 0), max(height, 0)
    if not width or not height:
        return [[] for _ in range(height)]
    x_low, x_high = _x_span(what)
    lines = _lines(what, x_low, x_high)
    y_low, y_high = _y_span(what, lines)
    head = _legend(what, width, max(height // 4, 1), ascii_only) if what.legend else []
    unit = safe(what.unit, ascii_only=ascii_only)
    rows = height - 2 - max(len(head), 1 if unit else 0)
    gutter = 0
    labels: dict[int, str] = {}
    if rows >= _LEAST_HEIGHT:
        y_low, y_high, labels = _y_axis(y_low, y_high, rows, 1 if ascii_only else DOTS_DOWN)
        gutter = max(*(len(text) for text in labels.values()), cells(unit), cells(what.x.unit)) + 1
    if rows < _LEAST_HEIGHT or width - gutter - 1 < _LEAST_WIDTH:
        raster = _field(what, lines, (x_low, x_high), (y_low, y_high), width, height, ascii_only)
        return [row_of(raster.characters(row), raster.tones(row)) for row in range(height)]
    inner = width - gutter - 1
    raster = _field(what, lines, (x_low, x_high), (y_low, y_high), inner, rows, ascii_only)
    upright, tick, corner = "|++" if ascii_only else "│┤└"
    drawn = [_headed(unit, gutter, head[0] if head else [], width, ascii_only)] if head or unit else []
    drawn += [_padded([(" " * (gutter + 1), ""), *row], width, ascii_only) for row in head[1:]]
    for row in range(rows):
        label = labels.get(row)
        margin: Row = [(fitted(label or "", gutter - 1, right=True) + " ", LABEL)]
        margin.append((upright if label is None else tick, AXIS))
        drawn.append(margin + row_of(raster.characters(row), raster.tones(row)))
    axis, below = _x_axis(what.x, x_low, x_high, inner, ascii_only)
    drawn.append([(" " * gutter, ""), (corner + axis, AXIS)])
    zone = fitted(what.x.unit, gutter - 1, ascii_only=ascii_only, right=True)
    drawn.append([(zone + "  " + below, LABEL)])
    return drawn


def _x_span(what: Chart) -> tuple[float, float]:
    low, high = (None if end is None or not -MOST <= end <= MOST else end for end in (what.x.low, what.x.high))
    if low is None or high is None:
        found = [x for series in what.series for x in series.xs if -MOST <= x <= MOST]
        found += [x for window in what.windows for x in (window.start, window.end) if -MOST <= x <= MOST]
        low = min(found, default=0.0) if low is None else low
        high = max(found, default=low) if high is None else high
    return opened(min(low, high), max(low, high), _FINEST_X)


def _lines(what: Chart, low: float, high: float) -> list[_Line]:
    lines = []
    for number, level in enumerate(what.levels):
        glyph = _LEVEL_GLYPHS[number % len(_LEVEL_GLYPHS)]
        there = [([low, high], [level.y, level.y])] if -MOST <= level.y <= MOST else []
        lines.append(_Line(there, True, level.stroke, level.tone, glyph))
    for number, series in enumerate(what.series):
        found = runs(series.xs, series.ys, step=series.step, until=high)
        inside = [part for run in found if (part := clipped(run, low, high, step=series.step)) is not None]
        lines.append(_Line(inside, series.step, series.stroke, series.tone, _GLYPHS[number % len(_GLYPHS)]))
    return lines


def _y_span(what: Chart, lines: Sequence[_Line]) -> tuple[float, float]:
    found = [value for value in what.include if -MOST <= value <= MOST]
    for line in lines:
        for _, ys in line.runs:
            found += (min(ys), max(ys))
    return opened(min(found, default=0.0), max(found, default=1.0), _FINEST_Y)


def _y_axis(low: float, high: float, rows: int, dots: int) -> tuple[float, float, dict[int, str]]:
    """The span out to whole ticks, and by row of cells what is written there; a cell has so many dots."""
    step = nice_step(high - low, max(rows // _ROWS_A_TICK, 2))
    ticks = [at * step for at in range(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)]
    low, high = min(ticks[0], low), max(ticks[-1], high)
    rows_of = [int((high - value) / (high - low) * (rows * dots - 1) + 0.5) // dots for value in ticks]
    return low, high, dict(zip(rows_of, numbers(ticks, step), strict=True))


def _field(
    what: Chart,
    lines: Sequence[_Line],
    x: tuple[float, float],
    y: tuple[float, float],
    width: int,
    height: int,
    ascii_only: bool,
) -> Raster:
    """The inside of the axes."""
    raster = Raster(width, height, ascii_only=ascii_only)
    across, down = (raster.columns - 1) / (x[1] - x[0]), (raster.rows - 1) / (y[1] - y[0])
    _ground(what, raster, x, y, ascii_only)
    now = what.now if what.now is not None and -MOST <= what.now <= MOST else MOST
    present = (min(max(now, x[0]), x[1]) - x[0]) * across if now < x[1] else float(raster.columns)
    for line in lines:
        draw = _pen(raster, line, present)
        for run in line.runs:
            trace(run, (x[0], across), (y[1], down), step=line.step, draw=draw)
    return raster


def _pen(raster: Raster, line: _Line, present: float) -> Draw:
    """Draws a line in its stroke; in ASCII its glyph tells it from others, so that only the future has gaps."""
    period, on = (1, 1) if raster.across == 1 else _PATTERNS[line.stroke]
    sparse = 2 * raster.across
    stroke, glyph, tone = raster.stroke, line.glyph, line.tone

    def draw(column: int, first: int, last: int) -> None:
        if first == last and (column % sparse if column > present else column % period >= on):
            return
        stroke(column, first, last, glyph, tone)

    return draw


def _ground(what: Chart, raster: Raster, x: tuple[float, float], y: tuple[float, float], ascii_only: bool) -> None:
    """Shade, the line at nothing, and the present."""
    shade, level, upright = ":.|" if ascii_only else "░┈┊"
    across = (raster.width - 1) / (x[1] - x[0])
    for window in what.windows:
        start, end = max(window.start, x[0]), min(window.end, x[1])
        if not start <= end:
            continue
        for at in range(round((start - x[0]) * across), round((end - x[0]) * across) + 1):
            for row in range(raster.height):
                raster.ground(at, row, shade, window.tone)
    if y[0] < 0.0 < y[1]:
        row = round(y[1] / (y[1] - y[0]) * (raster.height - 1))
        for at in range(raster.width):
            raster.ground(at, row, level, AXIS)
    if what.now is not None and x[0] <= what.now < x[1]:
        for row in range(raster.height):
            raster.ground(round((what.now - x[0]) * across), row, upright, NOW)


def _x_axis(axis: XAxis, low: float, high: float, width: int, ascii_only: bool) -> tuple[str, str]:
    """The axis with its ticks, and the labels below; both `width` cells."""
    flat, tick = "-+" if ascii_only else "─┬"
    if axis.offset_s is not None and is_time(low, high):
        widest = 5 if high - low >= 8 * 60.0 else 8
        step = time_step(high - low, max(width // (widest + 5), 1))
        ticks = times(low, high, step, axis.offset_s)
    else:
        step = nice_step(high - low, max(width // 10, 1))
        values = multiples(low, high, step)
        ticks = list(zip(values, numbers(values, step), strict=True))
    line, below, free = [flat] * width, [" "] * width, 0
    for value, label in ticks:
        at = min(max(round((value - low) / (high - low) * (width - 1)), 0), width - 1)
        line[at] = tick
        start = min(max(at - len(label) // 2, 0), width - len(label))
        if start >= free and start >= 0:
            below[start : start + len(label)] = label
            free = start + len(label) + 1
    return "".join(line), "".join(below)


def _legend(what: Chart, width: int, most: int, ascii_only: bool) -> list[Row]:
    """Who is who, in as few rows as it takes, and no more than there may be."""
    shade = ":" if ascii_only else "░░"
    entries = [
        (_LEVEL_GLYPHS[at % len(_LEVEL_GLYPHS)] if ascii_only else _SAMPLES[one.stroke], one.name, one.tone)
        for at, one in enumerate(what.levels)
    ]
    entries += [
        (_GLYPHS[at % len(_GLYPHS)] if ascii_only else _SAMPLES[one.stroke], one.name, one.tone)
        for at, one in enumerate(what.series)
    ]
    seen = {name for _, name, _ in entries}
    for window in what.windows:
        if window.name not in seen:  # several events may go by one name
            seen.add(window.name)
            entries.append((shade, window.name, window.tone))
    rows: list[Row] = [[]]
    room = most_room = max(width - 12, 1)
    for sample, name, tone in entries:
        if not name:
            continue
        text = f"{sample} {safe(name, ascii_only=ascii_only)}"
        needed = cells(text) + (2 if rows[-1] else 0)
        if needed > room and rows[-1] and len(rows) < most:
            rows.append([])
            room, needed = most_room, cells(text)
        if rows[-1]:
            rows[-1].append(("  ", ""))
        rows[-1] += [(sample, tone), (text[len(sample) :], LABEL)]
        room -= needed
    return rows if rows[0] else []


def _headed(unit: str, gutter: int, legend: Row, width: int, ascii_only: bool) -> Row:
    """The row above the field: the unit over its axis, then the legend."""
    head: Row = [(fitted(unit, gutter - 1, ascii_only=ascii_only, right=True) + "  ", LABEL)]
    return _padded(head + legend, width, ascii_only)


def _padded(row: Row, width: int, ascii_only: bool) -> Row:
    """The row in exactly so many cells: blanks behind it, or cut."""
    room = width
    kept: Row = []
    for text, tone in row:
        if cells(text) > room:
            kept.append((fitted(text, room, ascii_only=ascii_only), tone))
            return [segment for segment in kept if segment[0]]
        kept.append((text, tone))
        room -= cells(text)
    if room:
        kept.append((" " * room, ""))
    assert cells(plain(kept)) == width
    return kept
