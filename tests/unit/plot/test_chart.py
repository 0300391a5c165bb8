import math
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derms.plot import Chart, Level, Row, Series, Stroke, Window, XAxis, cells, chart, plain
from derms.plot.curve import clipped, runs
from derms.plot.ticks import multiples, nice_step, numbers, time_step, times

NAN = math.nan
ANY = st.floats(allow_nan=True, allow_infinity=True, width=64) | st.none()
NUMBER = st.floats(allow_nan=True, allow_infinity=True, width=64)
NAMES = st.text(max_size=12)


def drawn(what: Chart, width: int, height: int, *, ascii_only: bool = False) -> list[str]:
    return [plain(row) for row in chart(what, width, height, ascii_only=ascii_only)]


def bare(*series: Series, low: float = 0.0, high: float = 9.0) -> Chart:
    return Chart(series=series, x=XAxis(low=low, high=high), legend=False)


def line(*points: tuple[float, float | None], step: bool = False) -> Series:
    return Series(name="", xs=[x for x, _ in points], ys=[y for _, y in points], step=step)


def test_a_line_goes_from_the_lower_left_to_the_upper_right() -> None:
    # Too small for axes: the field alone, a dot a cell. 0..9 over 10 columns and 0..9 over 5 rows.
    rows = drawn(bare(line((0, 0), (9, 9))), 7, 4, ascii_only=True)
    assert rows[-1][0] == "*"
    assert rows[0][-1] == "*"
    assert all("*" in row for row in rows)


def test_braille_has_eight_dots_a_cell() -> None:
    # Two cells are 4 x 4 dots, of which a diagonal has four.
    rows = drawn(bare(line((0, 0), (9, 9))), 2, 1)
    assert rows == ["⡠⠊"]


def test_a_gap_stays_blank_and_is_not_bridged() -> None:
    for nothing in (None, NAN, math.inf, -math.inf, 1e16):
        rows = drawn(bare(line((0, 5), (2, 5), (3, nothing), (7, 5), (9, 5))), 6, 3, ascii_only=True)
        top = next(row for row in rows if "*" in row)
        assert top == "**  **", nothing  # 3 to 6 of 0..9 over 6 columns


def test_a_step_holds_until_the_next_value_a_gap_or_the_end() -> None:
    # At 0 it is 2, at 5 it is 1, held until the end at 9: of columns 0..6 the one at 5 / 9 * 6 = 3.3 is number 3.
    rows = drawn(bare(line((0, 2), (5, 1), step=True)), 7, 3, ascii_only=True)
    assert rows == ["****   ", "   ****", "       "]
    rows = drawn(bare(line((0, 2), (4, None), step=True)), 7, 3, ascii_only=True)
    assert rows[0] == "****   "


def test_a_line_that_enters_from_outside_is_cut_where_it_enters() -> None:
    assert clipped(([-10.0, 10.0], [0.0, 20.0]), 0.0, 5.0, step=False) == ([0.0, 5.0], [10.0, 15.0])
    assert clipped(([-10.0, 2.0, 10.0], [1.0, 2.0, 3.0]), 0.0, 5.0, step=True) == ([0.0, 2.0, 5.0], [1.0, 2.0, 2.0])
    assert clipped(([6.0, 7.0], [1.0, 2.0]), 0.0, 5.0, step=False) is None


def test_samples_out_of_order_are_sorted_and_places_that_are_none_left_out() -> None:
    assert runs([3.0, 1.0, NAN, 2.0], [30.0, 10.0, 0.0, None]) == [([1.0], [10.0]), ([3.0], [30.0])]
    assert runs([1.0, NAN, 2.0], [1.0, 2.0, 3.0]) == [([1.0, 2.0], [1.0, 3.0])]


def test_the_axis_has_the_unit_and_even_ticks_that_hold_all_values() -> None:
    rows = drawn(Chart(series=[Series(name="load", xs=[0, 60], ys=[12.0, 187.0])], unit="kW"), 60, 16)
    labels = [row[:4].strip() for row in rows]
    assert labels[0] == "kW"
    assert [label for label in labels[1:-1] if label] == ["200", "100", "0"]
    assert "── load" in rows[0]


def test_all_values_have_room_between_the_lowest_and_the_highest_tick() -> None:
    for least, most in ((0.0, 1.0), (-7.3, 88.1), (249.9, 250.1), (0.0, 0.012), (-1e6, 1e6)):
        series = Series(name="", xs=[0, 1], ys=[least, most])
        rows = drawn(Chart(series=[series], include=()), 60, 20, ascii_only=True)
        labels = [float(found[1]) for row in rows[:-2] if (found := re.match(r" *(\S+) \+", row))]
        assert labels == sorted(labels, reverse=True)
        assert len(labels) >= 2
        assert labels[-1] <= least + 1e-9
        assert labels[0] >= most - 1e-9


