"""The store's housekeeping: buckets and their sums, packing, retention; in the background, a little at a time.

Rules:
    - Every step is one transaction that leaves the same samples to be read as before: killed anywhere, nothing is lost
      or there twice, and the next pass goes on.
    - Steps are small, and rest as long as they worked. They take no lock that COPY of new rows waits for, but for the
      moment in which a partition is dropped, and give that up where it does not come at once.
    - One process at a time does it: who has the lock on its connection. The others do nothing.
    - What is too old goes by the database's clock, and only while the controller's agrees with it.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from derms.errors import DermsError
from derms.metrics import Metrics
from derms.ports import Clock
from derms.store.link import Connection, Link
from derms.store.packing import PACK
from derms.store.retention import Retention, drop, outdated, parts_of
from derms.store.rollup import TOUCHED, roll_up, sum_up

_log = logging.getLogger(__name__)

UPKEEP_LOCK = 0x6465726D74
_EVERY_S = 20.0
_PASS_S = 120.0
_BUDGET_S = 30.0
"""So long each kind of work goes on in one pass, before the next has its turn [s]."""
_LONGEST_REST_S = 2.0
_CLOCKS_AGREE_S = 3600.0
_EMPTY_FOR = timedelta(hours=6)
"""An empty day of raw rows is kept so long, as late ones may come."""
_MINUTE = timedelta(minutes=1)
# The lists are short and the tables long: from the list into the index, whatever the statistics say.
_PLANNED = (
    "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off; "
    "SET LOCAL jit = off; SET LOCAL work_mem = '64MB'"
)
_STATE = """
SELECT now(), (SELECT relkind = 'p' FROM pg_class WHERE oid = 'telemetry'::regclass),
       CASE WHEN isfinite(dropped_until) THEN dropped_until END
FROM telemetry_upkeep
"""
_FIRST = "SELECT at FROM telemetry WHERE at >= %s AND at < %s ORDER BY at LIMIT 1"
_NTH = "SELECT at FROM telemetry WHERE at >= %s AND at < %s ORDER BY at OFFSET %s LIMIT 1"
_COUNT = "SELECT count(*) FROM telemetry WHERE at >= %s AND at < %s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What becomes of samples."""

    raw_hours: float = 3.0
    """Older rows are packed."""
    retention: Retention = field(default_factory=Retention)
    step_rows: int = 50_000
    """About so many samples are packed in one transaction."""


@dataclass(slots=True)
class Done:
    """What one pass did."""

    packed_samples: int = 0
    packed_rows: int = 0
    buckets: int = 0
    dropped: list[str] = field(default_factory=list)
    unfinished: bool = False
    """There is more to be done at once."""


