"""What is kept for how long, and dropping the rest by whole partitions."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql

from derms.store.link import Connection
from derms.store.rollup import FEEDERS, LEVELS

SAMPLES = ("telemetry", "telemetry_minutes")
LOGS = ("setpoints", "decisions")
_LOCK_MS = 100
"""Dropping waits for those who write, and who comes meanwhile waits behind it: not for long [ms]."""

_PARTS = """
SELECT inhparent::regclass::text AS parent, c.relname AS part, bounds[1]::timestamptz AS until
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
CROSS JOIN LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid), $$TO \\('([^']+)'\\)$$) AS bounds
WHERE i.inhparent = ANY(%(parents)s::regclass[]) AND c.relispartition
ORDER BY until, part
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """For how many days each kind of row is kept, at least; None: for ever."""

    samples: float | None = 14.0
    others: Mapping[str, float | None] | None = None
    """Of buckets and logs, by table."""

    def days_of(self, table: str) -> float | None:
        """For how long rows of one table are kept."""
        return self.samples if table in SAMPLES else (self.others or {}).get(table)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One partition."""

    table: str
    name: str
    until: datetime
    """It holds what lies before."""


async def outdated(connection: Connection, retention: Retention, now: datetime) -> list[Part]:
    """The partitions that hold nothing but what is too old, the oldest first.

    Samples are not too old while buckets are still to be made of them.
    """
    found = []
    waiting = (await (await connection.execute("SELECT min(minute) FROM telemetry_touched")).fetchall())[0][0]
    for part in await parts_of(connection, [*SAMPLES, *(level.table for level in (*LEVELS, FEEDERS)), *LOGS]):
        days = retention.days_of(part.table)
        if days is None or (now - part.until).total_seconds() < days * 86_400:
            continue
        if part.table in SAMPLES and waiting is not None and waiting < part.until:
            continue
        found.append(part)
    return found


async def parts_of(connection: Connection, tables: list[str]) -> list[Part]:
    """The partitions of some tables, by where they end."""
    rows = await (await connection.execute(_PARTS.encode(), {"parents": tables})).fetchall()
    return [Part(table=row[0], name=row[1], until=row[2]) for row in rows]


async def drop(connection: Connection, part: Part, *, only_empty: bool = False) -> bool:
    """Drop a partition in a transaction of its own, unless those who write do not let go of the table at once.

    Args:
        connection: In autocommit mode.
        part: Which.
        only_empty: Leave it if it has a row.
    """
    name = sql.Identifier(part.name)
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = {_LOCK_MS}".encode())
            # From the top down, as those who write do; then it is not these two who wait for each other.
            await connection.execute(
                sql.SQL("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(part.table))
            )
            if only_empty:
                rows = await connection.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(name))
                if await rows.fetchall():
                    return False
            elif part.table in SAMPLES:
                await connection.execute(
                    "UPDATE telemetry_upkeep SET dropped_until = greatest(dropped_until, %s)", [part.until]
                )
            await connection.execute(sql.SQL("DROP TABLE {}").format(name))
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        return False
    return True