@pytest.mark.parametrize(
    ("span", "most", "step"), [(10.0, 5, 2.0), (10.0, 4, 5.0), (1.0, 10, 0.1), (250.0, 5, 50.0), (3.0, 1, 5.0)]
)
def test_a_step_is_one_two_or_five(span: float, most: int, step: float) -> None:
    assert nice_step(span, most) == pytest.approx(step)


def test_numbers_have_the_decimals_of_their_step() -> None:
    assert numbers([0.0, 0.5, 1.0], 0.5) == ["0.0", "0.5", "1.0"]
    assert numbers([-100.0, -0.0, 100.0], 100.0) == ["-100", "0", "100"]
    assert numbers(multiples(0.0, 0.3, 0.1), 0.1) == ["0.0", "0.1", "0.2", "0.3"]


@pytest.mark.parametrize(
    ("span_s", "most", "step"),
    [(60.0, 6, 10.0), (3600.0, 6, 600.0), (7200.0, 5, 1800.0), (86_400.0, 8, 10_800.0), (7 * 86_400.0, 7, 86_400.0)],
)
def test_time_has_the_steps_of_clock_and_calendar(span_s: float, most: int, step: float) -> None:
    assert time_step(span_s, most) == step


def test_ticks_of_time_are_even_on_the_clock_of_who_looks() -> None:
    # 2025-11-29T00:00:00Z; India is 5 h 30 min ahead, where every even hour is half past in UTC.
    midnight = 1_764_374_400.0
    found = times(midnight, midnight + 4 * 3600, 3600.0, 5.5 * 3600)
    assert [label for _, label in found] == ["06:00", "07:00", "08:00", "09:00"]
    assert found[0][0] == midnight + 1800
    assert [label for _, label in times(midnight - 3600, midnight + 3600, 1800.0, 0.0)] == [
        *("23:00", "23:30", "11-29", "00:30", "01:00")
    ]


def test_the_axis_of_time_names_its_offset() -> None:
    at = 1_764_374_400.0
    what = Chart(series=[Series(name="", xs=[at, at + 7200], ys=[1, 2])], x=XAxis(offset_s=3600.0, unit="+01:00"))
    rows = drawn(what, 70, 12)
    assert rows[-1].startswith("+01:00 ")
    assert rows[-1].split()[1:] == ["01:00", "01:30", "02:00", "02:30", "03:00"]


def test_a_level_goes_from_end_to_end_and_is_in_sight() -> None:
    what = Chart(series=[Series(name="load", xs=[0, 9], ys=[1, 1])], levels=[Level(name="limit", y=50.0)])
    rows = drawn(what, 40, 12, ascii_only=True)
    assert any(row.count("-") > 25 for row in rows[1:-2])
    assert "- limit  * load" in rows[0]
    assert any(row.strip().startswith("60") or row.strip().startswith("50") for row in rows)


def test_a_window_is_shaded_behind_what_is_drawn() -> None:
    what = Chart(
        series=[Series(name="load", xs=[0, 9], ys=[5, 5], tone="load")],
        windows=[Window(start=3, end=6, name="event", tone="event")],
        include=(0.0, 10.0),
    )
    rows = chart(what, 50, 12)
    shaded = [text for row in rows[1:-2] for text, tone in row if tone == "event"]
    assert shaded
    assert all(set(text) <= {"░", " "} for text in shaded)
    assert any(tone == "load" for row in rows[1:-2] for _, tone in row)
    assert "░░ event" in plain(rows[0])


def test_beyond_the_present_a_line_is_dotted() -> None:
    what = Chart(series=[Series(name="", xs=[0, 100], ys=[5, 5])], now=50.0, legend=False, x=XAxis(low=0, high=100))
    row = next(row for row in drawn(what, 60, 12) if "⠉⠉⠉⠉" in row or "⠒⠒⠒⠒" in row or "⠤⠤⠤⠤" in row or "⣀⣀⣀⣀" in row)
    before, after = row[6:30], row[36:]
    assert " " not in before
    assert " " in after.strip()
    assert after.strip()
    assert any("┊" in other for other in drawn(what, 60, 12))


