"""The store on PostgreSQL: two connections, one for the bulk writes, one for everything else."""

import json
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from derms.errors import ConflictError, DermsError, NotFoundError, UsageError
from derms.model import Device, DrEvent, Feeder, Setpoint
from derms.ports import Clock, RecordBatch
from derms.store.bulk import DATA_ERRORS, Refused, copy_in_halves, copy_known, copy_new, prepare_staging
from derms.store.link import Connection, Link
from derms.store.rows import (
    DECISIONS,
    MS_PER_DAY,
    SETPOINTS,
    TELEMETRY,
    LogTable,
    days_of,
    device_of,
    event_of,
    feeder_of,
    setpoint_of,
)
from derms.store.schema import load_migrations, pending

_log = logging.getLogger(__name__)

_WRITE_S = 30.0
_READ_S = 10.0
_MIGRATE_S = 600.0
_MIGRATION_LOCK = 0x6465726D73  # "derms"

_FEEDER_COLUMNS = "feeder_id, name, parent_id, import_limit_kw, export_limit_kw, margin_kw, assumed_unmetered_kw, mode"
_DEVICE_COLUMNS = (
    "device_id, kind, feeder_id, site_id, origin, enrolment, dialect, soc_in_percent, p_import_max_kw, "
    "p_export_max_kw, p_min_kw, capacity_kwh, min_soc_reserve, target_soc, priority, default_power_kw"
)
_EVENT_COLUMNS = (
    "event_id, feeder_ids, starts_at, ends_at, import_limit_kw, export_limit_kw, shed_kw, reason, created_by, "
    "created_at, cancelled_at"
)


