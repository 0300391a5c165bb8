"""Every format, byte for byte."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest

from derms.cli.formats import Column, Format, Listing, one, written
from derms.cli.terminal import Terminal


class Row(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    load_kw: float | None
    full: bool
    note: str
    at: datetime


AT = datetime(2026, 11, 24, 17, 0, tzinfo=UTC)
ROWS = [
    Row(name="feeder-1", load_kw=151.25, full=True, note="no", at=AT),
    Row(name="lane-2", load_kw=None, full=False, note='says "hi", twice', at=AT),
    Row(name="lane-3", load_kw=-0.01, full=False, note="\x1b[31mred", at=AT),
]
COLUMNS: list[Column[Row]] = [
    Column(name="name", title="FEEDER", value=lambda row: row.name),
    Column(name="load_kw", title="LOAD kW", value=lambda row: row.load_kw, tone=lambda row: "bad" if row.full else ""),
    Column(name="full", title="FULL", value=lambda row: row.full),
    Column(name="note", title="NOTE", value=lambda row: row.note),
]
LISTING = Listing(kind="feeders", rows=ROWS, columns=COLUMNS, name=lambda row: row.name)
PIPE = Terminal(looks=False, narrates=False, asks=False, colour=False, unicode=True, width=10_000)

TABLE = """\
FEEDER    LOAD kW  FULL  NOTE
feeder-1    151.2  yes   no
lane-2          -  no    says "hi", twice
lane-3        0.0  no    ?[31mred
"""
CSV = """\
name,load_kw,full,note
feeder-1,151.25,true,no
lane-2,,false,"says ""hi"", twice"
lane-3,-0.01,false,\x1b[31mred
"""
YAML = """\
schema_version: 1
feeders:
  - name: feeder-1
    load_kw: 151.25
    full: true
    note: "no"
    at: "2026-11-24T17:00:00Z"
  - name: lane-2
    load_kw: null
    full: false
    note: "says \\"hi\\", twice"
    at: "2026-11-24T17:00:00Z"
  - name: lane-3
    load_kw: -0.01
    full: false
    note: "\\u001b[31mred"
    at: "2026-11-24T17:00:00Z"
"""


@pytest.mark.parametrize(
    ("how", "text"),
    [(Format.TABLE, TABLE), (Format.CSV, CSV), (Format.YAML, YAML), (Format.NAME, "feeder-1\nlane-2\nlane-3\n")],
)
def test_rows_are_written_so(how: Format, text: str) -> None:
    assert written(LISTING, how, PIPE) == text


def test_json_is_one_document_with_every_field_as_the_api_says_it() -> None:
    told = json.loads(written(LISTING, Format.JSON, PIPE))
    assert list(told) == ["schema_version", "feeders"]
    assert told["schema_version"] == 1
    assert told["feeders"][0] == {
        "name": "feeder-1", "load_kw": 151.25, "full": True, "note": "no", "at": "2026-11-24T17:00:00Z",
    }  # fmt: skip
    assert len(told["feeders"]) == 3


@pytest.mark.parametrize(
    ("how", "text"),
    [
        (Format.TABLE, ""),
        (Format.JSON, '{\n  "schema_version": 1,\n  "feeders": []\n}\n'),
        (Format.YAML, "schema_version: 1\nfeeders: []\n"),
        (Format.CSV, "name,load_kw,full,note\n"),
        (Format.NAME, ""),
    ],
)
def test_nothing_is_still_something_to_a_program(how: Format, text: str) -> None:
    assert written(replace(LISTING, rows=[]), how, PIPE) == text


def test_a_narrow_terminal_cuts_words_but_never_numbers() -> None:
    narrow = replace(PIPE, looks=True, width=34)
    lines = written(LISTING, Format.TABLE, narrow).splitlines()
    assert max(map(len, lines)) <= 34
    assert lines[2].endswith("…")
    assert "151.2" in lines[1]
    plain = written(LISTING, Format.TABLE, replace(narrow, unicode=False))
    assert plain.isascii()


def test_colour_marks_only_what_has_a_tone_and_titles() -> None:
    lines = written(LISTING, Format.TABLE, replace(PIPE, colour=True)).splitlines()
    assert lines[0].startswith("\x1b[1m")
    assert "\x1b[31m" in lines[1]
    assert "\x1b" not in lines[2] + lines[3]


@pytest.mark.parametrize("text", ["yes", "1", "1.0", "-", "", "null", "a: b", "#x", "2026-11-24", "~", "0x10", "[a]"])
def test_a_text_that_yaml_would_read_as_something_else_is_quoted(text: str) -> None:
    row = replace_note(text)
    assert f"\nnote: {json.dumps(text)}\n" in one(row, Format.YAML, "x", str)


def replace_note(text: str) -> Row:
    return msgspec.structs.replace(ROWS[0], note=text)


def test_one_thing_is_written_in_every_format() -> None:
    row = ROWS[0]
    assert one(row, Format.TABLE, row.name, lambda: "for people\n") == "for people\n"
    assert json.loads(one(row, Format.JSON, row.name, str))["load_kw"] == 151.25
    assert one(row, Format.CSV, row.name, str) == (
        "name,load_kw,full,note,at\nfeeder-1,151.25,true,no,2026-11-24T17:00:00Z\n"
    )
    assert one(row, Format.NAME, row.name, str) == "feeder-1\n"


def test_on_one_line_a_document_is_the_same() -> None:
    told = written(LISTING, Format.JSON, PIPE, line=True)
    assert told.count("\n") == 1
    assert json.loads(told) == json.loads(written(LISTING, Format.JSON, PIPE))


def test_in_watts_the_unit_and_every_power_change_and_nothing_else() -> None:
    lines = written(LISTING, Format.TABLE, replace(PIPE, watts=True)).splitlines()
    assert lines[0].split()[:3] == ["FEEDER", "LOAD", "W"]
    assert [line.split()[1] for line in lines[1:]] == ["151250", "-", "-10"]
    assert written(LISTING, Format.CSV, replace(PIPE, watts=True)) == CSV


@pytest.mark.parametrize(
    ("kw", "watts", "text"),
    [(12.345, False, "12.3 kW"), (12.345, True, "12345 W"), (-0.01, False, "0.0 kW"), (None, True, "-")],
)
def test_a_power_has_its_unit_beside_it(kw: float | None, watts: bool, text: str) -> None:
    assert replace(PIPE, watts=watts).power(kw) == text
