"""Bars that lie: how much of something, a row each. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from derms.plot.text import AXIS, LABEL, Row, cells, fitted, safe
from derms.plot.ticks import MOST

_EIGHTHS = "▏▎▍▌▋▊▉█"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One row."""

    label: str
    value: float | None
    """None, and what is no number: not known."""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Bin:
    """How many values there are from `low` to below `high`; the last bin has its upper end too."""

    low: float
    high: float
    count: int


def binned(values: Iterable[float | None], *, low: float = 0.0, high: float = 1.0, bins: int = 10) -> list[Bin]:
    """Count values in bins of equal width; what is no number or lies outside is in none.

    Raises:
        ValueError: There is no bin, or none has a width.
    """
    if bins < 1 or not low < high:
        raise ValueError(f"{bins} bins from {low} to {high}; there must be one at least, from less to more")
    counts = [0] * bins
    for value in values:
        if value is not None and low <= value <= high:
            counts[min(int((value - low) / (high - low) * bins), bins - 1)] += 1
    edges = [low + (high - low) * at / bins for at in range(bins + 1)]
    return [Bin(edges[at], edges[at + 1], counts[at]) for at in range(bins)]


def bars(
    what: Sequence[Bar],
    width: int,
    height: int | None = None,
    *,
    unit: str = "",
    digits: int = 1,
    ascii_only: bool = False,
) -> list[Row]:
    """Draw bars from a common zero; where one is negative they go both ways.

    Args:
        what: From the top down.
        width: In cells.
        height: In cells: blank rows below, or a row that says how many more there are; None: a row each.
        unit: Behind each value.
        digits: Decimals of the values.
        ascii_only: Nothing beyond ASCII.

    Returns:
        `height` rows of `width` cells.
    """
    width = max(width, 0)
    height = len(what) if height is None else max(height, 0)
    shown = list(what) if len(what) <= height else list(what[: max(height - 1, 0)])
    values = [None if one.value is None or not -MOST <= one.value <= MOST else float(one.value) for one in shown]
    texts = [_text(value, unit, digits, ascii_only) for value in values]
    label_width = min(max((cells(safe(one.label)) for one in shown), default=0), max(width // 3, 1))
    text_width = max((cells(text) for text in texts), default=0)
    room = width - label_width - text_width - 3
    known = [value for value in values if value is not None]
    least, most = min(0.0, *known, 0.0), max(0.0, *known, 0.0)
    rows: list[Row] = []
    for one, value, text in zip(shown, values, texts, strict=True):
        label = fitted(one.label, label_width, ascii_only=ascii_only)
        if room < 1:
            rows.append([(fitted(f"{label} {text}", width, ascii_only=ascii_only), LABEL)])
            continue
        rows.append([
            (label + " ", LABEL),
            *_bar(value, least, most, room, one.tone, ascii_only),
            (" " + fitted(text, text_width, right=True), LABEL),
        ])  # fmt: skip
    if len(rows) < height and len(shown) < len(what):
        rows.append([(fitted(f"{len(what) - len(shown)} more", width, ascii_only=ascii_only), LABEL)])
    rows += [[(" " * width, "")] for _ in range(height - len(rows))]
    return rows if width else [[] for _ in rows]


def _text(value: float | None, unit: str, digits: int, ascii_only: bool) -> str:
    if value is None:
        return "-"
    number = f"{value:.4g}" if abs(value) >= 1e7 else f"{round(value, digits) + 0.0:.{digits}f}"
    return f"{number} {safe(unit, ascii_only=ascii_only)}".rstrip()


def _bar(value: float | None, least: float, most: float, room: int, tone: str, ascii_only: bool) -> Row:
    """`room` cells and one for the zero."""
    axis = "|" if ascii_only else "│"
    span = most - least
    left = round(room * (-least / span)) if span > 0.0 else 0
    right = room - left
    size = 0.0 if value is None or span <= 0.0 else abs(value) / span * room
    if value is not None and value < 0.0:
        drawn = _backwards(min(size, left), ascii_only)
        return [(" " * (left - len(drawn)), ""), (drawn, tone), (axis, AXIS), (" " * right, "")]
    drawn = _forwards(min(size, right), ascii_only)
    return [(" " * left, ""), (axis, AXIS), (drawn, tone), (" " * (right - len(drawn)), "")]


def _forwards(size: float, ascii_only: bool) -> str:
    if ascii_only:
        return "#" * round(size)
    whole = math.floor(size)
    part = round((size - whole) * 8)
    return "█" * whole + (_EIGHTHS[part - 1] if part else "")


def _backwards(size: float, ascii_only: bool) -> str:
    if ascii_only:
        return "#" * round(size)
    halves = round(size * 2)  # of the blocks that grow from the right there is but the half one
    return ("▐" if halves % 2 else "") + "█" * (halves // 2)
