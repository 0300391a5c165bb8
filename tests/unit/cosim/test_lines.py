import io

import pytest

from derms.cosim.clock import as_said, instant_ms
from derms.cosim.lines import parse, read_lines, written
from derms.cosim.run import run
from derms.cosim.wrong import Code, WrongLine

OPEN = b'{"nodes": {"f": {}}}\n'


def test_blank_lines_and_a_byte_order_mark_are_passed_over_and_lines_are_counted() -> None:
    said = io.BytesIO(b'\xef\xbb\xbf{"a":1}\r\n\n  \n{"b":2}')
    assert list(read_lines(said)) == [(1, b'{"a":1}\r\n'), (4, b'{"b":2}')]


def test_a_line_that_is_too_long_is_refused_and_the_next_one_is_read() -> None:
    said = io.BytesIO(b'{"a":"' + b"x" * 50 + b'"}\n{"b":2}\n')
    (_, long), (number, short) = read_lines(said, longest=20)
    assert (number, short) == (2, b'{"b":2}\n')
    with pytest.raises(WrongLine) as wrong:
        parse(long, longest=20)
    assert wrong.value.code is Code.TOO_LARGE


def test_every_line_is_answered_and_flushed_before_the_next_is_read() -> None:
    class Pipe(io.BytesIO):
        flushed = 0

        def flush(self) -> None:
            self.flushed += 1

    answers = Pipe()
    run(io.BytesIO(OPEN + b'{"now": 1}\n{"now": 1}\n'), answers)
    lines = answers.getvalue().splitlines()
    assert len(lines) == answers.flushed == 3
    assert lines[2].startswith(b'{"error":{"code":"bad-time"')


def test_what_is_not_finite_is_written_as_null() -> None:
    assert written({"x": float("nan"), "y": float("inf")}) == b'{"x":null,"y":null}\n'


@pytest.mark.parametrize(
    ("said", "ms"),
    [
        (0.0, 0),
        (-1.5, -1500),
        (0.0004, 0),
        (1_778_652_000.25, 1_778_652_000_250),
        ("2026-05-13T06:00:00Z", 1_778_652_000_000),
        ("2026-05-13T08:00:00+02:00", 1_778_652_000_000),
        ("2026-05-13 06:00", 1_778_652_000_000),
    ],
)
def test_an_instant_is_a_number_of_seconds_or_a_text(said: float | str, ms: int) -> None:
    assert instant_ms(said, "now") == ms


def test_an_instant_is_written_as_the_driver_writes_its_own() -> None:
    assert as_said(1_778_652_000_250, 0.0) == 1_778_652_000.25
    assert as_said(1_778_652_000_250, "2026-01-01T00:00:00Z") == "2026-05-13T06:00:00.250Z"
