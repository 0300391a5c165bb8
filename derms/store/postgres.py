"""The store on PostgreSQL: a connection for the bulk writes, one for long reads, one for everything else."""

import logging
import random
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Literal, LiteralString

import psycopg

from derms.metrics import Metrics
from derms.model import Setpoint
from derms.ports import Clock, MemoryRecord, RecordBatch, Sample
from derms.store.alarms import AlarmTables
from derms.store.audit import AuditTable
from derms.store.bulk import DATA_ERRORS, Refused, copy_in_halves, copy_known, copy_new, prepare_staging
from derms.store.database import WRITE_S
from derms.store.events import EventTables
from derms.store.leases import LeaseTables
from derms.store.link import Connection, Link
from derms.store.memories import MemoryTables, keep_memories
from derms.store.migrate import migrate
from derms.store.outcomes import OutcomeTables
from derms.store.overrides import OverrideTables
from derms.store.programs import ProgramTables
from derms.store.registrations import RegistrationTables
from derms.store.registry import RegistryTables
from derms.store.reports import ReportTables
from derms.store.rollup import mark_touched
from derms.store.rows import (
    DECISIONS,
    FIRST_DAY,
    LAST_DAY,
    LOG_TABLES,
    MS_PER_DAY,
    SETPOINTS,
    TELEMETRY,
    LogTable,
    days_of,
    setpoint_of,
)
from derms.store.upkeep import Keeping, Upkeep
from derms.store.users import UserTables

_log = logging.getLogger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATE_MS = 120_000
"""A sample older than this is late: its bucket alone is made anew, not those of the whole fleet [ms]."""
# Packed rows know how many they hold; raw ones count unless they are among them.
_COUNT_SAMPLES = """
SELECT (SELECT count(*) FROM telemetry WHERE at >= %(since)s
            AND (at >= (SELECT packed_until FROM telemetry_upkeep) OR NOT telemetry_is_packed(device_id, at, seq)))
    + (SELECT coalesce(sum(samples), 0) FROM telemetry_minutes WHERE minute >= %(since)s)
    + (SELECT count(*) FROM telemetry_unpacked
        WHERE minute < %(since)s AND minute > %(since)s - interval '1 minute' AND at >= %(since)s) AS n
"""


