import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derms.plot import Bar, Row, bars, binned, cells, fitted, plain, sparkline

ANY = st.floats(allow_nan=True, allow_infinity=True) | st.none()


def drawn(rows: list[Row]) -> list[str]:
    return [plain(row) for row in rows]


def test_a_bar_is_as_long_as_its_share_of_the_largest() -> None:
    # 30 cells: 1 of label, 1 blank, 1 axis, 1 blank, 6 of "8.0 kW" leave 20 for the largest, in eighths of a cell.
    rows = drawn(bars([Bar(label="a", value=8.0), Bar(label="b", value=4.2)], 30, unit="kW"))
    assert rows == ["a │" + "█" * 20 + " 8.0 kW", "b │" + "█" * 10 + "▌" + " " * 9 + " 4.2 kW"]


def test_bars_go_both_ways_where_one_is_negative() -> None:
    rows = drawn(bars([Bar(label="a", value=2.0), Bar(label="b", value=-2.0)], 24, ascii_only=True))
    assert rows == ["a         |########  2.0", "b ########|         -2.0"]


def test_what_is_not_known_has_no_bar() -> None:
    for nothing in (None, math.nan, math.inf, 1e300):
        [row] = drawn(bars([Bar(label="a", value=nothing)], 20, ascii_only=True))
        assert row == "a |" + " " * 15 + " -"


def test_more_bars_than_rows_are_counted() -> None:
    rows = drawn(bars([Bar(label=str(at), value=at) for at in range(9)], 30, 4))
    assert [row.split()[0] for row in rows] == ["0", "1", "2", "6"]
    assert rows[-1].strip() == "6 more"


def test_values_are_counted_in_bins_and_the_last_has_its_upper_end() -> None:
    counts = [one.count for one in binned([0.0, 0.05, 0.1, 0.95, 1.0, None, math.nan, -0.1, 1.1])]
    assert counts == [2, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    with pytest.raises(ValueError, match="0 bins"):
        binned([], bins=0)


def test_a_sparkline_has_the_newest_value_at_the_right() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([0, None, 7], 5) == "  ▁ █"
    assert sparkline([0, 9, 0, 0], 2, ascii_only=True) == "#_"  # the peak of each cell
    assert sparkline([5, 5], 2) == "▁▁"
    assert sparkline([5], 1, low=0, high=10) == "▅"


@given(
    values=st.lists(st.tuples(st.text(max_size=9), ANY), max_size=12),
    width=st.integers(-1, 60),
    height=st.none() | st.integers(-1, 14),
    ascii_only=st.booleans(),
)
def test_bars_are_exactly_as_large_as_was_asked_for(
    values: list[tuple[str, float | None]], width: int, height: int | None, ascii_only: bool
) -> None:
    what = [Bar(label=label, value=value) for label, value in values]
    rows = drawn(bars(what, width, height, unit="kW", ascii_only=ascii_only))
    assert len(rows) == (len(what) if height is None else max(height, 0))
    for row in rows:
        assert cells(row) == max(width, 0)
        assert row.isprintable()
        assert not ascii_only or row.isascii()


@given(st.lists(ANY, max_size=40), st.integers(-1, 20), ANY, ANY, st.booleans())
def test_a_sparkline_is_exactly_as_long_as_was_asked_for(
    values: list[float | None], width: int, low: float | None, high: float | None, ascii_only: bool
) -> None:
    shown = sparkline(values, width, low=low, high=high, ascii_only=ascii_only)
    assert len(shown) == max(width, 0)
    assert not ascii_only or shown.isascii()


@given(st.text(max_size=20), st.integers(-1, 25), st.booleans(), st.booleans())
def test_text_is_cut_or_filled_to_its_width(text: str, width: int, ascii_only: bool, right: bool) -> None:
    shown = fitted(text, width, ascii_only=ascii_only, right=right)
    assert cells(shown) == max(width, 0)
    assert shown == "" or shown.isprintable()
