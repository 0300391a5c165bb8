"""A sentence and machine keys, for people or for machines."""

import asyncio
import errno
import gc
import io
import json
import logging
from collections.abc import Iterator

import pytest

from derms.errors import UsageError
from derms.log import configure_logging, log_unhandled


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_json_lines_carry_the_keys_and_ours_cannot_be_replaced() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)
    logging.getLogger("derms.x").info("It is %s.", "so", extra={"feeder": "f-1", "level": "fake", "n": 3})
    line = json.loads(stream.getvalue())
    assert line.pop("at").endswith("Z")
    assert line == {"level": "info", "logger": "derms.x", "message": "It is so.", "feeder": "f-1", "n": 3}


def test_an_exception_is_one_json_line() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)
    try:
        raise ValueError("broken\nin two")
    except ValueError:
        logging.getLogger("derms").exception("It failed.")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: broken" in json.loads(line)["error"]


@pytest.mark.parametrize(
    ("pretty", "stream", "is_json"),
    [
        (None, Terminal(), False),
        (None, io.StringIO(), True),
        (True, io.StringIO(), False),
        (False, Terminal(), True),
    ],
)
def test_a_terminal_gets_lines_for_people_unless_told_otherwise(
    pretty: bool | None, stream: io.StringIO, is_json: bool
) -> None:
    configure_logging(stream=stream, pretty=pretty)
    logging.getLogger("derms.mqtt").warning("Lost.", extra={"host": "h"})
    assert stream.getvalue().startswith("{") is is_json
    assert is_json or "WARNING mqtt: Lost.  host=h\n" in stream.getvalue()


def test_what_a_device_says_cannot_start_a_line_or_move_the_cursor() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream, pretty=True)
    logging.getLogger("derms").info("From %s", "a\nb", extra={"id": "\x1b[2Jx"})
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()
    assert r"a\nb" in stream.getvalue()


def test_the_level_is_kept_and_configuring_twice_logs_once() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream, level="info")
    configure_logging(stream=stream, level="warning")
    logging.getLogger("derms").info("no")
    logging.getLogger("derms").warning("yes")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["yes"]


def test_what_the_database_library_warns_of_is_left_to_our_link_to_tell() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)
    logging.getLogger("psycopg").warning("query cancellation interrupted")
    logging.getLogger("psycopg").error("broken")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["broken"]


async def test_the_error_of_a_forgotten_task_is_logged() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)
    log_unhandled(asyncio.get_running_loop())

    async def fail() -> None:
        raise RuntimeError("forgotten")

    task = asyncio.create_task(fail(), name="the-task")
    await asyncio.wait([task])
    del task
    gc.collect()
    line = json.loads(stream.getvalue())
    assert line["level"] == "error"
    assert line["task"] == "the-task"
    assert "RuntimeError: forgotten" in line["error"]


def test_a_level_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="loud"):
        configure_logging(level="loud")


async def test_connections_that_cannot_be_taken_are_one_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    log_unhandled(loop)
    try:
        for _ in range(50):
            loop.call_exception_handler(
                {"message": "socket.accept() out of system resource", "exception": OSError(errno.EMFILE, "too many")}
            )
    finally:
        loop.set_exception_handler(None)
    [record] = caplog.records
    assert "file descriptor" in record.getMessage()
    assert record.exc_info is None