class PostgresStore(
    RegistryTables,
    RegistrationTables,
    EventTables,
    OutcomeTables,
    ProgramTables,
    OverrideTables,
    AlarmTables,
    MemoryTables,
    ReportTables,
    UserTables,
    AuditTable,
):
    """Implements the store ports on one PostgreSQL database; made by `derms.store.open_store`.

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
        super().__init__(url, clock=clock, rng=rng)
        self._url, self._clock, self._rng = url, clock, rng
        self._writer = Link(url, clock=clock, rng=rng, prepare=prepare_staging)
        self.leases = LeaseTables(Link(url, clock=clock, rng=rng))
        """Who commands."""
        self._on_refused = on_refused
        self._days: set[tuple[str, int]] = set()
        """Of which table which days have a partition."""
        self.refused = 0
        """Rows the database would not take, since the start."""

    async def close(self) -> None:
        """Give up the connections."""
        await self.leases.close()
        await self._writer.close()
        await super().close()

    async def migrate(self) -> list[str]:
        """Bring the schema to this program's version, as `derms.store.migrate.migrate`."""
        return await migrate(self._link)

    async def telemetry_layout(self) -> Literal["hypertable", "partitions"]:
        """How the first migration made `telemetry`: TimescaleDB's way, or PostgreSQL's own."""
        rows = await self._select("SELECT relkind = 'p' AS parted FROM pg_class WHERE oid = 'telemetry'::regclass")
        return "partitions" if rows[0]["parted"] else "hypertable"

    def upkeep(self, keeping: Keeping, metrics: Metrics | None = None) -> Upkeep:
        """Its housekeeping, on a connection of its own; to be run, and closed, by the caller."""
        return Upkeep(self._url, clock=self._clock, rng=self._rng, keeping=keeping, metrics=metrics)

    async def make_days_ahead(self) -> None:
        """Make the partitions of today and tomorrow, so that no batch at midnight pays for it."""
        async with self._writer.use(WRITE_S) as connection:
            await self._make_days(connection, [(table, ()) for table in LOG_TABLES])

    async def write(self, batch: RecordBatch) -> None:
        """Commit a batch in one transaction; rows that can never be stored are reported and left out."""
        tables: list[tuple[LogTable, Sequence[object]]] = [
            (TELEMETRY, batch.samples),
            (SETPOINTS, batch.setpoints),
            (DECISIONS, batch.decisions),
        ]
        async with self._writer.use(WRITE_S) as connection:
            await self._make_days(connection, tables)
            touched = self._touched(batch.samples)
            refused = await _stored(connection, tables, batch.memories, touched)
            if refused is None:
                # A row's fault; or somebody dropped a day's partition, which looks the same.
                self._days.clear()
                await self._make_days(connection, tables)
                async with connection.transaction():
                    refused = await keep_memories(connection, batch.memories)
                    await mark_touched(connection, touched)
                    for table, values in tables:
                        refused += await copy_in_halves(connection, table, values)
        if refused:
            self._report(refused)

    def _touched(self, samples: Sequence[Sample]) -> set[tuple[datetime, str | None]]:
        """The minutes that samples lie in: of anybody, or where they come late of one device."""
        late_ms = self._clock.now_ms() - _LATE_MS
        marks: set[tuple[int, str | None]] = set()
        for sample in samples:
            at_ms = sample.telemetry.at_ms
            if FIRST_DAY <= at_ms // MS_PER_DAY < LAST_DAY:
                marks.add((at_ms // 60_000, sample.telemetry.device_id if at_ms < late_ms else None))
        return {(_EPOCH + timedelta(minutes=minute), who) for minute, who in marks if who is None or _is_text(who)}

    def _report(self, refused: list[Refused]) -> None:
        self.refused += len(refused)
        first = refused[0]
        _log.error(
            "the database will never take some rows; the rest of the batch is stored",
            extra={"refused": len(refused), "table": first.table, "row": repr(first.value)[:500], "error": first.why},
        )
        if self._on_refused is not None:
            self._on_refused(refused)

    async def _make_days(self, connection: Connection, tables: Sequence[tuple[LogTable, Sequence[object]]]) -> None:
        """Make the partitions that values need, and those of today and tomorrow."""
        today = self._clock.now_ms() // MS_PER_DAY
        for table, values in tables:
            for day in sorted({today, today + 1} | days_of(table, values)):
                if (table.name, day) not in self._days:
                    await connection.execute(*_part_of(table, day))
                    self._days.add((table.name, day))

    async def live_setpoints(self, now: datetime) -> list[Setpoint]:
        """The newest lease of each device that has one which still lives at `now`."""
        rows = await self._select(
            "SELECT DISTINCT ON (device_id) device_id, kind, p_setpoint_kw, issued_at, valid_until, epoch, seq, reason "
            "FROM setpoints WHERE valid_until > %(now)s AND issued_at > %(now)s - interval '2 days' "
            "ORDER BY device_id, epoch DESC, seq DESC",
            {"now": now},
        )
        return [setpoint_of(row) for row in rows]

    async def count_samples(self, since: datetime | None = None) -> int:
        """How many measurements are stored.

        Args:
            since: Only those the devices measured then or later.
        """
        rows = await self._select(
            _COUNT_SAMPLES,
            {"since": since or datetime(1900, 1, 1, tzinfo=UTC)},
        )
        return int(rows[0]["n"])

    async def counts(self) -> dict[str, int]:
        """The number of rows of each table, by its name. Counts them all: for a report, not for a tick."""
        names = [
            *("feeders", "devices", "setpoints", "decisions", "events", "dr_programs"),
            *(
                "device_overrides",
                "device_hours",
                "engine_memory",
                "alarms",
                "alarm_log",
                "audit_log",
                "users",
                "sessions",
            ),
        ]
        rows = await self._select(
            " UNION ALL ".join(f"SELECT '{name}' AS t, count(*) AS n FROM {name}" for name in names)
        )
        return {row["t"]: row["n"] for row in rows} | {"telemetry": await self.count_samples()}


def _part_of(table: LogTable, day: int) -> tuple[LiteralString, list[object]]:
    """The statement that makes the partition of a day."""
    if table is TELEMETRY:
        return "SELECT make_telemetry_day(%s)", [date(1970, 1, 1) + timedelta(days=day)]
    return "SELECT make_log_part(%s, %s, %s)", [table.name, table.part, _EPOCH + timedelta(days=day)]


def _is_text(device_id: str) -> bool:
    """Whether the database can hold it; the row of an id that it cannot is refused."""
    try:
        return b"\0" not in device_id.encode()
    except UnicodeEncodeError:
        return False


async def _stored(
    connection: Connection,
    tables: list[tuple[LogTable, Sequence[object]]],
    memories: Sequence[MemoryRecord],
    touched: set[tuple[datetime, str | None]],
) -> list[Refused] | None:
    """Commit all of it, but for memories that cannot be stored; None: some other row cannot be, and nothing is."""
    for copy in (copy_new, copy_known):
        try:
            async with connection.transaction():
                for table, values in tables:
                    await copy(connection, table, values)
                await mark_touched(connection, touched)
                return await keep_memories(connection, memories)
        except psycopg.errors.UniqueViolation:
            continue
        except DATA_ERRORS:
            return None
    return None
