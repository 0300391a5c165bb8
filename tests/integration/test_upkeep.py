"""The store's upkeep on a real PostgreSQL: packed rows answer as raw ones did, killed anywhere; buckets; retention."""

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from derms.model import Device, DeviceKind, DeviceStatus, Feeder
from derms.ports import OutcomeWanted, RecordBatch, Sample
from derms.runtime import SystemClock
from derms.store import open_store
from derms.store.packing import PACK
from derms.store.postgres import PostgresStore
from derms.store.retention import Part, Retention, drop
from derms.store.upkeep import UPKEEP_LOCK, Done, Keeping, Upkeep
from tests.fakes_store import T0, T0_MS, decision, event, sample, setpoint
from tests.processes import eventually

MINUTE_MS = 60_000
DAY_MS = 86_400_000
FOR_EVER = Keeping(retention=Retention(samples=None), step_rows=150)


def rows(url: str, statement: str, values: Any = None) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        cursor = connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
async def store(postgres_url: str, tmp_path: Path) -> AsyncIterator[PostgresStore]:
    async with open_store(postgres_url, tmp_path, clock=SystemClock(), rng=random.Random(1)) as made:
        yield made


async def kept(url: str, keeping: Keeping = FOR_EVER) -> Done:
    """One pass."""
    upkeep = Upkeep(url, clock=SystemClock(), rng=random.Random(1), keeping=keeping, rests=False)
    try:
        done = await upkeep.once()
    finally:
        await upkeep.close()
    assert done is not None
    return done


def samples(url: str) -> list[tuple[Any, ...]]:
    """Every sample to the last bit: numbers as their bytes, as 0.0 and -0.0 are equal."""
    return rows(
        url,
        "SELECT device_id, at, seq, received_at, feeder_id, float8send(p_actual_kw), float8send(p_setpoint_kw), "
        "float8send(soc), float8send(p_max_kw), float8send(capacity_kwh), ready_by, applied_epoch, applied_seq, status,"
        " float8send(energy_needed_kwh) FROM telemetry_all ORDER BY 1, 2, 3",
    )


def raw_and_packed(url: str) -> tuple[int, int]:
    return rows(url, "SELECT (SELECT count(*) FROM telemetry), (SELECT sum(samples) FROM telemetry_minutes)")[0]


NUMBERS = (0.0, -0.0, 3.5, 7.2, 0.1 + 0.2, 1 / 3, 1e-300, -2146.999999, 2147.5, 123456.789, 1e9, -1e9, 1e-7)


def wild(seed: int, n: int = 400) -> list[Sample]:
    """Samples that devices of every habit could send within five minutes."""
    rng = random.Random(seed)
    made: dict[object, Sample] = {}
    for number in range(n):
        device = rng.choice(["steady", "odd", "uncounted", "nothing"])
        at_ms = T0_MS + rng.randrange(5 * MINUTE_MS)
        more: dict[str, Any] = {}
        if device == "odd":
            more = {
                "p_actual_kw": rng.choice(NUMBERS),
                "p_setpoint_kw": rng.choice([None, *NUMBERS]),
                "soc": rng.choice([None, 0.0, -0.0, 1.0, rng.random()]),
                "p_max_kw": rng.choice([None, abs(rng.choice(NUMBERS)), -0.0]),
                "capacity_kwh": rng.choice([None, 60.0, 1 / 3]),
                "ready_by_ms": rng.choice([None, T0_MS + rng.randrange(DAY_MS)]),
                "energy_needed_kwh": rng.choice([None, rng.random() * 50]),
                "applied_epoch": rng.choice([None, 3, 4]),
                "applied_seq": rng.choice([None, 2**62, 7]),
                "status": rng.choice(list(DeviceStatus)),
            }
        elif device == "steady":
            more = {"p_actual_kw": round(rng.uniform(-7, 7), 3), "p_setpoint_kw": 3.5, "soc": 0.5, "p_max_kw": 7.2}
        seq = None if device == "uncounted" else number if device == "steady" else rng.choice([number, 2**63 - 1])
        one = sample(seq, device_id=device, at_ms=at_ms, **more)
        if device == "odd":
            one = msgspec.structs.replace(one, received_ms=at_ms + rng.choice([-40, 40, 31_999, 32_001, 3 * DAY_MS]))
            one = msgspec.structs.replace(one, feeder_id=rng.choice(["feeder-1", "feeder-2"]))
        made.setdefault((device, at_ms, seq), one)
    return list(made.values())


