"""Logging, set up once by a composition root: a sentence and machine keys, to stderr.

For people: ``12:00:00 INFO  mqtt: Connected to the broker.  host=broker.example``. For machines: one JSON object a line
with `at`, `level`, `logger`, `message`, the keys of ``extra`` and, for an exception, `error`.
"""

import asyncio
import errno
import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from derms.errors import UsageError

LEVELS = ("debug", "info", "warning", "error", "critical")

_BUILT_IN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure_logging(*, level: str = "info", pretty: bool | None = None, stream: TextIO | None = None) -> None:
    """Send the log of the whole process to one stream, and replace what was set up before.

    Args:
        level: The least severe level that is logged, by name.
        pretty: For people or as JSON lines; None: for people when the stream is a terminal.
        stream: Where to; stderr when not given.

    Raises:
        UsageError: There is no such level.
    """
    if level.lower() not in LEVELS:
        raise UsageError(f"the log level {level!r}", why=f"it is one of {', '.join(LEVELS)}", next_step="choose one")
    stream = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(stream)
    handler.setFormatter(PrettyFormatter() if (stream.isatty() if pretty is None else pretty) else JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    # Libraries tell at info what is our own business to tell, or nobody's.
    for name in ("aiohttp", "amqtt", "asyncio", "transitions"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
    # It warns of a connection closed while a query is given up: our link closes it on purpose and tells what matters.
    logging.getLogger("psycopg").setLevel(max(logging.ERROR, logging.getLogger().level))


_QUIET_S = 60.0
"""Between two lines that say the same of connections that cannot be taken [s]."""


def log_unhandled(loop: asyncio.AbstractEventLoop) -> None:
    """Log what nobody caught on the loop (a forgotten task's error, a failing callback) as one record."""
    logger = logging.getLogger("derms.asyncio")
    full_s = float("-inf")

    def handle(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal full_s
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            # Told of each connection that waits, and again every second: as many lines as there are strangers outside.
            if loop.time() - full_s > _QUIET_S:
                full_s = loop.time()
                logger.error("No file descriptor is left for another connection: raise the limit (ulimit -n)")
            return
        task = context.get("task") or context.get("future")
        extra = {"task": task.get_name()} if isinstance(task, asyncio.Task) else {}
        logger.error("Unhandled: %s", context.get("message", "an error on the event loop"), exc_info=error, extra=extra)

    loop.set_exception_handler(handle)


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON; the keys of ``extra`` never replace ours."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(_extra(record) | line, default=str)


class PrettyFormatter(logging.Formatter):
    """One line for people; local time."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line, a traceback below it."""
        clock = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        keys = "".join(f"  {key}={_printable(str(value))}" for key, value in _extra(record).items())
        name = record.name.removeprefix("derms.")
        line = f"{clock} {record.levelname:<7} {name}: {_printable(record.getMessage())}{keys}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _BUILT_IN}


def _printable(text: str) -> str:
    """Without what could move the cursor or start a line: parts of a message come from devices."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
