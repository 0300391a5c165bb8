"""The small pure parts: lines, words, trails, the sun, who may what."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from derms.model import Role
from derms.plot import plain
from derms.tui.access import refusal
from derms.tui.export import write_table
from derms.tui.lines import Glyphs, beside, cut, heading, padded, row_cells, spread, wrapped
from derms.tui.paint.feeders import branches
from derms.tui.paint.gauge import gauge, standing
from derms.tui.said import coarse, flow, kw, span
from derms.tui.series import KEEP_S, Trail
from derms.tui.state import UiState, read_state, reset_state, write_state
from derms.tui.sunlight import is_day, read_place, zone_place
from derms.tui.web import from_here
from derms.tui.widgets.canvas import changed_spans


@pytest.mark.parametrize("width", [0, 1, 5, 11, 40])
def test_rows_are_exactly_as_wide_as_they_are_to_be(width: int) -> None:
    row = [("hello ", "dim"), ("wörld 日本", "")]
    assert row_cells(padded(row, width)) == width
    assert row_cells(cut(row, width)) <= width
    assert row_cells(spread(row, [("end", "")], max(width, 4))) == max(width, 4)
    assert row_cells(heading("Fleet", max(width, 8), Glyphs(), note="60")) == max(width, 8)
    assert all(row_cells(one) <= max(width, 2) for one in wrapped("a bb ccc dddddddddddddd 日本日本", max(width, 2)))
    assert all(row_cells(one) == 2 * width + 2 for one in beside([([row], width), ([row], width)], 3))


def test_wrapped_text_loses_nothing() -> None:
    text = "charging at most 5.0 kW: feeder-1 import limit 165.0 kW averyveryverylongword end"
    for width in range(6, 40):
        joined = "".join(plain(row) for row in wrapped(text, width, hang=2)).replace(" ", "")
        assert joined == text.replace(" ", "")


@pytest.mark.parametrize(
    ("value", "words"),
    [(7.2, "7.2 in "), (-3.14, "3.1 out"), (0.01, "0.0   "), (-0.01, "0.0   "), (None, "-"), (float("nan"), "-")],
)
def test_a_power_has_a_direction_and_never_a_bare_minus(value: float | None, words: str) -> None:
    assert flow(value) == words


def test_figures_are_said_in_few_letters() -> None:
    assert (kw(1234.56), kw(-0.001), kw(None)) == ("1,234.6", "0.0", "-")
    assert [span(seconds) for seconds in (0.0, 119.0, 120.0, 7200.0, 200_000.0, None)] == [
        "0s", "119s", "2m", "2h", "2d", "-",
    ]  # fmt: skip
    assert [coarse(seconds) for seconds in (-1.0, 3.0, 7.0, 51.0, 300.0)] == ["over", "<10s", "<10s", "50s", "5m"]


@pytest.mark.parametrize(
    ("value", "limit", "word"),
    [(50.0, 100.0, "WITHIN"), (95.0, 100.0, "AT LIMIT"), (103.0, 100.0, "OVER by 3.0 kW"), (5.0, None, "no limit"),
     (0.0, 0.0, "WITHIN"), (1.0, 0.0, "OVER by 1.0 kW")],
)  # fmt: skip
def test_a_load_stands_to_its_limit_in_words(value: float, limit: float | None, word: str) -> None:
    assert standing(value, limit)[0] == word
    for width in (1, 8, 60):
        assert row_cells(gauge(value, limit, width, Glyphs())) == width


def test_a_trail_is_seeded_before_what_it_has_and_breaks_where_nothing_is_known() -> None:
    trail = Trail(("load",), every_s=5.0)
    assert trail.add(100.0, {"load": 1.0})
    assert not trail.add(102.0, {"load": 2.0})
    assert trail.add(103.0, {"load": 2.0}, pressing=True)
    trail.seed([(50.0, {"load": 9.0}), (60.0, {"load": None}), (100.0, {"load": 7.0})])
    trail.gap(110.0)
    assert trail.xs == [50.0, 60.0, 100.0, 103.0, 110.0]
    assert trail.ys["load"] == [9.0, None, 1.0, 2.0, None]
    assert trail.since(61.0)[0] == [60.0, 100.0, 103.0, 110.0]


def test_a_trail_forgets_what_is_too_old() -> None:
    trail = Trail(("load",), every_s=60.0)
    for number in range(400):
        trail.add(number * 60.0, {"load": 1.0})
    assert trail.xs[-1] - trail.xs[0] <= KEEP_S + 600.0
    assert len(trail.xs) == len(trail.ys["load"])


def test_the_sun_is_up_where_one_is() -> None:
    berlin, sydney = (52.5, 13.37), (-33.87, 151.2)
    noon = datetime(2026, 11, 24, 11, 0, tzinfo=UTC)
    assert is_day(noon, berlin)
    assert not is_day(noon, sydney)
    # The sun sets in Berlin at 16:02 local time on this day, which is 15:02 UTC.
    assert is_day(datetime(2026, 11, 24, 14, 50, tzinfo=UTC), berlin)
    assert not is_day(datetime(2026, 11, 24, 15, 15, tzinfo=UTC), berlin)


def test_a_zone_names_a_place(tmp_path: Path) -> None:
    (tmp_path / "zone1970.tab").write_text("# comment\nDE,DK\t+5230+01322\tEurope/Berlin\tmost\n")
    assert zone_place(tmp_path, "Europe/Berlin") == pytest.approx((52.5, 13.3667), abs=1e-3)
    assert zone_place(tmp_path, "Nowhere/None") is None
    assert read_place("-335133+1511213") == pytest.approx((-33.8592, 151.2036), abs=1e-3)
    assert read_place("?") is None


def test_a_role_may_what_those_below_it_may() -> None:
    assert refusal(Role.ADMIN, Role.OPERATOR) == ""
    assert refusal(Role.VIEWER, None) == ""
    assert refusal(Role.VIEWER, Role.OPERATOR) == "needs the role operator; you are viewer"
    assert refusal(None, Role.OPERATOR) == "log in first"


def test_what_is_kept_is_read_back_and_can_be_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "a" / "north.json"
    write_state(path, UiState(view="dr", theme="day"))
    assert read_state(path).view == "dr"
    path.write_text('{"theme":"pink"}')
    assert read_state(path).theme == "auto"
    reset_state(path)
    assert read_state(path) == UiState()
    write_state(tmp_path / "a" / "b" / "c.json", UiState())
    (tmp_path / "file").write_text("")
    write_state(tmp_path / "file" / "c.json", UiState())  # it cannot be kept, and nothing is said


def test_a_file_is_never_written_over_another(tmp_path: Path) -> None:
    now = datetime(2026, 11, 24, 17, 30, tzinfo=UTC)
    one = write_table(tmp_path, "devices", ["id"], [["a"]], now)
    other = write_table(tmp_path, "devices", ["id"], [["=1+1"], [None], [2.5]], now)
    assert one != other
    assert one.read_bytes() == b"id\r\na\r\n"
    assert other.read_bytes() == b'id\r\n\'=1+1\r\n""\r\n2.5\r\n'


def test_a_tree_is_drawn_with_its_branches() -> None:
    tree = [("f", 0), ("a", 1), ("a1", 2), ("a2", 2), ("b", 1), ("b1", 2), ("g", 0)]
    assert branches(tree, Glyphs()) == ["", "├─ ", "│  ├─ ", "│  └─ ", "└─ ", "   └─ ", ""]
    assert all(one.isascii() for one in branches(tree, Glyphs(ascii_only=True)))


@pytest.mark.parametrize(
    ("host", "origin", "good"),
    [
        ("127.0.0.1:8000", None, True),
        ("localhost:8000", "http://localhost:8000", True),
        ("127.0.0.1:8000", "http://127.0.0.1:8000", True),
        ("127.0.0.1:8000", "http://evil.example", False),
        ("evil.example:8000", None, False),
        ("127.0.0.1:8000", "http://127.0.0.1:9000", False),
        ("127.0.0.1:8000", "null", False),
        ("127.0.0.1", None, False),
        ("", None, False),
        ("127.0.0.1:x", None, False),
    ],
)
def test_only_pages_of_our_own_may_connect(host: str, origin: str | None, good: bool) -> None:
    assert from_here(host, origin, 8000) is good


def test_only_cells_that_are_others_are_drawn_again() -> None:
    before = [("load ", "dim"), ("12.0", "load"), (" " * 20, ""), ("ok", "good")]
    now = [("load ", "dim"), ("12.5", "load"), (" " * 20, ""), ("ox", "good")]
    assert changed_spans(before, before, 31) == []
    assert changed_spans(before, now, 31) == [(8, 9), (30, 31)]
    assert changed_spans(before, [("日本", "")], 31) == [(0, 31)]
