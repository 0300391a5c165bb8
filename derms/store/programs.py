"""DR programs, each change with its audit line."""

from collections.abc import Callable
from dataclasses import asdict

from derms.errors import NotFoundError
from derms.model import Author, DrProgram
from derms.store.database import Database
from derms.store.events import differing, without
from derms.store.rows import program_of

_COLUMNS = (
    "program_id, name, kind, feeder_ids, starts_at, ends_at, target_shed_kw, incentive_per_kwh, penalty_per_kwh, active"
)
_MARKS = (
    "%(program_id)s, %(name)s, %(kind)s, %(feeder_ids)s, %(start)s, %(end)s, %(target_shed_kw)s, "
    "%(incentive_per_kwh)s, %(penalty_per_kwh)s, %(active)s"
)


class ProgramTables(Database):
    """Implements `ProgramStore`."""

    async def add_program(self, program: DrProgram, *, by: Author) -> None:
        """Commit a program together with its line in the audit log.

        Raises:
            ConflictError: The id or the name exists.
            UsageError: A value is out of its range.
        """
        values = _values(program)
        async with self._audited("program.create", program.program_id, by) as change:
            change.after = without(values, "program_id")
            await change.connection.execute(f"INSERT INTO dr_programs ({_COLUMNS}) VALUES ({_MARKS})", values)

    async def change_program(
        self, program_id: str, action: str, change: Callable[[DrProgram], DrProgram], *, by: Author
    ) -> DrProgram:
        """Replace a program by what `change` makes of it, together with its line in the audit log.

        Raises:
            NotFoundError: There is no such program.
            ConflictError: The name exists.
            UsageError: A value is out of its range.
        """
        async with self._audited(action, program_id, by) as written:
            row = await written.one(
                f"SELECT {_COLUMNS} FROM dr_programs WHERE program_id = %(id)s FOR UPDATE", {"id": program_id}
            )
            if row is None:
                raise _unknown_program(program_id)
            before = program_of(row)
            after = change(before)
            values = _values(after)
            written.before, written.after = differing(_values(before), values)
            await written.connection.execute(
                f"UPDATE dr_programs SET ({_COLUMNS}) = ROW({_MARKS}) WHERE program_id = %(program_id)s", values
            )
        return after

    async def delete_program(self, program_id: str, *, by: Author) -> None:
        """Remove a program; the audit log keeps what it was.

        Raises:
            NotFoundError: There is no such program.
        """
        async with self._audited("program.delete", program_id, by) as change:
            row = await change.one(
                f"DELETE FROM dr_programs WHERE program_id = %(id)s RETURNING {_COLUMNS}", {"id": program_id}
            )
            if row is None:
                raise _unknown_program(program_id)
            change.before = without(_values(program_of(row)), "program_id")

    async def load_programs(self) -> list[DrProgram]:
        """All programs, those that are over too, by id."""
        rows = await self._select(f"SELECT {_COLUMNS} FROM dr_programs ORDER BY program_id")
        return [program_of(row) for row in rows]


def _values(program: DrProgram) -> dict[str, object]:
    return asdict(program) | {"feeder_ids": list(program.feeder_ids)}


def _unknown_program(program_id: str) -> NotFoundError:
    return NotFoundError(
        f"there is no DR program {program_id!r}",
        why="no DR program goes by that name",
        next_step="list the programs, and name one of them",
    )