class PostgresStore:
    """Implements the three store ports on one PostgreSQL database; made by `derms.store.open_store`.

    Args:
        url: `postgresql://...`.
        clock: Today's date, and the pauses between attempts to connect.
        rng: For the jitter of those pauses.
        on_refused: Told of rows that the database will never take, after the rest of their batch is committed.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        rng: random.Random,
        on_refused: Callable[[Sequence[Refused]], None] | None = None,
    ) -> None:
        self._clock = clock
        self._writer = Link(url, clock=clock, rng=rng, prepare=prepare_staging)
        self._reader = Link(url, clock=clock, rng=rng)
        self._on_refused = on_refused
        self._days: set[int] = set()
        self.refused = 0
        """Rows the database would not take, since the start."""

    @property
    def where(self) -> str:
        """The server and the database, without secrets."""
        return self._reader.where

    async def close(self) -> None:
        """Give up both connections."""
        await self._writer.close()
        await self._reader.close()

    async def ping(self) -> None:
        """Ask the server for anything at all.

        Raises:
            StoreError: It does not answer.
        """
        async with self._reader.use(_READ_S) as connection:
            await connection.execute("SELECT 1")

    async def migrate(self) -> list[str]:
        """Bring the schema to this program's version; several processes may try at once.

        Returns:
            The names of the migrations applied.

        Raises:
            ConfigError: The database is newer than this program, or its history was edited.
            StoreError: Not reachable, or a migration failed and was rolled back.
        """
        migrations = load_migrations()
        done: list[str] = []
        async with self._reader.use(_MIGRATE_S) as connection:
            while True:
                async with connection.transaction():
                    await connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'")
                    await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_MIGRATION_LOCK])
                    await connection.execute(
                        "CREATE TABLE IF NOT EXISTS schema_migrations (number integer PRIMARY KEY, name text NOT NULL,"
                        " checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
                    )
                    rows = await connection.execute("SELECT number, checksum FROM schema_migrations")
                    todo = pending(dict(await rows.fetchall()), migrations)
                    if not todo:
                        return done
                    await connection.execute(todo[0].sql.encode())
                    await connection.execute(
                        "INSERT INTO schema_migrations (number, name, checksum) VALUES (%s, %s, %s)",
                        [todo[0].number, todo[0].name, todo[0].checksum],
                    )
                done.append(todo[0].name)
                _log.info("applied a migration", extra={"migration": todo[0].name})

    async def telemetry_layout(self) -> Literal["hypertable", "partitions"]:
        """How the first migration made `telemetry`: TimescaleDB's way, or PostgreSQL's own."""
        rows = await self._select("SELECT relkind = 'p' AS parted FROM pg_class WHERE oid = 'telemetry'::regclass")
        return "partitions" if rows[0]["parted"] else "hypertable"

    async def make_days_ahead(self) -> None:
        """Make the partitions of today and tomorrow, so that no batch at midnight pays for it."""
        today = self._clock.now_ms() // MS_PER_DAY
        async with self._writer.use(_WRITE_S) as connection:
            await self._make_days(connection, {today, today + 1})

    async def write(self, batch: RecordBatch) -> None:
        """Commit a batch in one transaction; rows that can never be stored are reported and left out."""
        tables: list[tuple[LogTable, Sequence[object]]] = [
            (TELEMETRY, batch.samples),
            (SETPOINTS, batch.setpoints),
            (DECISIONS, batch.decisions),
        ]
        async with self._writer.use(_WRITE_S) as connection:
            days = days_of(batch.samples)
            if days:
                today = self._clock.now_ms() // MS_PER_DAY
                await self._make_days(connection, days | {today, today + 1})
            if await _stored(connection, tables):
                return
            # A row's fault; or somebody dropped a day's partition, which looks the same.
            self._days.clear()
            await self._make_days(connection, days)
            refused: list[Refused] = []
            async with connection.transaction():
                for table, values in tables:
                    refused += await copy_in_halves(connection, table, values)
        if refused:
            self._report(refused)

    def _report(self, refused: list[Refused]) -> None:
        self.refused += len(refused)
        first = refused[0]
        _log.error(
            "the database will never take some rows; the rest of the batch is stored",
            extra={"refused": len(refused), "table": first.table, "row": repr(first.value)[:500], "error": first.why},
        )
        if self._on_refused is not None:
            self._on_refused(refused)

    async def _make_days(self, connection: Connection, days: set[int]) -> None:
        for day in sorted(days - self._days):
            await connection.execute("SELECT make_telemetry_day(%s)", [date(1970, 1, 1) + timedelta(days=day)])
            self._days.add(day)

    async def load_feeders(self) -> list[Feeder]:
        """All feeders, by id."""
        rows = await self._select(f"SELECT {_FEEDER_COLUMNS} FROM feeders ORDER BY feeder_id")
        return [feeder_of(row) for row in rows]

    async def load_devices(self) -> list[Device]:
        """All registrations, retired ones too, by id."""
        rows = await self._select(f"SELECT {_DEVICE_COLUMNS} FROM devices ORDER BY device_id")
        return [device_of(row) for row in rows]

    async def save_feeder(self, feeder: Feeder) -> None:
        """Insert or replace one.

        Raises:
            NotFoundError: Its parent does not exist.
            UsageError: A value is out of its range.
        """
        await self._upsert("feeders", _FEEDER_COLUMNS, [asdict(feeder)])

    async def save_devices(self, devices: Sequence[Device]) -> None:
        """Insert or replace several, in one transaction.

        Raises:
            NotFoundError: A feeder does not exist.
            UsageError: A value is out of its range.
        """
        await self._upsert("devices", _DEVICE_COLUMNS, [asdict(device) for device in devices])

    async def add_event(self, event: DrEvent, *, actor: str, request_id: str) -> None:
        """Commit an event together with its line in the audit log."""
        values = asdict(event) | {"feeder_ids": list(event.feeder_ids)}
        detail = {key: value for key, value in values.items() if value is not None and key != "event_id"}
        async with self._reader.use(_READ_S) as connection:
            try:
                async with connection.transaction():
                    await connection.execute(
                        f"INSERT INTO events ({_EVENT_COLUMNS}) VALUES (%(event_id)s, %(feeder_ids)s, %(start)s, "
                        "%(end)s, %(import_limit_kw)s, %(export_limit_kw)s, %(shed_kw)s, %(reason)s, %(created_by)s, "
                        "%(created_at)s, %(cancelled_at)s)",
                        values,
                    )
                    await connection.execute(
                        "INSERT INTO audit_log (actor, action, subject, request_id, detail) "
                        "VALUES (%s, 'event.create', %s, %s, %s)",
                        [actor, event.event_id, request_id, Jsonb(detail, dumps=_json)],
                    )
            except psycopg.errors.UniqueViolation as error:
                raise ConflictError(
                    f"there is an event {event.event_id} already", next_step="choose another id"
                ) from error
            except DATA_ERRORS as error:
                raise _meaning(error) from error

    async def unfinished_events(self, now: datetime) -> list[DrEvent]:
        """Events neither cancelled nor over at `now`, by start."""
        rows = await self._select(
            f"SELECT {_EVENT_COLUMNS} FROM events WHERE cancelled_at IS NULL AND ends_at > %(now)s "
            "ORDER BY starts_at, event_id",
            {"now": now},
        )
        return [event_of(row) for row in rows]

    async def next_epoch(self) -> int:
        """Draw a number above every one drawn before."""
        rows = await self._select("SELECT nextval('controller_epoch') AS epoch")
        return int(rows[0]["epoch"])

    async def live_setpoints(self, now: datetime) -> list[Setpoint]:
        """The newest lease of each device that has one which still lives at `now`."""
        rows = await self._select(
            "SELECT DISTINCT ON (device_id) device_id, kind, p_setpoint_kw, issued_at, valid_until, epoch, seq, reason "
            "FROM setpoints WHERE valid_until > %(now)s ORDER BY device_id, epoch DESC, seq DESC",
            {"now": now},
        )
        return [setpoint_of(row) for row in rows]

    async def count_samples(self, since: datetime | None = None) -> int:
        """How many measurements are stored.

        Args:
            since: Only those the devices measured then or later.
        """
        rows = await self._select(
            "SELECT count(*) AS n FROM telemetry WHERE at >= %(since)s",
            {"since": since or datetime.min.replace(tzinfo=UTC)},
        )
        return int(rows[0]["n"])

    async def counts(self) -> dict[str, int]:
        """The number of rows of each table, by its name. Counts them all: for a report, not for a tick."""
        names = ["feeders", "devices", "telemetry", "setpoints", "decisions", "events", "audit_log"]
        rows = await self._select(
            " UNION ALL ".join(f"SELECT '{name}' AS t, count(*) AS n FROM {name}" for name in names)
        )
        return {row["t"]: row["n"] for row in rows}

    async def _select(self, statement: str, values: dict[str, object] | None = None) -> list[dict[str, Any]]:
        async with self._reader.use(_READ_S) as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(statement.encode(), values)
            return await cursor.fetchall()

    async def _upsert(self, table: str, columns: str, rows: Sequence[dict[str, Any]]) -> None:
        key, *others = columns.split(", ")
        marks = ", ".join(f"%({column})s" for column in [key, *others])
        changes = ", ".join(f"{column} = excluded.{column}" for column in others)
        statement = (
            f"INSERT INTO {table} ({columns}) VALUES ({marks}) "
            f"ON CONFLICT ({key}) DO UPDATE SET {changes}, updated_at = now()"
        )
        async with self._reader.use(_WRITE_S) as connection:
            try:
                async with connection.transaction(), connection.cursor() as cursor:
                    await cursor.executemany(statement.encode(), rows)
            except DATA_ERRORS as error:
                raise _meaning(error) from error


async def _stored(connection: Connection, tables: list[tuple[LogTable, Sequence[object]]]) -> bool:
    """Commit all of it; False: some row cannot be stored, and nothing is."""
    for copy in (copy_new, copy_known):
        try:
            async with connection.transaction():
                for table, values in tables:
                    await copy(connection, table, values)
        except psycopg.errors.UniqueViolation:
            continue
        except DATA_ERRORS:
            return False
        return True
    return False


def _meaning(error: Exception) -> DermsError:
    words = str(error).split("\n", 1)[0]
    match error:
        case psycopg.errors.ForeignKeyViolation():
            detail = error.diag.message_detail or words
            return NotFoundError("the feeder named does not exist", why=detail, next_step="create it first")
        case _:
            return UsageError("the database refuses a value", why=words, next_step="correct it")


def _json(value: object) -> str:
    return json.dumps(value, default=str)
