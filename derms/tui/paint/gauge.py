"""A bar against a limit. Pure."""

from derms.tui.lines import Glyphs, Row
from derms.tui.said import kw, percent

_NEAR = 0.92
"""From this share of the limit on it is close."""
_TINY_KW = 0.05


def standing(value_kw: float, limit_kw: float | None) -> tuple[str, str]:
    """How a load stands to its limit: a word, and its tone."""
    if limit_kw is None:
        return "no limit", "dim"
    if value_kw > limit_kw * 1.01 + 0.01:
        return f"OVER by {kw(value_kw - limit_kw)} kW", "bad"
    if value_kw > limit_kw * _NEAR:
        return "AT LIMIT", "warn"
    return "WITHIN", "good"


def gauge(value_kw: float, limit_kw: float | None, width: int, glyphs: Glyphs, *, scale_kw: float = 0.0) -> Row:
    """A bar with a mark where the limit is.

    Args:
        value_kw: What flows, >= 0 [kW].
        limit_kw: What may flow [kW]; None: no limit.
        width: In cells.
        glyphs: Which characters there are.
        scale_kw: What the whole bar stands for, at the least [kW].
    """
    most = max(value_kw, (limit_kw or 0.0) * 1.12, scale_kw, _TINY_KW)
    filled = min(round(width * value_kw / most), width)
    _, tone = standing(value_kw, limit_kw)
    tone = "load" if limit_kw is None else tone
    if limit_kw is None:
        return [(glyphs.full * filled, tone), (glyphs.empty * (width - filled), "empty")]
    mark = min(round(width * limit_kw / most), width - 1)
    inside, outside = min(filled, mark), max(filled - mark - 1, 0)
    return [
        (glyphs.full * inside, tone),
        (glyphs.empty * (mark - inside), "empty"),
        (glyphs.mark, "limit"),
        (glyphs.full * outside, "bad"),
        (glyphs.empty * (width - mark - 1 - outside), "empty"),
    ]


def used(value_kw: float, limit_kw: float | None) -> str:
    """` 86%` of the limit."""
    return "" if not limit_kw else percent(value_kw / limit_kw)
