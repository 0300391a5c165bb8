"""What the engine remembers of each tree, kept over a restart: one row a root, the newest wins."""

from collections.abc import Sequence

from derms.ports import MemoryRecord
from derms.store.bulk import DATA_ERRORS, Refused
from derms.store.database import Database
from derms.store.link import Connection
from derms.store.rows import memory_of, memory_row

_KEEP = """
INSERT INTO engine_memory (feeder_id, at, epoch, memory)
VALUES (%(feeder_id)s, %(at)s, %(epoch)s, convert_from(%(memory)s, 'UTF8')::jsonb)
ON CONFLICT (feeder_id) DO UPDATE SET at = excluded.at, epoch = excluded.epoch, memory = excluded.memory
WHERE (excluded.epoch, excluded.at) >= (engine_memory.epoch, engine_memory.at)
"""
"""A later run is newer whatever its clock says, and a controller that was replaced no longer writes over it."""


class MemoryTables(Database):
    """Reads what `keep_memories` wrote."""

    async def load_memories(self) -> list[MemoryRecord]:
        """The newest memory of each root, by id."""
        rows = await self._select(
            "SELECT feeder_id, at, epoch, memory::text AS memory FROM engine_memory ORDER BY feeder_id"
        )
        return [memory_of(row) for row in rows]


async def keep_memories(connection: Connection, memories: Sequence[MemoryRecord]) -> list[Refused]:
    """Write memories in the running transaction, each where it is newer than what is there.

    Returns:
        Those that cannot be stored; they cost the rest of the transaction nothing.
    """
    refused: list[Refused] = []
    for memory in memories:
        try:
            async with connection.transaction():
                await connection.execute(_KEEP, memory_row(memory))
        except DATA_ERRORS as error:
            refused.append(Refused(table="engine_memory", value=memory, why=str(error).split("\n", 1)[0]))
    return refused