def _numbered(one: Sample, *, seq: int) -> Sample:
    return msgspec.structs.replace(one, telemetry=msgspec.structs.replace(one.telemetry, seq=seq))


async def answers(store: PostgresStore, device_id: str, seed: int) -> list[Any]:
    """What the API's readers get, of whole and of cut minutes."""
    rng = random.Random(seed)
    told: list[Any] = [await store.count_samples(), await store.count_samples(T0 + timedelta(seconds=77.5))]
    for _ in range(6):
        since = T0 + timedelta(milliseconds=rng.randrange(-MINUTE_MS, 3 * MINUTE_MS))
        until = since + timedelta(milliseconds=rng.randrange(1, 5 * MINUTE_MS))
        told += [
            await store.telemetry_buckets(device_id, since=since, until=until, bucket_s=bucket_s)
            for bucket_s in (1, 10, 60, 90)
        ]
        for limit in (1, 3, 50):
            after = None
            for _page in range(4):
                page = await store.stored_samples(device_id, since=since, until=until, limit=limit, after=after)
                told.append(page)
                if not page:
                    break
                after = (page[-1].at, page[-1].seq)
    return told


@pytest.mark.parametrize("seed", [1, 2])
async def test_packed_samples_are_read_as_the_raw_ones_were_to_the_last_bit(
    store: PostgresStore, postgres_url: str, seed: int
) -> None:
    made = wild(seed)
    await store.write(RecordBatch(samples=made))
    with psycopg.connect(postgres_url, autocommit=True) as connection:  # an instant between milliseconds
        connection.execute("UPDATE telemetry SET at = at + interval '7 us' WHERE seq % 5 = 0 AND device_id = 'odd'")
    before = samples(postgres_url)
    asked = {device: await answers(store, device, seed) for device in ("steady", "odd", "uncounted", "nobody")}
    done = await kept(postgres_url)
    assert done.packed_samples == len(made) == len(before)
    assert raw_and_packed(postgres_url) == (0, len(made))
    assert samples(postgres_url) == before
    assert {device: await answers(store, device, seed) for device in asked} == asked


async def test_a_stretch_that_is_packed_in_part_is_read_as_it_was_and_the_mark_lies_within_it(
    store: PostgresStore, postgres_url: str
) -> None:
    clock = SystemClock()
    now_ms = clock.now_ms()
    until = datetime.fromtimestamp(now_ms / 1000, tz=UTC)
    # 40 minutes around the mark, a sample each 3.7 s, every tenth without a state of charge.
    made = [
        sample(n, at_ms=now_ms - 80 * MINUTE_MS + 3_700 * n, p_actual_kw=n / 7, soc=None if n % 10 else n / 700)
        for n in range(650)
    ]
    await store.write(RecordBatch(samples=made))

    async def told() -> list[Any]:
        asked: dict[str, Any] = {"since": until - timedelta(hours=2), "until": until}
        found: list[Any] = [
            await store.telemetry_buckets("ev-1", **asked, bucket_s=width) for width in (1, 60, 90, 900)
        ]
        after = None
        while page := await store.stored_samples("ev-1", **asked, limit=97, after=after):
            found.append(page)
            after = (page[-1].at, page[-1].seq)
        return [*found, await store.count_samples(), await store.count_samples(until - timedelta(minutes=63.3))]

    before, bits = await told(), samples(postgres_url)
    assert len(bits) == 650
    for raw_hours in (1.2, 1.0, 0.75):  # the mark goes on through it
        await kept(postgres_url, replace(FOR_EVER, raw_hours=raw_hours))
        raw, packed = raw_and_packed(postgres_url)
        assert raw > 0
        assert packed > 0
        assert raw + packed == 650
        assert samples(postgres_url) == bits
        assert await told() == before


