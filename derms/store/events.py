"""What people make that bears on feeders for a while: DR events and DR programs, each change with its audit line."""

from dataclasses import asdict
from datetime import datetime

from psycopg.rows import dict_row

from derms.errors import NotFoundError
from derms.model import DrEvent, DrProgram
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

    async def add_event(self, event: DrEvent, *, actor: str, request_id: str) -> None:
        """Commit an event together with its line in the audit log.

        Raises:
            ConflictError: The id exists.
            UsageError: A value is out of its range.
        """
        values = asdict(event) | {"feeder_ids": list(event.feeder_ids)}
        detail = {key: value for key, value in values.items() if key != "event_id"}
        async with self._audited(
            "event.create", event.event_id, actor=actor, request_id=request_id, detail=detail
        ) as connection:
            await connection.execute(
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

    async def add_program(self, program: DrProgram, *, actor: str, request_id: str) -> None:
        """Commit a program together with its line in the audit log.

        Raises:
            ConflictError: The id or the name exists.
            UsageError: A value is out of its range.
        """
        values = asdict(program) | {"feeder_ids": list(program.feeder_ids)}
        detail = {key: value for key, value in values.items() if key != "program_id"}
        async with self._audited(
            "program.create", program.program_id, actor=actor, request_id=request_id, detail=detail
        ) as connection:
            await connection.execute(
                f"INSERT INTO dr_programs ({_PROGRAM_COLUMNS}) VALUES (%(program_id)s, %(name)s, %(kind)s, "
                "%(feeder_ids)s, %(start)s, %(end)s, %(target_shed_kw)s, %(incentive_per_kwh)s, %(penalty_per_kwh)s, "
                "%(active)s)",
                values,
            )

    async def set_program_active(self, program_id: str, active: bool, *, actor: str, request_id: str) -> None:
        """Let a program apply, or no longer.

        Raises:
            NotFoundError: There is no such program.
        """
        action = "program.activate" if active else "program.deactivate"
        async with self._audited(action, program_id, actor=actor, request_id=request_id, detail={}) as connection:
            changed = await connection.execute(
                "UPDATE dr_programs SET active = %s WHERE program_id = %s", [active, program_id]
            )
            if changed.rowcount == 0:
                raise _unknown_program(program_id)

    async def delete_program(self, program_id: str, *, actor: str, request_id: str) -> None:
        """Remove a program; the audit log keeps what it was.

        Raises:
            NotFoundError: There is no such program.
        """
        detail: dict[str, object] = {}
        async with (
            self._audited(
                "program.delete", program_id, actor=actor, request_id=request_id, detail=detail
            ) as connection,
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            await cursor.execute(
                f"DELETE FROM dr_programs WHERE program_id = %s RETURNING {_PROGRAM_COLUMNS}".encode(), [program_id]
            )
            row = await cursor.fetchone()
            if row is None:
                raise _unknown_program(program_id)
            detail |= {key: value for key, value in asdict(program_of(row)).items() if key != "program_id"}

    async def load_programs(self) -> list[DrProgram]:
        """All programs, those that are over too, by id."""
        rows = await self._select(f"SELECT {_PROGRAM_COLUMNS} FROM dr_programs ORDER BY program_id")
        return [program_of(row) for row in rows]


def _unknown_program(program_id: str) -> NotFoundError:
    return NotFoundError(f"there is no DR program {program_id!r}", next_step="list the programs, and name one of them")
