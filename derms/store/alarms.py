"""Alarms that are not normal, and the history of all."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from derms.errors import UsageError
from derms.model import AlarmChange, AlarmLine, AlarmRecord, AlarmState, Author, Priority
from derms.ports import HistoryWanted
from derms.store.bulk import DATA_ERRORS
from derms.store.database import READ_S, Database
from derms.store.events import differing
from derms.store.link import Connection

_COLUMNS = (
    "kind, subject, priority, cause, consequence, response, active, acknowledged, occurrences, raised_at, returned_at, "
    "acknowledged_by, acknowledged_at, shelved_until, shelved_by, shelved_reason"
)
_MARKS = ", ".join(f"%({column})s" for column in _COLUMNS.split(", "))
_KEEP = (
    f"INSERT INTO alarms ({_COLUMNS}) VALUES ({_MARKS}) "
    f"ON CONFLICT (kind, subject) DO UPDATE SET ({_COLUMNS}) = ROW({_MARKS})"
)
_FORGET = "DELETE FROM alarms WHERE kind = %(kind)s AND subject = %(subject)s"
_LINE = (
    "INSERT INTO alarm_log (at, kind, subject, change, cause, by) "
    "VALUES (%(at)s, %(kind)s, %(subject)s, %(change)s, %(cause)s, %(by)s)"
)


class AlarmTables(Database):
    """Implements `AlarmStore`."""

    async def load_alarms(self) -> list[AlarmRecord]:
        """Those that were not normal when they were last written, by kind and subject."""
        rows = await self._select(f"SELECT {_COLUMNS} FROM alarms ORDER BY kind, subject")
        return [AlarmRecord(**{**row, "priority": Priority(row["priority"])}) for row in rows]

    async def keep_alarms(self, records: Sequence[AlarmRecord], lines: Sequence[AlarmLine]) -> None:
        """Commit alarms as they are now, in place of what was, and lines of their history.

        Raises:
            UsageError: The database will never take one of them; nothing is committed.
        """
        normal = [asdict(record) for record in records if record.state is AlarmState.NORMAL]
        others = [asdict(record) for record in records if record.state is not AlarmState.NORMAL]
        async with self._link.use(READ_S) as connection:
            try:
                async with connection.transaction(), connection.cursor() as cursor:
                    await cursor.executemany(_FORGET.encode(), normal)
                    await cursor.executemany(_KEEP.encode(), others)
                    await cursor.executemany(_LINE.encode(), [asdict(line) for line in lines])
            except DATA_ERRORS as error:
                words = str(error).split("\n", 1)[0]
                raise UsageError("the database refuses an alarm", why=words, next_step="report it") from error

    async def change_alarm(self, before: AlarmRecord, after: AlarmRecord, action: str, *, by: Author) -> None:
        """Commit what somebody says of an alarm, together with its line in the audit log."""
        async with self._audited(action, after.alarm_id, by) as change:
            change.before, change.after = differing(asdict(before), asdict(after))
            await _put(change.connection, after)

    async def alarm_history(self, wanted: HistoryWanted) -> list[AlarmLine]:
        """A part of the history, the newest line first."""
        asked: dict[str, Any] = {"kind": wanted.kind, "subject": wanted.subject, "before": wanted.before}
        tests = {"kind": "kind = %(kind)s", "subject": "subject = %(subject)s", "before": "number < %(before)s"}
        conditions = [tests[name] for name, value in asked.items() if value is not None]
        where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
        rows = await self._select(
            f"SELECT number, at, kind, subject, change, cause, by FROM alarm_log {where}"
            "ORDER BY number DESC LIMIT %(limit)s",
            asked | {"limit": wanted.limit},
        )
        return [AlarmLine(**{**row, "change": AlarmChange(row["change"])}) for row in rows]


async def _put(connection: Connection, record: AlarmRecord) -> None:
    statement = _FORGET if record.state is AlarmState.NORMAL else _KEEP
    await connection.execute(statement.encode(), asdict(record))