class Upkeep:
    """Does it.

    Args:
        url: `postgresql://...`; a connection of its own is made.
        clock: To measure the rests, and to be compared with the database's.
        rng: For the jitter between attempts to connect.
        keeping: What is kept how.
        metrics: Where it shows.
        rests: Rest after each step; else go through as fast as it goes.
        before_step: Told of each statement that is about to change something.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        rng: random.Random,
        keeping: Keeping,
        metrics: Metrics | None = None,
        rests: bool = True,
        before_step: Callable[[str], None] = lambda _step: None,
    ) -> None:
        self._link = Link(url, clock=clock, rng=rng, prepare=_prepared)
        self._clock = clock
        self._keeping = keeping
        self._metrics = metrics
        self._rests = rests
        self._before_step = before_step

    async def close(self) -> None:
        """Give up the connection."""
        await self._link.close()

    async def run(self) -> None:
        """Keep house until cancelled; trouble is logged once when it starts, and waited out."""
        failing = False
        while True:
            unfinished = False
            try:
                done = await self.once()
            except DermsError as error:
                if self._metrics is not None:
                    self._metrics.upkeep_failures_total.inc()
                if not failing:
                    _log.warning("the store's upkeep failed; it is tried again", extra={"error": str(error)})
                failing = True
            else:
                if failing:
                    _log.info("the store's upkeep works again")
                failing = False
                unfinished = done is not None and done.unfinished
            await asyncio.sleep(1.0 if unfinished else _EVERY_S)

    async def once(self) -> Done | None:
        """One pass over all there is to do, as far as its time goes; None: another process is at it.

        Raises:
            StoreError: It broke off; what was done stays done.
        """
        async with self._link.use(_PASS_S) as connection:
            if not (await _rows(connection, "SELECT pg_try_advisory_lock(%s)", [UPKEEP_LOCK]))[0][0]:
                return None
            try:
                return await self._pass(connection)
            finally:
                if not connection.closed:
                    with contextlib.suppress(Exception):  # a broken connection has let go of it by itself
                        await connection.execute("SELECT pg_advisory_unlock(%s)", [UPKEEP_LOCK])

    async def _pass(self, connection: Connection) -> Done:
        [(now, partitioned, dropped_until)] = await _rows(connection, _STATE)
        done = Done()
        await self._roll_up(connection, dropped_until, done)
        horizon = (now - timedelta(hours=self._keeping.raw_hours)).replace(second=0, microsecond=0)
        if partitioned:
            await self._pack(connection, horizon, done)
        await self._sum_up(connection, done)
        await self._retire(connection, now, horizon, done)
        return done

    async def _roll_up(self, connection: Connection, dropped_until: datetime | None, done: Done) -> None:
        began_s = self._clock.monotonic_s()
        while True:
            async with self._step(connection, "roll up"):
                made = await roll_up(connection, dropped_until)
                self._before_step("commit buckets")
            if made is None:
                return
            done.buckets += made
            if self._metrics is not None:
                self._metrics.telemetry_buckets_total.inc(made)
            if self._clock.monotonic_s() - began_s > _BUDGET_S:
                done.unfinished = True
                return

    async def _sum_up(self, connection: Connection, done: Done) -> None:
        began_s = self._clock.monotonic_s()
        while True:
            async with self._step(connection, "sum up"):
                made = await sum_up(connection)
                self._before_step("commit sums")
            if made is None:
                return
            if self._clock.monotonic_s() - began_s > _BUDGET_S:
                done.unfinished = True
                return

    async def _pack(self, connection: Connection, horizon: datetime, done: Done) -> None:
        began_s, since = self._clock.monotonic_s(), datetime.min.replace(tzinfo=UTC, year=1990)
        while (found := await _rows(connection, _FIRST, [since, horizon])) and not done.unfinished:
            first = found[0][0].replace(second=0, microsecond=0)
            since, until, parts = await self._slice(connection, first, horizon)
            for part in range(parts):
                await self._pack_slice(connection, since, until, (parts, part), done)
            since = until
            done.unfinished = self._clock.monotonic_s() - began_s > _BUDGET_S
        if self._metrics is not None:
            behind_s = (horizon - found[0][0]).total_seconds() if found else 0.0
            self._metrics.telemetry_unpacked_seconds.set(behind_s)

    async def _slice(
        self, connection: Connection, first: datetime, horizon: datetime
    ) -> tuple[datetime, datetime, int]:
        """From which minute to which, in how many shares of the devices: about `step_rows` rows each."""
        midnight = first.replace(hour=0, minute=0) + timedelta(days=1)
        latest = min(horizon, midnight)
        nth = await _rows(connection, _NTH, [first, latest, self._keeping.step_rows])
        if not nth:
            return first, latest, 1
        until = nth[0][0].replace(second=0, microsecond=0)
        if until > first:
            return first, until, 1
        [(count,)] = await _rows(connection, _COUNT, [first, first + _MINUTE])
        return first, first + _MINUTE, 1 + count // self._keeping.step_rows

    async def _pack_slice(
        self, connection: Connection, since: datetime, until: datetime, share: tuple[int, int], done: Done
    ) -> None:
        parts, part = share
        async with self._step(connection, "pack"):
            await connection.execute("SELECT make_telemetry_part('telemetry_minutes', 'day', %s)", [since])
            self._before_step("move the mark")
            # Seen by readers together with what it means: raw rows before it are looked for among the packed ones.
            await connection.execute(
                "UPDATE telemetry_upkeep SET packed_until = %s WHERE packed_until < %s", [until, until]
            )
            self._before_step("move samples")
            values = {"since": since, "until": until, "parts": parts, "part": part}
            cursor = await connection.execute(PACK.encode(), values)
            [(samples, rows)] = await cursor.fetchall()
            self._before_step("commit samples")
        done.packed_samples += samples
        done.packed_rows += rows
        if self._metrics is not None:
            self._metrics.telemetry_packed_samples_total.inc(samples)

    async def _retire(self, connection: Connection, now: datetime, horizon: datetime, done: Done) -> None:
        for part in await parts_of(connection, ["telemetry"]):
            if part.until <= horizon - _EMPTY_FOR and await self._is_empty(connection, part.name):
                self._before_step("drop an empty part")
                await drop(connection, part, only_empty=True)
        apart_s = abs(now.timestamp() - self._clock.now_ms() / 1000.0)
        due = await outdated(connection, self._keeping.retention, now)
        if due and apart_s > _CLOCKS_AGREE_S:
            _log.warning("nothing old is dropped: the clocks of database and controller differ", extra={"s": apart_s})
            return
        for part in due:
            self._before_step("drop an old part")
            if await drop(connection, part):
                done.dropped.append(part.name)
                _log.info("dropped what is older than its retention", extra={"partition": part.name})
                if self._metrics is not None:
                    self._metrics.telemetry_dropped_partitions_total.inc()

    async def _is_empty(self, connection: Connection, name: str) -> bool:
        return not await _rows(connection, f'SELECT 1 FROM "{name}" LIMIT 1')

    @contextlib.asynccontextmanager
    async def _step(self, connection: Connection, name: str) -> AsyncIterator[None]:
        """One transaction, and a rest as long as it took."""
        began_s = self._clock.monotonic_s()
        self._before_step(name)
        async with connection.transaction():
            await connection.execute(_PLANNED.encode())
            yield
        self._before_step(f"after {name}")
        if self._rests:
            await asyncio.sleep(min(self._clock.monotonic_s() - began_s, _LONGEST_REST_S))


async def _prepared(connection: Connection) -> None:
    await connection.execute(TOUCHED)


async def _rows(connection: Connection, statement: str, values: list[Any] | None = None) -> list[Any]:
    return await (await connection.execute(statement.encode(), values)).fetchall()
