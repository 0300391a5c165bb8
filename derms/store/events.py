"""DR events, each change with its audit line."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta

from derms.errors import ConflictError, NotFoundError
from derms.model import Author, DrEvent, EventState
from derms.ports import EventsWanted, Once
from derms.store.database import Change, Database
from derms.store.rows import event_of

ONCE_KEPT = timedelta(days=7)
"""How long a key is remembered with what was answered to it."""
_COLUMNS = (
    "event_id, feeder_ids, starts_at, ends_at, import_limit_kw, export_limit_kw, shed_kw, reason, created_by, "
    "created_at, cancelled_at, name"
)
_MARKS = (
    "%(event_id)s, %(feeder_ids)s, %(start)s, %(end)s, %(import_limit_kw)s, %(export_limit_kw)s, %(shed_kw)s, "
    "%(reason)s, %(created_by)s, %(created_at)s, %(cancelled_at)s, %(name)s"
)
_WHERE = {
    EventState.SCHEDULED: "(cancelled_at IS NULL AND starts_at > %(now)s AND ends_at > %(now)s)",
    EventState.ACTIVE: "(cancelled_at IS NULL AND starts_at <= %(now)s AND ends_at > %(now)s)",
    EventState.OVER: "(cancelled_at IS NULL AND ends_at <= %(now)s)",
    EventState.CANCELLED: "(cancelled_at IS NOT NULL)",
}
_SORTED = {"start": "starts_at", "end": "ends_at", "created_at": "created_at"}


class EventTables(Database):
    """Implements `EventStore` and `EventReader`."""

    async def add_event(self, event: DrEvent, *, by: Author, once: Once | None = None) -> None:
        """Commit an event together with its line in the audit log.

        Raises:
            ConflictError: The id exists, or the user's key was used.
            UsageError: A value is out of its range.
        """
        values = _values(event)
        async with self._audited("event.create", event.event_id, by) as change:
            change.after = without(values, "event_id")
            await change.connection.execute(f"INSERT INTO events ({_COLUMNS}) VALUES ({_MARKS})", values)
            if once is not None:
                await _use_up(change, by.username, once)

    async def change_event(
        self, event_id: str, action: str, change: Callable[[DrEvent], DrEvent], *, by: Author
    ) -> DrEvent:
        """Replace an event by what `change` makes of it, together with its line in the audit log.

        Raises:
            NotFoundError: There is no such event.
            UsageError: A value is out of its range.
        """
        async with self._audited(action, event_id, by) as written:
            before = await _locked(written, event_id)
            after = change(before)
            values = _values(after)
            written.before, written.after = differing(_values(before), values)
            await written.connection.execute(
                f"UPDATE events SET ({_COLUMNS}) = ROW({_MARKS}) WHERE event_id = %(event_id)s", values
            )
        return after

    async def remove_event(self, event_id: str, check: Callable[[DrEvent], None], *, by: Author) -> None:
        """Remove an event, together with its line in the audit log, which keeps what it was.

        Raises:
            NotFoundError: There is no such event.
        """
        async with self._audited("event.delete", event_id, by) as change:
            event = await _locked(change, event_id)
            check(event)
            change.before = without(_values(event), "event_id")
            await change.connection.execute("DELETE FROM events WHERE event_id = %s", [event_id])

    async def unfinished_events(self, now: datetime) -> list[DrEvent]:
        """Events neither cancelled nor over at `now`, by start."""
        rows = await self._select(
            f"SELECT {_COLUMNS} FROM events WHERE cancelled_at IS NULL AND ends_at > %(now)s "
            "ORDER BY starts_at, event_id",
            {"now": now},
        )
        return [event_of(row) for row in rows]

    async def find_event(self, event_id: str) -> DrEvent:
        """One event.

        Raises:
            NotFoundError: There is no such event.
        """
        rows = await self._select(f"SELECT {_COLUMNS} FROM events WHERE event_id = %(id)s", {"id": event_id})
        if not rows:
            raise unknown_event(event_id)
        return event_of(rows[0])

    async def list_events(self, wanted: EventsWanted) -> list[DrEvent]:
        """A part of the list."""
        conditions = [f"({' OR '.join(_WHERE[state] for state in wanted.states)})"]
        values: dict[str, object] = {"now": wanted.now, "limit": wanted.limit}
        by, way, beyond = _SORTED[wanted.sort], *(("DESC", "<") if wanted.down else ("ASC", ">"))
        if wanted.feeder_id is not None:
            conditions.append("%(feeder)s = ANY(feeder_ids)")
            values["feeder"] = wanted.feeder_id
        if wanted.after is not None:
            conditions.append(f"({by}, event_id) {beyond} (%(after)s, %(after_id)s)")
            values["after"], values["after_id"] = wanted.after
        rows = await self._select(
            f"SELECT {_COLUMNS} FROM events WHERE {' AND '.join(conditions)} "
            f"ORDER BY {by} {way}, event_id {way} LIMIT %(limit)s",
            values,
        )
        return [event_of(row) for row in rows]

    async def answered(self, username: str, key: str) -> Once | None:
        """What was answered to a user's key; None: it was not used, or is forgotten."""
        rows = await self._select(
            "SELECT key, fingerprint, answer FROM answered_once "
            "WHERE username = %(username)s AND key = %(key)s AND answered_at > now() - %(kept)s",
            {"username": username, "key": key, "kept": ONCE_KEPT},
        )
        return Once(**{**rows[0], "answer": bytes(rows[0]["answer"])}) if rows else None


async def _use_up(change: Change, username: str, once: Once) -> None:
    """Commit a key with its answer, once."""
    await change.connection.execute("DELETE FROM answered_once WHERE answered_at <= now() - %s", [ONCE_KEPT])
    used = await change.connection.execute(
        "INSERT INTO answered_once (username, key, fingerprint, answer) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
        [username, once.key, once.fingerprint, once.answer],
    )
    if used.rowcount == 0:
        raise ConflictError(
            f"the key {once.key!r} was used", why="a key stands for one request", next_step="choose another key"
        )


async def _locked(change: Change, event_id: str) -> DrEvent:
    row = await change.one(f"SELECT {_COLUMNS} FROM events WHERE event_id = %(id)s FOR UPDATE", {"id": event_id})
    if row is None:
        raise unknown_event(event_id)
    return event_of(row)


def _values(event: DrEvent) -> dict[str, object]:
    return asdict(event) | {"feeder_ids": list(event.feeder_ids)}


def without(values: Mapping[str, object], key: str) -> dict[str, object]:
    """The audit log names the subject by itself."""
    return {name: value for name, value in values.items() if name != key}


def differing(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[dict[str, object], dict[str, object]]:
    """What a change changed, as it was and as it is."""
    names = [name for name in after if before[name] != after[name]]
    return {name: before[name] for name in names}, {name: after[name] for name in names}


def unknown_event(event_id: str) -> NotFoundError:
    """There is none of that id."""
    return NotFoundError(
        f"there is no DR event {event_id!r}",
        why="no DR event goes by that name",
        next_step="list the events, and name one of them",
    )
