"""What may be written where."""

import pytest

from derms.cli.progress import line
from derms.cli.terminal import Terminal, printable, terminal_of


def terminal(environment: dict[str, str] | None = None, *, out: bool = True, encoding: str = "utf-8",
             no_color: bool = False, ascii_only: bool = False, width: int = 80) -> Terminal:  # fmt: skip
    return terminal_of(
        {"LANG": "en_GB.UTF-8"} | (environment or {}), out=out, err=True, asks=True, encoding=encoding, width=width,
        no_color=no_color, ascii_only=ascii_only,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("environment", "out", "no_color", "colour"),
    [
        ({}, True, False, True),
        ({}, False, False, False),
        ({}, True, True, False),
        ({"NO_COLOR": "1"}, True, False, False),
        ({"NO_COLOR": ""}, True, False, True),
        ({"TERM": "dumb"}, True, False, False),
        ({"FORCE_COLOR": "1"}, False, False, True),
        ({"CLICOLOR_FORCE": "1"}, False, False, True),
        ({"CLICOLOR_FORCE": "0"}, False, False, False),
        ({"FORCE_COLOR": "1"}, False, True, False),
    ],
)
def test_colour_is_for_those_who_look_and_did_not_refuse(
    environment: dict[str, str], out: bool, no_color: bool, colour: bool
) -> None:
    assert terminal(environment, out=out, no_color=no_color).colour is colour


@pytest.mark.parametrize(
    ("environment", "encoding", "ascii_only", "unicode"),
    [
        ({}, "utf-8", False, True),
        ({}, "utf-8", True, False),
        ({}, "ascii", False, False),
        ({"LANG": "C"}, "utf-8", False, False),
        ({"LANG": "POSIX"}, "utf-8", False, False),
        ({"LANG": "C.UTF-8"}, "utf-8", False, True),
        ({"LC_ALL": "C"}, "utf-8", False, False),
    ],
)
def test_only_a_terminal_that_can_is_given_more_than_ascii(
    environment: dict[str, str], encoding: str, ascii_only: bool, unicode: bool
) -> None:
    assert terminal(environment, encoding=encoding, ascii_only=ascii_only).unicode is unicode


def test_nothing_is_cut_where_nobody_looks() -> None:
    assert terminal(width=40).width == 40
    assert terminal(width=40, out=False).width > 1000


def test_what_others_wrote_does_not_steer_the_terminal() -> None:
    assert printable("a\x1b[2J\rb\nc", terminal()) == "a?[2J?b\nc"
    assert printable("Zürich", terminal()) == "Zürich"
    assert printable("Zürich", terminal(ascii_only=True)) == "Z?rich"


def test_a_bar_stays_within_its_line() -> None:
    assert line(0.5, "3 kW too much", terminal(ascii_only=True)) == "############............ 3 kW too much"
    assert len(line(7.0, "x" * 100, terminal(width=60))) == 59
    assert line(-1.0, "", terminal(ascii_only=True)).count("#") == 0