async def test_what_devices_did_in_an_event_is_found_in_packed_rows_too(
    store: PostgresStore, postgres_url: str
) -> None:
    await store.save_feeders([Feeder(feeder_id="feeder-1")])
    await store.save_devices([Device(device_id="ev-1", kind=DeviceKind.EV, feeder_id="feeder-1", p_import_max_kw=7.2)])
    made = [
        sample(n, device_id="ev-1", at_ms=T0_MS + 7_300 * n, p_actual_kw=n / 7, status=DeviceStatus.LOCAL if n % 3 else
               DeviceStatus.OK) for n in range(60)
    ]  # fmt: skip
    await store.write(RecordBatch(samples=made))
    wanted = OutcomeWanted(
        event=replace(event(), start=T0 + timedelta(minutes=2), end=T0 + timedelta(minutes=6)),
        imports=True, since=T0, settled=T0 + timedelta(minutes=3), until=T0 + timedelta(minutes=6), bucket_s=60,
        tolerance=0.01, tolerance_kw=0.1,
    )  # fmt: skip
    instants = [T0 + timedelta(seconds=s) for s in (0, 7.3, 59.999, 60, 61, 119.9, 240, 300.5, 430.7, 470, 491, 600)]
    before = [await store.device_courses(wanted, [instant]) for instant in instants]
    assert sum(course.heard for (course,) in before) > 3
    await kept(postgres_url)
    assert raw_and_packed(postgres_url) == (0, 60)
    assert [await store.device_courses(wanted, [instant]) for instant in instants] == before


async def test_a_late_sample_of_a_packed_minute_and_one_sent_again_are_found_once(
    store: PostgresStore, postgres_url: str
) -> None:
    made = wild(4)
    late, early = made[::7], [one for n, one in enumerate(made) if n % 7]
    await store.write(RecordBatch(samples=made))
    whole = samples(postgres_url)
    rows(postgres_url, "DELETE FROM telemetry")
    await store.write(RecordBatch(samples=early))
    await kept(postgres_url)
    again = [msgspec.structs.replace(one, received_ms=one.received_ms + 999) for one in early[::3]]
    await store.write(RecordBatch(samples=[*late, *again]))
    assert raw_and_packed(postgres_url) == (len(late) + len(again), len(early))
    assert samples(postgres_url) == whole  # what came first stays, as ever
    assert await store.count_samples() == len(made)
    assert (await store.counts())["telemetry"] == len(made)
    await kept(postgres_url)
    assert raw_and_packed(postgres_url) == (0, len(made))
    assert samples(postgres_url) == whole


async def test_the_newest_hours_stay_as_they_are(store: PostgresStore, postgres_url: str) -> None:
    now_ms = SystemClock().now_ms()
    await store.write(RecordBatch(samples=[sample(n, at_ms=now_ms - n * 30 * MINUTE_MS) for n in range(10)]))
    await kept(postgres_url, replace(FOR_EVER, raw_hours=2.25))
    assert raw_and_packed(postgres_url) == (5, 5)


async def test_killed_between_any_two_steps_nothing_is_lost_or_there_twice(
    store: PostgresStore, postgres_url: str
) -> None:
    made = wild(5, 160)
    await store.write(RecordBatch(samples=made[:120]))
    await kept(postgres_url)
    await store.write(RecordBatch(samples=made[100:]))
    whole = samples(postgres_url)
    assert len(whole) == len(made)
    killed, codes = 0, {-9}
    while codes == {-9}:
        killed += 1
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.upkeep_until_killed", postgres_url, "3", str(killed % 7 + killed // 7)
        )
        codes = {await process.wait()}
        assert samples(postgres_url) == whole
        assert killed < 60
    assert codes == {0}
    assert killed > 6
    assert raw_and_packed(postgres_url) == (0, len(made))
    assert buckets(postgres_url, "telemetry_1m") == recomputed(postgres_url, 60)


async def test_a_writer_waits_for_no_step(store: PostgresStore, postgres_url: str) -> None:
    await store.write(RecordBatch(samples=wild(6)))
    async with await psycopg.AsyncConnection.connect(postgres_url) as packing:
        await packing.execute("SELECT make_telemetry_part('telemetry_minutes', 'day', %s)", [T0])
        await packing.execute("UPDATE telemetry_upkeep SET packed_until = %s", [T0 + timedelta(minutes=5)])
        until = T0 + timedelta(minutes=5)
        await packing.execute(PACK.encode(), {"since": T0, "until": until, "parts": 1, "part": 0})
        # In the middle of it: new rows, late rows, and one that is being moved, sent again.
        async with asyncio.timeout(5):
            await store.write(RecordBatch(samples=[sample(1), sample(2, at_ms=SystemClock().now_ms())]))
            total = await store.count_samples()
        await packing.commit()
    assert await store.count_samples() == total


