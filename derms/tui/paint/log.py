"""The log: what was seen here, and what became of alarms. Pure."""

from datetime import datetime

from derms.api.schemas.alarms import AlarmLineOut
from derms.tui.lines import Glyphs, Row, cut
from derms.tui.picture import LogLine, Picture
from derms.tui.said import clock


def merged_log(picture: Picture) -> list[LogLine]:
    """What was seen here and what became of alarms, the newest first."""
    lines = [*picture.log, *(_of_alarm(line) for line in picture.alarm_lines)]
    return sorted(lines, key=lambda line: line.at, reverse=True)


def _of_alarm(line: AlarmLineOut) -> LogLine:
    by = f" by {line.by}" if line.by else ""
    tone = {"raised": "warn", "returned": "good"}.get(line.change.value, "")
    return LogLine(line.at, "alarm", f"{line.change.value}{by}: {line.kind} {line.subject}: {line.cause}", tone)


LOG_TITLES: Row = [(f"{'  when':<19}{'what':<8} ", "dim")]


def log_cells(line: LogLine, now: datetime, width: int, glyphs: Glyphs) -> Row:
    """One line of the log."""
    here = line.at.astimezone()
    day = "" if here.date() == now.astimezone().date() else f"{here:%a %d} "
    row: Row = [(f"  {day + clock(line.at):<17}", "dim"), (f"{line.kind:<8} ", "dim"), (line.text, line.tone)]
    return cut(row, width, ascii_only=glyphs.ascii_only)
