"""Figures, tables, pages and plots: what a benchmark writes."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from derms.bench.control import SECTIONS
from derms.bench.figures import Figure, Section, Table, lines_of, markdown_of
from derms.bench.page import MACHINE, written
from derms.bench.report import Report
from derms.bench.svg import Bars, Chart, Line, Spans, bar_chart, line_chart, span_chart, ticks
from derms.errors import UsageError

SECTION = Section(
    key="dr",
    title="8 Demand response",
    setting="A limit falls.",
    figures=(
        Figure(what="until under", value=4.0, unit="s", target=5.0, at_least=False, rivals=(("equal", 121.0),)),
        Figure(what="delivered", value=0.9, unit="", target=0.999, bound=1.0),
        Figure(what="rebound", value=99.0),
    ),
    tables=(Table(title="Each seed", header=("seed", "s"), rows=(("1", "4"), ("2", "3"))),),
)
REPORT = Report(machine=(("numpy", "2"),), sections=(SECTION,))


def test_a_figure_is_judged_in_the_direction_of_its_target() -> None:
    assert [figure.passed for figure in SECTION.figures] == [True, False, None]
    assert [figure.aim for figure in SECTION.figures] == ["<= 5 s", ">= 0.999", ""]
    assert Figure(what="", value=5.0, target=5.0, at_least=False).passed is True


def test_a_section_is_shown_with_value_target_verdict_and_rivals() -> None:
    text = "\n".join(lines_of(SECTION))
    assert "until under  4 s      <= 5 s    pass  equal 121 s" in text
    assert "delivered    0.900    >= 0.999  fail  best possible 1.000" in text
    assert "| until under | 4 s | <= 5 s | pass | equal 121 s |" in markdown_of(SECTION)
    assert "| 2 | 3 |" in markdown_of(SECTION)


def test_what_misses_is_listed_and_json_says_what_passed() -> None:
    assert REPORT.missed == ["delivered"]
    figures = REPORT.as_json()["sections"][0]["figures"]
    assert [figure["passed"] for figure in figures] == [True, False, None]
    assert figures[0]["rivals"] == {"equal": 121.0}


def test_a_page_keeps_what_stands_around_the_places_and_can_be_written_again() -> None:
    page = "# Head\n<!-- begin machine -->\n<!-- end machine -->\nwords\n<!-- begin dr -->\nold\n<!-- end dr -->\nend\n"
    once = written(page, REPORT)
    assert "old" not in once
    assert once.startswith("# Head\n")
    assert once.endswith("<!-- end dr -->\nend\n")
    assert "| numpy | 2 |" in once
    assert written(once, REPORT) == once


def test_the_page_of_the_project_has_a_place_for_every_section() -> None:
    page = (Path(__file__).parents[3] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    for key in (MACHINE, *SECTIONS):
        assert f"<!-- begin {key} -->" in page, key


def test_a_page_without_a_place_is_refused() -> None:
    with pytest.raises(UsageError, match="dr"):
        written("<!-- begin machine -->\n<!-- end machine -->\n", REPORT)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.0, 100.0, [0, 20, 40, 60, 80, 100]), (-3.0, 9.0, [-4, -2, 0, 2, 4, 6, 8, 10]), (0.0, 0.0, None)],
)
def test_ticks_are_round_and_span_all(low: float, high: float, expected: list[float] | None) -> None:
    values = ticks(low, high)
    assert expected is None or values == expected
    assert values[0] <= low
    assert values[-1] >= high


def test_charts_are_well_formed_the_same_every_time_and_escape_words() -> None:
    x = np.arange(5000.0)
    line = Line(name="a < b", x=x, y=np.sin(x / 500.0), color="#123456", dashed=True)
    gaps = Line(name="gaps", x=x, y=np.where(x < 100.0, np.nan, 1.0), color="#000", steps=True)
    pictures = [
        line_chart(Chart(title="t & t", x_words="s", y_words="kW", lines=(line, gaps))),
        span_chart(Spans(title="turns", x_words="h", rows=[("ev-1", [(0.0, 1.0), (2.0, 3.5)])], color="#123")),
        bar_chart(Bars(title="bars", x_words="%", begin=85.0, end=100.0, rows=[("fair", 99.5, "#123")])),
    ]
    for picture in pictures:
        assert ElementTree.fromstring(picture).tag.endswith("svg")
        assert "nan" not in picture
    assert len(pictures[0]) < 40_000  # thinned out
    assert pictures[0] == line_chart(Chart(title="t & t", x_words="s", y_words="kW", lines=(line, gaps)))
