"""What people make that bears on feeders for a while: DR events and DR programs, each change with its audit line."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime

from derms.errors import NotFoundError
from derms.model import Author, DrEvent, DrProgram
from derms.store.database import Database
from derms.store.rows import event_of, program_of

_EVENT_COLUMNS = (
    "event_id, feeder_ids, starts_at, ends_at, import_limit_kw, export_limit_kw, shed_kw, reason, created_by, "
    "created_at, cancelled_at"
)
_PROGRAM_COLUMNS = (
    "program_id, name, kind, feeder_ids, starts_at, ends_at, target_shed_kw, incentive_per_kwh, penalty_per_kwh, active"
)


class EventTables(Database):
    """Implements `EventStore` and `ProgramStore`."""

    async def add_event(self, event: DrEvent, *, by: Author) -> None:
        """Commit an event together with its line in the audit log.

        Raises:
            ConflictError: The id exists.
            UsageError: A value is out of its range.
        """
        values = asdict(event) | {"feeder_ids": list(event.feeder_ids)}
        async with self._audited("event.create", event.event_id, by) as change:
            change.after = _without(values, "event_id")
            await change.connection.execute(
                f"INSERT INTO events ({_EVENT_COLUMNS}) VALUES (%(event_id)s, %(feeder_ids)s, %(start)s, %(end)s, "
                "%(import_limit_kw)s, %(export_limit_kw)s, %(shed_kw)s, %(reason)s, %(created_by)s, %(created_at)s, "
                "%(cancelled_at)s)",
                values,
            )

    async def unfinished_events(self, now: datetime) -> list[DrEvent]:
        """Events neither cancelled nor over at `now`, by start."""
        rows = await self._select(
            f"SELECT {_EVENT_COLUMNS} FROM events WHERE cancelled_at IS NULL AND ends_at > %(now)s "
            "ORDER BY starts_at, event_id",
            {"now": now},
        )
        return [event_of(row) for row in rows]

    async def add_program(self, program: DrProgram, *, by: Author) -> None:
        """Commit a program together with its line in the audit log.

        Raises:
            ConflictError: The id or the name exists.
            UsageError: A value is out of its range.
        """
        values = asdict(program) | {"feeder_ids": list(program.feeder_ids)}
        async with self._audited("program.create", program.program_id, by) as change:
            change.after = _without(values, "program_id")
            await change.connection.execute(
                f"INSERT INTO dr_programs ({_PROGRAM_COLUMNS}) VALUES (%(program_id)s, %(name)s, %(kind)s, "
                "%(feeder_ids)s, %(start)s, %(end)s, %(target_shed_kw)s, %(incentive_per_kwh)s, %(penalty_per_kwh)s, "
                "%(active)s)",
                values,
            )

    async def set_program_active(self, program_id: str, active: bool, *, by: Author) -> None:
        """Let a program apply, or no longer.

        Raises:
            NotFoundError: There is no such program.
        """
        action = "program.activate" if active else "program.deactivate"
        async with self._audited(action, program_id, by) as change:
            change.after = {"active": active}
            changed = await change.connection.execute(
                "UPDATE dr_programs SET active = %s WHERE program_id = %s", [active, program_id]
            )
            if changed.rowcount == 0:
                raise _unknown_program(program_id)

    async def delete_program(self, program_id: str, *, by: Author) -> None:
        """Remove a program; the audit log keeps what it was.

        Raises:
            NotFoundError: There is no such program.
        """
        async with self._audited("program.delete", program_id, by) as change:
            row = await change.one(
                f"DELETE FROM dr_programs WHERE program_id = %(id)s RETURNING {_PROGRAM_COLUMNS}", {"id": program_id}
            )
            if row is None:
                raise _unknown_program(program_id)
            change.before = _without(asdict(program_of(row)), "program_id")

    async def load_programs(self) -> list[DrProgram]:
        """All programs, those that are over too, by id."""
        rows = await self._select(f"SELECT {_PROGRAM_COLUMNS} FROM dr_programs ORDER BY program_id")
        return [program_of(row) for row in rows]


def _without(values: Mapping[str, object], key: str) -> dict[str, object]:
    """The audit log names the subject by itself."""
    return {name: value for name, value in values.items() if name != key}


def _unknown_program(program_id: str) -> NotFoundError:
    return NotFoundError(f"there is no DR program {program_id!r}", next_step="list the programs, and name one of them")
