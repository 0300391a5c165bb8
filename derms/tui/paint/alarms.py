"""Alarms. Pure."""

from datetime import datetime

from derms.api.schemas.alarms import AlarmOut
from derms.model import AlarmState, Priority
from derms.plot import fitted
from derms.tui.lines import Glyphs, Row, cut, heading, stacked, wrapped
from derms.tui.said import day_clock, span

_TONES = {Priority.HIGH: "bad", Priority.MEDIUM: "warn", Priority.LOW: ""}
_STATES = {
    AlarmState.UNACKNOWLEDGED: "NEW", AlarmState.ACKNOWLEDGED: "known", AlarmState.RETURNED: "gone, NEW",
    AlarmState.SHELVED: "shelved", AlarmState.NORMAL: "normal",
}  # fmt: skip
TITLES: Row = [(f"{'  state':<12}{'priority':<9}{'since':<8}{'kind':<18} {'about':<16} what", "dim")]


def alarm_cells(alarm: AlarmOut, now: datetime, width: int, glyphs: Glyphs) -> Row:
    """One alarm as a row of the table."""
    tone = _TONES[alarm.priority] if alarm.state is not AlarmState.SHELVED else "stale"
    mark = {
        AlarmState.UNACKNOWLEDGED: glyphs.warn, AlarmState.ACKNOWLEDGED: glyphs.half, AlarmState.RETURNED: glyphs.ring,
        AlarmState.SHELVED: glyphs.pick("■", "="),
    }.get(alarm.state, glyphs.dot)  # fmt: skip
    row: Row = [
        (fitted(f"{mark} {_STATES[alarm.state]}", 12), tone),
        (fitted(alarm.priority.value.upper(), 9), tone),
        (fitted(span((now - alarm.raised_at).total_seconds()), 8), "dim"),
        (fitted(alarm.kind, 18, ascii_only=glyphs.ascii_only), ""), (" ", ""),
        (fitted(alarm.subject, 16, ascii_only=glyphs.ascii_only), ""), (" ", ""), (alarm.cause, tone),
    ]  # fmt: skip
    return cut(row, width, ascii_only=glyphs.ascii_only)


def alarm_detail(alarm: AlarmOut | None, width: int, height: int, now: datetime, glyphs: Glyphs) -> list[Row]:
    """What it means, what follows, what to do."""
    if alarm is None:
        return stacked([heading("Alarm", width, glyphs), [(f"{glyphs.dot} nothing is wrong", "good")]], width, height)
    rows = [heading(alarm.alarm_id, width, glyphs, note=f"{alarm.occurrences}x")]
    for label, text, tone in (
        ("cause", alarm.cause, "title"), ("follows", alarm.consequence, ""), ("do", alarm.response, "accent"),
    ):  # fmt: skip
        first, *more = wrapped(text, max(width - 10, 10), tone)
        rows.append([(f"{label:<9} ", "dim"), *first])
        rows += [[(" " * 10, ""), *row] for row in more]
    raised = f"raised {day_clock(alarm.raised_at, now)}"
    if alarm.returned_at is not None:
        raised += f", gone {day_clock(alarm.returned_at, now)}"
    if alarm.acknowledged_by:
        raised += f", known to {alarm.acknowledged_by}"
    if alarm.shelved_until is not None:
        raised += f", shelved by {alarm.shelved_by} until {day_clock(alarm.shelved_until, now)}: {alarm.shelved_reason}"
    rows += wrapped(raised, width, "dim")
    return stacked(rows, width, height, ascii_only=glyphs.ascii_only)
