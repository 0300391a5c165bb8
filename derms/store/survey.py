"""What is in a database: versions, sizes, rows. Estimates where counting would take long; nothing is changed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from derms.store.link import Connection, Link
from derms.store.schema import Migration, load_migrations, pending

_SURVEY_S = 30.0

# A table's rows are its partitions' (or chunks'); each is counted as its last ANALYZE has it, or before the first one
# as the statistics do.
_TABLES = """
WITH RECURSIVE tree (root, relid) AS (
    SELECT oid, oid FROM pg_class
    WHERE relnamespace = to_regnamespace(current_schema()) AND relkind IN ('r', 'p') AND NOT relispartition
    UNION ALL
    SELECT tree.root, inhrelid FROM pg_inherits JOIN tree ON inhparent = tree.relid
)
SELECT top.relname AS name,
       count(*) FILTER (WHERE tree.relid <> tree.root) AS partitions,
       coalesce(sum(CASE WHEN part.reltuples > 0 THEN part.reltuples ELSE pg_stat_get_live_tuples(part.oid) END)
                FILTER (WHERE part.relkind <> 'p'), 0)::bigint AS rows,
       sum(pg_total_relation_size(part.oid))::bigint AS bytes
FROM tree JOIN pg_class top ON top.oid = tree.root JOIN pg_class part ON part.oid = tree.relid
GROUP BY top.relname ORDER BY bytes DESC, name
"""
_PARTITIONS = """
SELECT inhrelid::regclass::text AS name FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = to_regclass('telemetry') AND pg_class.relispartition ORDER BY 1
"""
_PACKED_SPAN = """
SELECT min(at) AS oldest, max(at) AS newest FROM telemetry_unpacked WHERE minute IN (
    (SELECT min(one.minute) FROM devices, LATERAL (
        SELECT min(minute) AS minute FROM telemetry_minutes WHERE device_id = devices.device_id) AS one),
    (SELECT max(one.minute) FROM devices, LATERAL (
        SELECT max(minute) AS minute FROM telemetry_minutes WHERE device_id = devices.device_id) AS one))
"""
_UPKEEP = """
SELECT CASE WHEN isfinite(packed_until) THEN packed_until END AS packed_until,
       CASE WHEN isfinite(dropped_until) THEN dropped_until END AS dropped_until,
       (SELECT count(DISTINCT minute) FROM telemetry_touched) AS touched_minutes
FROM telemetry_upkeep
"""
# Without an index on the instant alone, a device at a time: some milliseconds instead of a walk through all rows.
_EXTREME = """
SELECT {extreme}(one.at) AS at FROM devices,
LATERAL (SELECT {extreme}(at) AS at FROM {part} WHERE device_id = devices.device_id) AS one
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table."""

    name: str
    partitions: int
    rows: int
    """About so many."""
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What is in a database."""

    server_version: str
    schema_version: int
    """The number of the newest migration; 0: there is none."""
    pending: tuple[str, ...]
    """Migrations that are still to be applied."""
    bytes: int
    """Of the whole database."""
    tables: tuple[Table, ...]
    """The largest first."""
    oldest_sample: datetime | None
    newest_sample: datetime | None
    packed_until: datetime | None
    """Samples before it are packed, but for late ones; None: none are."""
    dropped_until: datetime | None
    """Samples before it are gone, as their retention is over; None: none are."""
    touched_minutes: int
    """Of so many minutes buckets are still to be made, or made anew."""


async def survey(link: Link) -> Survey:
    """Look at everything.

    Raises:
        ConfigError: The database is newer than this program, or its history was edited.
        StoreError: Not reachable.
    """
    async with link.use(_SURVEY_S) as connection:
        applied = await applied_migrations(connection)
        [about] = await _rows(
            connection,
            "SELECT current_setting('server_version') AS version, pg_database_size(current_database()) AS bytes",
        )
        tables = tuple(Table(**row) for row in await _rows(connection, _TABLES))
        known = {table.name for table in tables} >= {"telemetry", "devices"}
        oldest, newest = await _span(connection) if known else (None, None)
        upkeep: dict[str, Any] = {"packed_until": None, "dropped_until": None, "touched_minutes": 0}
        if {"telemetry_minutes", "telemetry_upkeep"} <= {table.name for table in tables}:
            [packed] = await _rows(connection, _PACKED_SPAN)
            oldest = min((at for at in (oldest, packed["oldest"]) if at is not None), default=None)
            newest = max((at for at in (newest, packed["newest"]) if at is not None), default=None)
            [upkeep] = await _rows(connection, _UPKEEP)
    return Survey(
        server_version=about["version"].split()[0],
        schema_version=max(applied, default=0),
        pending=tuple(one.name for one in pending(applied, load_migrations())),
        bytes=about["bytes"],
        tables=tables,
        oldest_sample=oldest,
        newest_sample=newest,
        **upkeep,
    )


async def still_pending(link: Link) -> list[Migration]:
    """The migrations that a database still needs.

    Raises:
        ConfigError: The database is newer than this program, or its history was edited.
        StoreError: Not reachable.
    """
    async with link.use(_SURVEY_S) as connection:
        return pending(await applied_migrations(connection), load_migrations())


async def applied_migrations(connection: Connection) -> dict[int, str]:
    """What the database says it has: number -> checksum."""
    if not (await _rows(connection, "SELECT to_regclass('schema_migrations') IS NOT NULL AS there"))[0]["there"]:
        return {}
    rows = await _rows(connection, "SELECT number, checksum FROM schema_migrations")
    return {row["number"]: row["checksum"] for row in rows}


async def _span(connection: Connection) -> tuple[datetime | None, datetime | None]:
    """The first and the last instant that was measured."""
    parts = [row["name"] for row in await _rows(connection, _PARTITIONS)] or ["telemetry"]

    async def extreme(which: str, names: list[str]) -> datetime | None:
        for name in names:
            asked = sql.SQL(_EXTREME).format(extreme=sql.SQL(which), part=sql.Identifier(name))
            if (at := (await _rows(connection, asked))[0]["at"]) is not None:
                return at  # type: ignore[no-any-return]  # a timestamptz
        return None

    return await extreme("min", parts), await extreme("max", parts[::-1])


async def _rows(connection: Connection, statement: str | sql.Composed) -> list[dict[str, Any]]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement.encode() if isinstance(statement, str) else statement)
        return await cursor.fetchall()