async def test_dropping_gives_up_where_somebody_writes(store: PostgresStore, postgres_url: str) -> None:
    await store.write(RecordBatch(samples=[sample(1)]))
    part = Part(table="telemetry", name="telemetry_20260101", until=T0 + timedelta(days=1))
    async with (
        await psycopg.AsyncConnection.connect(postgres_url) as writer,
        await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as keeper,
    ):
        await writer.execute("INSERT INTO telemetry SELECT device_id, at, 99, received_at, feeder_id, p_actual_kw, "
                             "p_setpoint_kw, soc, p_max_kw, capacity_kwh, ready_by, applied_epoch, applied_seq, status "
                             "FROM telemetry")  # fmt: skip
        assert not await drop(keeper, part)  # type: ignore[arg-type]  # a connection like ours
        await writer.commit()
        assert not await drop(keeper, part, only_empty=True)  # type: ignore[arg-type]
        assert await store.count_samples() == 2
        assert await drop(keeper, part)  # type: ignore[arg-type]
    assert await store.count_samples() == 0


async def test_only_one_process_keeps_house(store: PostgresStore, postgres_url: str) -> None:
    await store.write(RecordBatch(samples=wild(7)))
    first = Upkeep(postgres_url, clock=SystemClock(), rng=random.Random(1), keeping=FOR_EVER, rests=False)
    async with (
        contextlib.AsyncExitStack() as stack,
        await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as other,
    ):
        stack.push_async_callback(first.close)
        await other.execute("SELECT pg_advisory_lock(%s)", [UPKEEP_LOCK])
        assert await first.once() is None
        await other.execute("SELECT pg_advisory_unlock(%s)", [UPKEEP_LOCK])  # hanging up would let go of it some time
        assert await first.once() is not None


async def test_retention_drops_whole_days_that_are_too_old_and_nothing_else(
    store: PostgresStore, postgres_url: str
) -> None:
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    ages = [timedelta(days=days, hours=-1) for days in (0.2, 2, 3, 4, 5, 40, 500)]
    made = [sample(n, at_ms=round((midnight - age).timestamp() * 1000)) for n, age in enumerate(ages)]
    await store.write(RecordBatch(samples=made))
    few = Keeping(retention=Retention(samples=3, others={"telemetry_1m": 10, "telemetry_15m": 100}))
    await kept(postgres_url, replace(few, retention=Retention(samples=None)))
    await store.write(RecordBatch(samples=[_numbered(made[3], seq=77)]))  # raw again
    await kept(postgres_url, few)
    # kept: whatever day ended less than 3 days ago
    since = midnight - timedelta(days=3)
    expected = {n for n, age in enumerate(ages) if midnight - age >= since}
    assert {row[2] for row in samples(postgres_url)} == expected
    assert len(buckets(postgres_url, "telemetry_1m")) == 5  # 40 and 500 days are too old
    assert len(buckets(postgres_url, "telemetry_15m")) == 6  # 500 days are
    assert len(buckets(postgres_url, "telemetry_1h")) == len(buckets(postgres_url, "telemetry_1d")) == 7
    # What comes for a day that is gone makes no bucket from itself alone.
    before = buckets(postgres_url, "telemetry_1d")
    await store.write(RecordBatch(samples=[_numbered(made[5], seq=78)]))
    await kept(postgres_url, few)
    assert buckets(postgres_url, "telemetry_1d") == before


async def test_old_setpoints_and_decisions_go_by_their_own_retention(store: PostgresStore, postgres_url: str) -> None:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    ages_days = (0, 2, 5, 40, 500)

    def at_ms(days: int) -> int:
        return round((midnight - timedelta(days=days)).timestamp() * 1000) + 1

    await store.write(
        RecordBatch(
            setpoints=[
                setpoint(n, issued_at_ms=at_ms(days), valid_until_ms=at_ms(days) + 30_000)
                for n, days in enumerate(ages_days)
            ],
            decisions=[replace(decision(n), at_ms=at_ms(days)) for n, days in enumerate(ages_days)],
        )
    )
    assert store.refused == 0
    few = Retention(samples=None, others={"setpoints": 3, "decisions": 100})
    await kept(postgres_url, Keeping(retention=few))
    assert [row[0] for row in rows(postgres_url, "SELECT seq FROM setpoints ORDER BY seq")] == [0, 1]
    assert [row[0] for row in rows(postgres_url, "SELECT tick FROM decisions ORDER BY tick")] == [0, 1, 2, 3]


