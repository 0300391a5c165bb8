"""Plain line charts as SVG: small, the same bytes every time, readable on white and on dark pages. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeVar

import numpy as np

from derms.columns import Floats

WIDTH, HEIGHT = 760, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 34, 62
_LETTER = 7
"""About the width of one."""
_MOST_POINTS = 700
"""More points than this are thinned out: no screen shows them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a chart."""

    name: str
    x: Floats
    y: Floats
    color: str
    dashed: bool = False
    steps: bool = False
    """Each value holds until the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Lines over common axes, from 0 upwards unless something lies below."""

    title: str
    x_words: str
    y_words: str
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """Rows of bars along a time axis: who was on, and when."""

    title: str
    x_words: str
    rows: Sequence[tuple[str, Sequence[tuple[float, float]]]]
    color: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Bars from a common beginning, longest values to the right."""

    title: str
    x_words: str
    begin: float
    end: float
    rows: Sequence[tuple[str, float, str]]
    """Name, value, color."""


def line_chart(chart: Chart) -> str:
    """Draw lines."""
    lines = [_thinned(line) for line in chart.lines]
    x_low, x_high = min(float(line.x.min()) for line in lines), max(float(line.x.max()) for line in lines)
    y_low = min(0.0, *(float(np.nanmin(line.y)) for line in lines))
    y_ticks = ticks(y_low, max(float(np.nanmax(line.y)) for line in lines))
    y_low, y_high = min(y_low, y_ticks[0]), y_ticks[-1]
    bottom = HEIGHT - _BOTTOM
    body = [_axis_x(ticks(x_low, x_high, within=True), x_low, x_high, bottom, chart.x_words)]
    for value in y_ticks:
        y = _scaled(value, y_low, y_high, bottom, _TOP)
        body.append(f'<path class="g" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>')
        body.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    body.append(f'<text x="8" y="{_TOP - 8}">{escape(chart.y_words)}</text>')
    at = _LEFT
    for line in lines:
        xs = _scaled(line.x, x_low, x_high, _LEFT, WIDTH - _RIGHT)
        ys = _scaled(line.y, y_low, y_high, bottom, _TOP)
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        body.append(
            f'<path fill="none" stroke="{line.color}" stroke-width="1.6"{dash} d="{_path(xs, ys, line.steps)}"/>'
        )
        body.append(f'<path stroke="{line.color}" stroke-width="3"{dash} d="M{at} {HEIGHT - 12}h22"/>')
        body.append(f'<text x="{at + 28}" y="{HEIGHT - 8}">{escape(line.name)}</text>')
        at += 48 + _LETTER * len(line.name)
    return _picture(chart.title, HEIGHT, body)


def span_chart(spans: Spans) -> str:
    """Draw who was on."""
    height = _TOP + 14 * len(spans.rows) + 40
    high = max((end for _, bars in spans.rows for _, end in bars), default=1.0)
    body = [_axis_x(ticks(0.0, high, within=True), 0.0, high, height - 40, spans.x_words)]
    for place, (name, bars) in enumerate(spans.rows):
        y = _TOP + 14 * place
        body.append(f'<text x="{_LEFT - 6}" y="{y + 10}" text-anchor="end">{escape(name)}</text>')
        for begin, end in bars:
            x = _scaled(begin, 0.0, high, _LEFT, WIDTH - _RIGHT)
            width = _scaled(end, 0.0, high, _LEFT, WIDTH - _RIGHT) - x
            body.append(f'<rect x="{x:.1f}" y="{y + 2}" width="{width:.1f}" height="10" fill="{spans.color}"/>')
    return _picture(spans.title, height, body)


def bar_chart(bars: Bars) -> str:
    """Draw bars with their values."""
    left, height = 150, _TOP + 22 * len(bars.rows) + 40
    body = []
    for value in ticks(bars.begin, bars.end, within=True):
        x = _scaled(value, bars.begin, bars.end, left, WIDTH - 60)
        body.append(f'<path class="g" d="M{x:.1f} {_TOP}V{height - 40}"/>')
        body.append(f'<text x="{x:.1f}" y="{height - 24}" text-anchor="middle">{value:g}</text>')
    body.append(f'<text x="{left}" y="{height - 6}">{escape(bars.x_words)}</text>')
    for place, (name, value, color) in enumerate(bars.rows):
        y = _TOP + 22 * place
        width = max(_scaled(value, bars.begin, bars.end, left, WIDTH - 60) - left, 0.0)
        body.append(f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>')
        body.append(f'<rect x="{left}" y="{y + 4}" width="{width:.1f}" height="14" fill="{color}"/>')
        body.append(f'<text x="{left + width + 6:.1f}" y="{y + 15}">{value:.2f}</text>')
    return _picture(bars.title, height, body)


def ticks(low: float, high: float, *, within: bool = False) -> list[float]:
    """Round numbers from below `low` to above `high`, some five of them; `within`: none outside."""
    span = max(high - low, 1e-9)
    size = 10.0 ** np.floor(np.log10(span / 4.0))
    step = float(next(size * factor for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if span / (size * factor) <= 6.0))
    first, last = int(np.floor(low / step + 1e-9)), int(np.ceil(high / step - 1e-9))
    every = [round(step * number, 9) for number in range(first, last + 1)]
    return [value for value in every if low - 1e-9 <= value <= high + 1e-9] if within else every


def _thinned(line: Line) -> Line:
    """Every k-th point, with the highest in between, so that no peak is lost."""
    every = -(-line.x.size // _MOST_POINTS)
    if every == 1:
        return line
    kept = line.x.size // every * every
    y = line.y[:kept].reshape(-1, every).max(axis=1)
    return Line(name=line.name, x=line.x[:kept:every], y=y, color=line.color, dashed=line.dashed, steps=line.steps)


def _path(x: Floats, y: Floats, steps: bool) -> str:
    parts: list[str] = []
    for place, (at, value) in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
        if not np.isfinite(value):
            continue
        if not parts:
            parts.append(f"M{at:.1f} {value:.1f}")
        elif steps:
            parts.append(f"H{at:.1f}V{value:.1f}")
        elif place:
            parts.append(f"L{at:.1f} {value:.1f}")
    return "".join(parts)


def _axis_x(values: Sequence[float], low: float, high: float, bottom: float, words: str) -> str:
    parts = []
    for value in values:
        x = _scaled(value, low, high, _LEFT, WIDTH - _RIGHT)
        parts.append(f'<path class="g" d="M{x:.1f} {_TOP}V{bottom}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{value:g}</text>')
    parts.append(f'<text x="{WIDTH - _RIGHT}" y="{bottom + 32}" text-anchor="end">{escape(words)}</text>')
    return "\n".join(parts)


_Number = TypeVar("_Number", float, Floats)


def _scaled(value: _Number, low: float, high: float, begin: float, end: float) -> _Number:
    return begin + (value - low) / max(high - low, 1e-12) * (end - begin)


def _picture(title: str, height: float, body: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        'font-size="12" fill="#333">'
    )
    style = "<style>.g{stroke:#ddd;fill:none}</style>"
    ground = f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    heading = f'<text x="{WIDTH / 2:.0f}" y="18" text-anchor="middle" font-size="14">{escape(title)}</text>'
    return "\n".join([head, f"<title>{escape(title)}</title>", style, ground, heading, *body, "</svg>", ""])