def test_a_dashed_line_has_gaps_and_a_solid_one_none() -> None:
    for stroke, whole in ((Stroke.SOLID, True), (Stroke.DASHED, False), (Stroke.DOTTED, False)):
        what = Chart(series=[Series(name="", xs=[0, 9], ys=[1, 1], stroke=stroke)], include=(), legend=False)
        [row] = drawn(what, 4, 1)
        assert (row == row[0] * 4 and row[0] in "⠉⠒⠤⣀") == whole, (stroke, row)


def test_every_line_keeps_its_tone_and_the_axes_theirs() -> None:
    what = Chart(series=[line((0, 1), (9, 1)), Series(name="b", xs=[0, 9], ys=[5, 5], tone="good")], unit="kW")
    tones = {tone for row in chart(what, 40, 12) for _, tone in row}
    assert {"good", "axis", "label"} <= tones


def test_the_legend_takes_a_second_row_where_one_is_too_short() -> None:
    series = [Series(name=f"a long name {at}", xs=[0, 1], ys=[0, at]) for at in range(4)]
    rows = drawn(Chart(series=series), 50, 20)
    assert "a long name 0" in rows[0]
    assert "a long name 3" in rows[1] + rows[2]


def test_no_data_is_an_empty_chart_with_axes() -> None:
    rows = drawn(Chart(unit="kW"), 40, 10, ascii_only=True)
    assert len(rows) == 10
    assert rows[-2].lstrip().startswith("+")


def test_names_of_others_cannot_steer_the_terminal_nor_move_a_column() -> None:
    what = Chart(series=[Series(name="\x1b[31m\n配電é\u0301", xs=[0, 1], ys=[0, 1])], unit="k\tW")
    rows = drawn(what, 50, 10)
    assert [cells(row) for row in rows] == [50] * 10
    assert all(row.isprintable() for row in rows)


def test_a_chart_of_two_hours_is_drawn_within_a_frame() -> None:
    xs = [float(at) for at in range(1800)]
    series = [Series(name=str(n), xs=xs, ys=[math.sin(x / 90 + n) * 50 for x in xs]) for n in range(4)]
    best_s = math.inf
    for _ in range(5):
        begun = time.perf_counter()
        chart(Chart(series=series), 120, 20)
        best_s = min(best_s, time.perf_counter() - begun)
    assert best_s < 0.05  # some 5 ms on a core of its own; bounded by what a screen of 20 frames a second has


@given(
    data=st.data(),
    width=st.integers(-1, 90),
    height=st.integers(-1, 30),
    ascii_only=st.booleans(),
    timed=st.booleans(),
)
def test_a_chart_is_exactly_as_large_as_was_asked_for(
    data: st.DataObject, width: int, height: int, ascii_only: bool, timed: bool
) -> None:
    series = data.draw(
        st.lists(
            st.builds(
                Series,
                name=NAMES,
                xs=st.lists(NUMBER, max_size=12),
                ys=st.lists(ANY, max_size=12),
                step=st.booleans(),
                stroke=st.sampled_from(Stroke),
            ),
            max_size=3,
        )
    )
    what = Chart(
        series=series,
        levels=data.draw(st.lists(st.builds(Level, name=NAMES, y=NUMBER), max_size=2)),
        windows=data.draw(st.lists(st.builds(Window, start=NUMBER, end=NUMBER, name=NAMES), max_size=2)),
        unit=data.draw(NAMES),
        x=XAxis(low=data.draw(ANY), high=data.draw(ANY), offset_s=3600.0 if timed else None, unit=data.draw(NAMES)),
        include=data.draw(st.lists(NUMBER, max_size=2)),
        now=data.draw(ANY),
    )
    rows = chart(what, width, height, ascii_only=ascii_only)
    check(rows, max(width, 0), max(height, 0), ascii_only)


@given(
    width=st.integers(1, 60),
    height=st.integers(1, 20),
    low=st.floats(-1e6, 1e6),
    values=st.lists(st.floats(-500, 500), min_size=1, max_size=40),
    ascii_only=st.booleans(),
)
def test_whatever_is_measured_leaves_a_mark(
    width: int, height: int, low: float, values: list[float], ascii_only: bool
) -> None:
    xs = [low + at for at in range(len(values))]
    rows = chart(Chart(series=[Series(name="", xs=xs, ys=values, tone="it")]), width, height, ascii_only=ascii_only)
    check(rows, width, height, ascii_only)
    assert any(tone == "it" and text.strip() for row in rows for text, tone in row)


def check(rows: list[Row], width: int, height: int, ascii_only: bool) -> None:
    assert len(rows) == height
    for row in rows:
        assert cells(plain(row)) == width
        assert plain(row).isprintable()
        assert not ascii_only or plain(row).isascii()