async def test_nothing_is_dropped_while_the_clocks_differ(store: PostgresStore, postgres_url: str) -> None:
    class Ahead(SystemClock):
        def now_ms(self) -> int:
            return super().now_ms() + 2 * 3_600_000

    await store.write(RecordBatch(samples=[sample(1)]))
    upkeep = Upkeep(postgres_url, clock=Ahead(), rng=random.Random(1), keeping=Keeping(), rests=False)
    try:
        await upkeep.once()
    finally:
        await upkeep.close()
    assert await store.count_samples() == 1
    await kept(postgres_url, Keeping())
    assert await store.count_samples() == 0


def buckets(url: str, table: str) -> list[tuple[Any, ...]]:
    return rows(
        url,
        "SELECT device_id, at, samples, p_sum_kw::numeric(20, 6), p_min_kw, p_max_kw, setpoints, "
        f"setpoint_sum_kw::numeric(20, 6), socs, soc_sum::numeric(20, 6) FROM {table} ORDER BY 1, 2",
    )


def recomputed(url: str, width_s: int) -> list[tuple[Any, ...]]:
    """The buckets as the samples themselves have them."""
    return rows(
        url,
        "SELECT device_id, date_bin(%s * interval '1 s', at, '2000-01-01 00:00+00'), count(*), "
        "sum(p_actual_kw)::numeric(20, 6), min(p_actual_kw), max(p_actual_kw), count(p_setpoint_kw), "
        "coalesce(sum(p_setpoint_kw), 0)::numeric(20, 6), count(soc), coalesce(sum(soc), 0)::numeric(20, 6) "
        "FROM telemetry_all GROUP BY 1, 2 ORDER BY 1, 2",
        [width_s],
    )


async def test_buckets_come_to_what_the_samples_come_to_in_whatever_order_they_arrive(
    store: PostgresStore, postgres_url: str
) -> None:
    rng = random.Random(8)
    now_ms = SystemClock().now_ms()
    made = [
        sample(n, device_id=rng.choice("abc"), at_ms=now_ms - rng.randrange(2 * DAY_MS), p_actual_kw=rng.uniform(-7, 7),
               soc=rng.choice([None, rng.random()]), p_setpoint_kw=rng.choice([None, 3.0])) for n in range(300)
    ]  # fmt: skip
    made += [sample(n, at_ms=now_ms - 100_000 + 100 * n) for n in range(300)]  # of minutes not over yet
    rng.shuffle(made)
    for n in range(0, len(made), 150):
        part = made[n : n + 150]
        await store.write(RecordBatch(samples=part + part[:20] + made[max(n - 30, 0) : n]))
        await kept(postgres_url)
    open_since = datetime.fromtimestamp(now_ms / 1000 - 200, tz=UTC).replace(second=0, microsecond=0)
    found, expected = buckets(postgres_url, "telemetry_1m"), recomputed(postgres_url, 60)
    assert [row for row in found if row[1] < open_since] == [row for row in expected if row[1] < open_since]
    day = open_since.replace(hour=0, minute=0)
    for table, width_s in (("telemetry_15m", 900), ("telemetry_1h", 3600), ("telemetry_1d", 86_400)):
        before = [row for row in recomputed(postgres_url, width_s) if row[1] < day]
        assert [row for row in buckets(postgres_url, table) if row[1] < day] == before
        assert before


def sums(url: str, before: datetime) -> list[tuple[Any, ...]]:
    return rows(
        url,
        "SELECT feeder_id, kind, at, devices, samples, p_kw::numeric(20, 6) FROM telemetry_feeders_1m "
        "WHERE at < %s ORDER BY 1, 2, 3",
        [before],
    )


def summed_up(url: str, before: datetime) -> list[tuple[Any, ...]]:
    """The sums by feeder and kind as the samples themselves have them."""
    return rows(
        url,
        "SELECT feeder_id, kind, minute, count(*), sum(n), sum(kw)::numeric(20, 6) FROM ("
        "  SELECT d.feeder_id, d.kind, date_trunc('minute', at) AS minute, count(*) AS n, avg(p_actual_kw) AS kw"
        "  FROM telemetry_all JOIN devices d USING (device_id) GROUP BY d.device_id, d.feeder_id, d.kind, minute"
        ") AS each WHERE minute < %s GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        [before],
    )


