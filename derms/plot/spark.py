"""A line of a few cells that says how something went. Pure."""

from collections.abc import Sequence

from derms.plot.ticks import MOST

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.-~=+*#"


def sparkline(
    values: Sequence[float | None],
    width: int,
    *,
    low: float | None = None,
    high: float | None = None,
    ascii_only: bool = False,
) -> str:
    """The values as blocks, the newest one at the right.

    Args:
        values: From left to right; None and what is no number is a blank.
        width: In cells; of more values the largest of each cell is shown, with fewer there are blanks at the left.
        low: What the lowest block stands for; None: the least value.
        high: What the highest block stands for; None: the largest value.
        ascii_only: Nothing beyond ASCII.
    """
    width = max(width, 0)
    shown = [None if value is None or not -MOST <= value <= MOST else float(value) for value in values]
    if width and len(shown) > width:
        shown = [_most(shown[len(shown) * at // width : len(shown) * (at + 1) // width]) for at in range(width)]
    known = [value for value in shown if value is not None]
    least = min(known, default=0.0) if low is None or not -MOST <= low <= MOST else low
    most = max(known, default=0.0) if high is None or not -MOST <= high <= MOST else high
    levels = _ASCII if ascii_only else _BLOCKS
    top = len(levels) - 1

    def level(value: float) -> str:
        if most <= least:
            return levels[0 if value <= least else top]
        return levels[min(max(round(top * ((value - least) / (most - least))), 0), top)]

    return "".join(" " if value is None else level(value) for value in shown).rjust(width)[:width]


def _most(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
