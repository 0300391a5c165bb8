"""What the store costs: bytes a sample, rows a second in and packed, and questions that people ask of it."""

import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from derms.bench.effort import Effort
from derms.bench.figures import Figure, Section
from derms.model import Device, DeviceKind, Feeder, Telemetry
from derms.ports import RecordBatch, Sample
from derms.runtime import SystemClock
from derms.store import open_store
from derms.store.embedded import EmbeddedPostgres
from derms.store.link import Link
from derms.store.postgres import PostgresStore
from derms.store.retention import Retention
from derms.store.upkeep import Keeping, Upkeep

DEVICES = 1_000
_BATCH = 5_000
_KINDS = (DeviceKind.EV, DeviceKind.PV, DeviceKind.BATTERY, DeviceKind.LOAD)
_SECONDS, _QUICK_SECONDS = 600, 60
_ASKED, _QUICK_ASKED = 9, 3
_READ_S = 300.0

# Buckets as the upkeep makes them, without the samples of a day and of a year of a thousand devices.
_FILL = """
SELECT make_telemetry_part('{table}', '{part}', at)
FROM generate_series(%(since)s::timestamptz, %(until)s, '1 day') AS at;
INSERT INTO {table}
SELECT 'ev-' || d, at, 60, 60 * d * 0.001, 0, 7.2, 60, 210, 60, 30
FROM generate_series(%(since)s::timestamptz, %(until)s - interval '{width}', '{width}') AS at,
     generate_series(1, {devices}) AS d;
ANALYZE {table}
"""
# A tick each five seconds, as the controller of one feeder writes them whatever the number of its devices.
_TICKS = """
INSERT INTO decisions (feeder_id, at, epoch, tick, mode, import_limit_kw, limit_source, background_kw, reserved_kw,
                       headroom_kw, commanded_kw, shortfall_kw, setpoints_sent, duration_ms, load_kw)
SELECT 'feeder-1', at, 1, row_number() OVER (ORDER BY at), 'auto', 900, 'feeder', 200, 10, 100, 600, 0, 40, 3, 820
FROM generate_series(%(since)s::timestamptz, %(until)s - interval '5 s', '5 s') AS at;
ANALYZE decisions
"""
_SUM_UP = """
INSERT INTO telemetry_feeders_touched
SELECT * FROM generate_series(%(since)s::timestamptz, %(until)s - interval '1 minute', '1 minute')
"""
_DAY_OF_FEEDERS = """
SELECT at, sum(p_kw) AS kw FROM telemetry_feeders_1m
WHERE at >= %(since)s AND at < %(until)s GROUP BY at ORDER BY at
"""
_DAY = """
SELECT at, sum(p_sum_kw / samples) AS kw FROM telemetry_1m
WHERE at >= %(since)s AND at < %(until)s GROUP BY at ORDER BY at
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    samples: int
    copy_s: float
    packed_s: float
    raw_bytes: float
    packed_bytes: float
    day_ms: float
    day_of_each_ms: float
    feeder_ms: float
    year_ms: float


def store(effort: Effort, say: Callable[[str], None]) -> Section:
    """Measure it.

    Args:
        effort: How much.
        say: Told what is being done.
    """
    quick = effort.runs is not None
    seconds, asked = (_QUICK_SECONDS, _QUICK_ASKED) if quick else (_SECONDS, _ASKED)
    with tempfile.TemporaryDirectory(prefix="derms-bench-") as name:
        Path(name).chmod(0o711)
        found = asyncio.run(_measured(Path(name), seconds, asked, say))
    return Section(
        key="store",
        title="The store",
        setting=(
            f"The embedded PostgreSQL with its own settings. {DEVICES:,} devices, a sample a second, "
            f"{found.samples:,} in all: powers with three decimals, half of the devices with a state of charge. "
            f"Written in batches of {_BATCH:,} on one connection, then packed, without rests. Bytes are those of table "
            "and indexes. The questions are asked again and again, the median counts."
        ),
        figures=(
            Figure(what="Disk, packed", value=found.packed_bytes, unit="bytes a sample", target=30.0, at_least=False,
                   rivals=(("raw", found.raw_bytes),)),
            Figure(what="Written by COPY", value=found.samples / found.copy_s, unit="rows a second"),
            Figure(what="Packed", value=found.samples / found.packed_s, unit="rows a second",
                   target=10_000.0),
            Figure(what=f"A day by the minute, sum over {DEVICES:,} devices, from the sums by feeder and kind",
                   value=found.day_ms, unit="ms", target=200.0, at_least=False),
            Figure(what=f"A day by the minute, sum over {DEVICES:,} devices, each from its own buckets",
                   value=found.day_of_each_ms, unit="ms", target=200.0, at_least=False),
            Figure(what="A day by the minute, a feeder, from its decision log", value=found.feeder_ms, unit="ms",
                   target=200.0, at_least=False),
            Figure(what="A year by the hour, one device", value=found.year_ms, unit="ms", target=100.0,
                   at_least=False),
        ),
    )  # fmt: skip


async def _measured(directory: Path, seconds: int, asked: int, say: Callable[[str], None]) -> _Found:
    rng = random.Random(1)
    async with (
        EmbeddedPostgres(directory / "pg") as server,
        open_store(server.url, directory, clock=SystemClock(), rng=rng) as opened,
    ):
        link = Link(server.url, clock=SystemClock(), rng=rng)
        try:
            return await _asked(opened, server.url, link, seconds, asked, say)
        finally:
            await link.close()


async def _asked(
    opened: PostgresStore, url: str, link: Link, seconds: int, asked: int, say: Callable[[str], None]
) -> _Found:
    rng = random.Random(2)
    start_ms = SystemClock().now_ms() // 86_400_000 * 86_400_000 - 86_400_000
    made = _samples(rng, start_ms, seconds)
    say(f"store: {len(made):,} samples are written")
    began_s = time.perf_counter()
    for n in range(0, len(made), _BATCH):
        await opened.write(RecordBatch(samples=made[n : n + _BATCH]))
    copy_s = time.perf_counter() - began_s
    day = datetime.fromtimestamp(start_ms / 1000, tz=UTC)
    raw_bytes = await _size(link, f"telemetry_{day:%Y%m%d}") / len(made)
    say("store: they are packed")
    async with link.use(_READ_S) as connection:  # the buckets are not what is measured
        await connection.execute("TRUNCATE telemetry_touched")
    packed_s = await _kept_up(url)
    packed_bytes = await _size(link, f"telemetry_minutes_{day:%Y%m%d}") / len(made)
    say("store: a day and a year of buckets are made")
    year = day - timedelta(days=365)
    async with link.use(_READ_S) as connection:
        await connection.execute("SET statement_timeout = 0")
        for table, part, width, devices, since in (
            ("telemetry_1m", "day", "1 minute", DEVICES, day),
            ("telemetry_1h", "month", "1 hour", 50, year),
        ):
            fill = _FILL.format(table=table, part=part, width=width, devices=devices)
            values = {"since": since, "until": day + timedelta(days=1) if since == day else day}
            for statement in fill.split(";"):
                await connection.execute(statement.encode(), values if "%" in statement else None)

        for statement in _TICKS.split(";"):
            values = {"since": day, "until": day + timedelta(days=1)}
            await connection.execute(statement.encode(), values if "%" in statement else None)

        await connection.execute(_SUM_UP.encode(), {"since": day, "until": day + timedelta(days=1)})
    await opened.save_feeders([Feeder(feeder_id="feeder-1")])
    await opened.save_devices(
        [Device(device_id=f"ev-{n}", kind=DeviceKind.EV, feeder_id="feeder-1") for n in range(1, DEVICES + 1)]
    )
    await _kept_up(url)

    async def of_the_day(statement: str) -> int:
        async with link.use(_READ_S) as connection:
            cursor = await connection.execute(statement.encode(), {"since": day, "until": day + timedelta(days=1)})
            return len(await cursor.fetchall())

    async def of_the_feeder() -> int:
        return len(await opened.feeder_history("feeder-1", since=day, until=day + timedelta(days=1), bucket_s=60))

    async def of_the_year() -> int:
        return len(await opened.telemetry_buckets("ev-7", since=year, until=day, bucket_s=3_600))

    say("store: they are asked for")
    return _Found(
        samples=len(made), copy_s=copy_s, packed_s=packed_s, raw_bytes=raw_bytes, packed_bytes=packed_bytes,
        day_ms=await _median_ms(lambda: of_the_day(_DAY_OF_FEEDERS), asked, 1_440),
        day_of_each_ms=await _median_ms(lambda: of_the_day(_DAY), asked, 1_440),
        feeder_ms=await _median_ms(of_the_feeder, asked, 1_440), year_ms=await _median_ms(of_the_year, asked, 8_760),
    )  # fmt: skip


async def _kept_up(url: str) -> float:
    """Pack and sum up all there is; how long that took [s]."""
    keeping = Keeping(raw_hours=0.0, retention=Retention(samples=None))
    upkeep = Upkeep(url, clock=SystemClock(), rng=random.Random(3), keeping=keeping, rests=False)
    began_s = time.perf_counter()
    try:
        while (done := await upkeep.once()) is not None and done.unfinished:
            pass
        return time.perf_counter() - began_s
    finally:
        await upkeep.close()


async def _median_ms(ask: Callable[[], Awaitable[int]], times: int, expected: int) -> float:
    took = []
    for _ in range(times + 1):
        began_s = time.perf_counter()
        count = await ask()
        took.append((time.perf_counter() - began_s) * 1000.0)
        assert count == expected, f"{count} rows instead of {expected}"
    return sorted(took[1:])[times // 2]


async def _size(link: Link, table: str) -> float:
    async with link.use(_READ_S) as connection:
        cursor = await connection.execute(b"SELECT pg_total_relation_size(%s::regclass)", [table])
        return float((await cursor.fetchall())[0][0])


def _samples(rng: random.Random, start_ms: int, seconds: int) -> list[Sample]:
    """In the order they would come in."""
    made = []
    for second in range(seconds):
        for device in range(DEVICES):
            at_ms = start_ms + 1000 * second + device
            kind = _KINDS[device % 4]
            telemetry = Telemetry(
                device_id=f"{kind.value}-{device}",
                kind=kind,
                at_ms=at_ms,
                seq=second,
                p_actual_kw=round(rng.uniform(0.0, 7.2), 3),
                p_setpoint_kw=3.5 if device % 2 == 0 else None,
                soc=round(0.3 + second / 10_000 + rng.random() / 1_000, 4) if device % 2 == 0 else None,
                p_max_kw=7.2,
                applied_epoch=1,
                applied_seq=second // 30,
            )
            made.append(Sample(telemetry=telemetry, received_ms=at_ms + rng.randrange(2, 60), feeder_id="feeder-1"))
    return made