async def test_the_sums_of_a_feeder_come_to_what_its_samples_come_to_late_ones_too(
    store: PostgresStore, postgres_url: str
) -> None:
    rng = random.Random(9)
    now_ms = SystemClock().now_ms()
    kinds = {"a": DeviceKind.EV, "b": DeviceKind.EV, "c": DeviceKind.PV, "d": DeviceKind.EV}
    await store.save_feeders([Feeder(feeder_id="f1"), Feeder(feeder_id="f2")])
    await store.save_devices(
        [Device(device_id=one, kind=kind, feeder_id="f2" if one == "d" else "f1") for one, kind in kinds.items()]
    )
    made = [
        sample(n, device_id=rng.choice("abcde"), at_ms=now_ms - 300_000 - rng.randrange(DAY_MS // 12),
               p_actual_kw=rng.uniform(-7, 7)) for n in range(400)
    ]  # fmt: skip
    for n in range(0, len(made), 100):  # each goes before and behind the others, so whole minutes are made again
        await store.write(RecordBatch(samples=made[n : n + 100]))
        await kept(postgres_url)
    until = datetime.fromtimestamp(now_ms / 1000, tz=UTC)
    found = sums(postgres_url, until)
    assert found == summed_up(postgres_url, until)
    assert {row[:2] for row in found} == {("f1", "ev"), ("f1", "pv"), ("f2", "ev")}  # nobody registered "e"
    assert max(row[3] for row in found) == 2
    assert rows(postgres_url, "SELECT count(*) FROM telemetry_feeders_touched") == [(0,)]


async def test_the_sums_of_a_feeder_go_with_the_buckets_of_a_minute(store: PostgresStore, postgres_url: str) -> None:
    await store.save_feeders([Feeder(feeder_id="f1")])
    await store.save_devices([Device(device_id="a", kind=DeviceKind.EV, feeder_id="f1")])
    now_ms = SystemClock().now_ms()
    ages = (5, 1)
    await store.write(RecordBatch(samples=[sample(age, device_id="a", at_ms=now_ms - age * DAY_MS) for age in ages]))
    await kept(postgres_url)
    until = datetime.fromtimestamp(now_ms / 1000, tz=UTC)
    assert len(sums(postgres_url, until)) == len(ages)
    days = {"telemetry_1m": 3.0, "telemetry_feeders_1m": 3.0}
    await kept(postgres_url, replace(FOR_EVER, retention=Retention(samples=None, others=days)))
    assert [row[2].date() for row in sums(postgres_url, until)] == [(until - timedelta(days=1)).date()]


async def test_long_stretches_are_read_from_buckets_and_come_to_the_same(
    store: PostgresStore, postgres_url: str
) -> None:
    rng = random.Random(10)
    midnight_ms = SystemClock().now_ms() // DAY_MS * DAY_MS
    made = [
        sample(n, at_ms=midnight_ms - rng.randrange(3 * DAY_MS), p_actual_kw=rng.uniform(-7, 7),
               soc=rng.choice([None, rng.random()])) for n in range(500)
    ]  # fmt: skip
    await store.write(RecordBatch(samples=made))
    end = datetime.fromtimestamp(midnight_ms / 1000, tz=UTC)
    asked: dict[str, Any] = {"since": end - timedelta(days=3), "until": end - timedelta(minutes=7), "bucket_s": 3600}
    of_samples = await store.telemetry_buckets("ev-1", **asked)  # nothing is made yet: the edge lies before all
    await kept(postgres_url)
    rows(postgres_url, "DELETE FROM telemetry_minutes WHERE minute < %s", [end - timedelta(hours=1)])
    of_buckets = await store.telemetry_buckets("ev-1", **asked)
    assert len(of_samples) == 72
    assert [(one.at, one.samples, one.p_actual_max_kw) for one in of_buckets] == [
        (one.at, one.samples, one.p_actual_max_kw) for one in of_samples
    ]
    assert [one.p_actual_kw for one in of_buckets] == pytest.approx([one.p_actual_kw for one in of_samples])
    # News of an old minute: from there on the samples are asked, which are gone here.
    await store.write(RecordBatch(samples=[sample(9999, at_ms=midnight_ms - 2 * DAY_MS)]))
    assert len(await store.telemetry_buckets("ev-1", **asked)) < 72


async def test_the_upkeep_runs_until_it_is_cancelled(postgres_url: str, store: PostgresStore) -> None:
    await store.write(RecordBatch(samples=wild(9)))
    upkeep = Upkeep(postgres_url, clock=SystemClock(), rng=random.Random(1), keeping=FOR_EVER, rests=False)
    running = asyncio.create_task(upkeep.run())
    await asyncio.to_thread(eventually, lambda: raw_and_packed(postgres_url)[0] == 0, "all samples are packed")
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    await upkeep.close()
