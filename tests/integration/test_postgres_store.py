"""What only the real database shows."""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from derms.errors import ConfigError, ConflictError, NotFoundError, StoreError, UsageError
from derms.model import Author, Device, DeviceKind, DeviceStatus, Feeder
from derms.ports import RecordBatch
from derms.runtime import SystemClock
from derms.store import open_store
from derms.store.bulk import Refused
from derms.store.embedded import EmbeddedPostgres
from derms.store.link import Link
from derms.store.postgres import PostgresStore
from derms.store.schema import load_migrations
from tests.fakes_store import T0_MS, decision, event, memory, override, program, sample, setpoint

DAY_MS = 86_400_000


def opened(url: str, path: Path, **more: Any) -> contextlib.AbstractAsyncContextManager[PostgresStore]:
    return open_store(url, path, clock=SystemClock(), rng=random.Random(1), **more)


@pytest.fixture
async def store(postgres_url: str, tmp_path: Path) -> AsyncIterator[PostgresStore]:
    async with opened(postgres_url, tmp_path) as made:
        yield made


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        return connection.execute(statement.encode()).fetchall()


async def test_every_column_of_a_sample_is_stored_exactly(store: PostgresStore, postgres_url: str) -> None:
    full = sample(
        7,
        at_ms=T0_MS + 123,
        p_actual_kw=-1.25,
        p_setpoint_kw=0.1,
        soc=0.42,
        p_max_kw=7.2,
        capacity_kwh=60.0,
        ready_by_ms=T0_MS + DAY_MS,
        energy_needed_kwh=11.5,
        applied_epoch=7,
        applied_seq=1201,
        status=DeviceStatus.LOCAL,
    )
    await store.write(RecordBatch(samples=[full, sample(None, device_id="pv-1", at_ms=T0_MS)]))
    at = datetime(2026, 1, 1, 0, 0, 0, 123_000, tzinfo=UTC)
    midnight = datetime(2026, 1, 1, tzinfo=UTC)
    first, second = rows(postgres_url, "SELECT * FROM telemetry ORDER BY device_id")
    assert first[:5] == ("ev-1", at, 7, at + timedelta(milliseconds=40), "feeder-1")
    assert first[5:] == (-1.25, 0.1, 0.42, 7.2, 60.0, midnight + timedelta(days=1), 7, 1201, "local", 11.5)
    assert second[:5] == ("pv-1", midnight, -1, midnight + timedelta(milliseconds=40), "feeder-1")
    assert second[5:] == (3.5, None, None, None, None, None, None, None, "ok", None)


async def test_setpoints_and_decisions_are_stored_as_they_were(store: PostgresStore, postgres_url: str) -> None:
    await store.write(RecordBatch(setpoints=[setpoint(1)], decisions=[decision(2)]))
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert rows(postgres_url, "SELECT * FROM setpoints") == [
        ("ev-1", at + timedelta(seconds=1), 1, 1, at + timedelta(seconds=91), "ev", 2.0, "feeder-1 import limit")
    ]
    assert rows(postgres_url, "SELECT * FROM decisions") == [
        (
            *("feeder-1", at + timedelta(seconds=4), 1, 2, "auto", 50.0, "static", None, 20.0, 0.0, 30.0, 28.0, 0.0),
            *(4, 0.4, 41.5, 30.0, 27.5, None, "", 0.0, -1.0, 2.0, 3.0, 4.0, 5.5, 0.0),
        )
    ]


async def test_each_day_has_its_partition_and_tomorrow_is_made_ahead(store: PostgresStore, postgres_url: str) -> None:
    await store.write(RecordBatch(samples=[sample(n, at_ms=T0_MS + n) for n in (-1, 0)]))
    found = rows(postgres_url, "SELECT tableoid::regclass::text, seq FROM telemetry ORDER BY at")
    assert found == [("telemetry_20251231", -1), ("telemetry_20260101", 0)]
    today = datetime.now(UTC)
    names = {f"telemetry_{day:%Y%m%d}" for day in (today, today + timedelta(days=1))}
    parts = rows(
        postgres_url, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'telemetry'::regclass"
    )
    assert names <= {part for (part,) in parts}


async def test_a_partition_that_was_dropped_is_made_again(store: PostgresStore, postgres_url: str) -> None:
    await store.write(RecordBatch(samples=[sample(1)]))
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP TABLE telemetry_20260101")
    await store.write(RecordBatch(samples=[sample(2)]))
    assert await store.count_samples() == 1
    assert store.refused == 0


POISON = {
    "soc above 1": sample(100, soc=1.5),
    "power that is no number": sample(101, p_actual_kw=float("nan")),
    "infinite power": sample(102, p_actual_kw=float("inf")),
    "a negative magnitude": sample(103, p_max_kw=-1.0),
    "a negative energy need": sample(108, energy_needed_kwh=-1.0),
    "an energy need that is no number": sample(109, energy_needed_kwh=float("nan")),
    "a NUL in the id": sample(104, device_id="ev\x00"),
    "half a character": sample(105, device_id="\ud800"),
    "a sequence number beyond 64 bits": sample(2**70, at_ms=T0_MS),
    "a negative sequence number": sample(-2, at_ms=T0_MS),
    "a clock in 1970": sample(106, at_ms=5),
    "a clock far ahead": sample(107, at_ms=10**16),
}


@pytest.mark.parametrize("bad", POISON.values(), ids=POISON.keys())
async def test_one_poisoned_row_is_left_out_and_reported(postgres_url: str, tmp_path: Path, bad: Any) -> None:
    told: list[Refused] = []
    async with opened(postgres_url, tmp_path, on_refused=told.extend) as store:
        good = [sample(n) for n in range(50)]
        await store.write(RecordBatch(samples=[*good[:20], bad, *good[20:]], setpoints=[setpoint(1)]))
        assert await store.count_samples() == 50
        assert (await store.counts())["setpoints"] == 1
    assert [one.value for one in told] == [bad]
    assert told[0].table == "telemetry"
    assert store.refused == 1


async def test_a_lease_that_ends_before_it_begins_is_left_out(store: PostgresStore) -> None:
    await store.write(RecordBatch(setpoints=[setpoint(1), setpoint(2, valid_until_ms=T0_MS)]))
    assert (await store.counts())["setpoints"] == 1


async def test_a_batch_of_nothing_but_poison_is_refused_whole_and_in_time(store: PostgresStore) -> None:
    async with asyncio.timeout(15):
        await store.write(RecordBatch(samples=[sample(n, soc=9.0) for n in range(500)]))
    assert (store.refused, await store.count_samples()) == (500, 0)


async def test_samples_are_counted_since_an_instant(store: PostgresStore) -> None:
    await store.write(RecordBatch(samples=[sample(n) for n in range(10)]))
    assert await store.count_samples(datetime(2026, 1, 1, 0, 0, 6, tzinfo=UTC)) == 4  # 6, 7, 8, 9


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_log SET actor = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"]
)
async def test_the_audit_log_only_grows(store: PostgresStore, postgres_url: str, statement: str) -> None:
    await store.add_event(event(), by=Author("alice", "r1"))
    with (
        psycopg.connect(postgres_url, autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="only grows"),
    ):
        connection.execute(statement.encode())
    assert rows(
        postgres_url, "SELECT actor, action, subject, request_id, after->>'import_limit_kw' FROM audit_log"
    ) == [("alice", "event.create", "dr-1", "r1", "30.0")]


async def test_the_audit_log_says_who_did_what_to_programs_and_overrides(
    store: PostgresStore, postgres_url: str
) -> None:
    await store.save_feeders([Feeder(feeder_id="f0")])
    await store.save_devices([Device(device_id="ev-1", kind=DeviceKind.EV, feeder_id="f0")])
    await store.add_program(program(), by=Author("alice", "r1"))
    await store.change_program(
        "cap-1", "program.activate", lambda one: replace(one, active=True), by=Author("bob", "r2")
    )
    await store.change_program(
        "cap-1", "program.deactivate", lambda one: replace(one, active=False), by=Author("bob", "r3")
    )
    await store.delete_program("cap-1", by=Author("carol", "r4"))
    await store.put_override(override(), by=Author("alice", "r5"))
    await store.clear_override("ev-1", by=Author("bob", "r6"))
    assert rows(
        postgres_url,
        "SELECT actor, action, subject, request_id, "
        "(before || after)->>'target_shed_kw', after->>'p_kw' FROM audit_log "
        "ORDER BY audit_id",
    ) == [
        ("alice", "program.create", "cap-1", "r1", "20.0", None),
        ("bob", "program.activate", "cap-1", "r2", None, None),
        ("bob", "program.deactivate", "cap-1", "r3", None, None),
        ("carol", "program.delete", "cap-1", "r4", "20.0", None),
        ("alice", "override.put", "ev-1", "r5", None, "3.5"),
        ("bob", "override.clear", "ev-1", "r6", None, None),
    ]


async def test_what_is_taken_or_missing_is_named(store: PostgresStore) -> None:
    await store.add_program(program("a", name="Evening peak"), by=Author("alice", "r1"))
    with pytest.raises(ConflictError, match=r"'b' cannot be stored.*name.*Evening peak.*choose another"):
        await store.add_program(program("b", name="Evening peak"), by=Author("alice", "r2"))
    with pytest.raises(NotFoundError, match=r"the device named does not exist.*nobody"):
        await store.put_override(override("nobody"), by=Author("alice", "r3"))
    with pytest.raises(NotFoundError, match=r"the feeder named does not exist.*nowhere"):
        await store.save_feeders([Feeder(feeder_id="f1", parent_id="nowhere")])
    with pytest.raises(NotFoundError, match="'c'"):
        await store.delete_program("c", by=Author("alice", "r4"))


@pytest.mark.parametrize(
    "payload", [b"", b"{", b'{"a": NaN}', b'"\\u0000"', b"\xff", b'{"a": 1e999999}'], ids=lambda one: repr(one)
)
async def test_a_memory_that_is_no_json_costs_its_batch_nothing(store: PostgresStore, payload: bytes) -> None:
    await store.write(RecordBatch(memories=[memory(payload=b'{"n": 1}')]))
    poisoned = RecordBatch(
        samples=[sample(1)],
        decisions=[decision(1)],
        memories=[memory(at_s=1, payload=payload), memory("feeder-2", at_s=1)],
    )
    await store.write(poisoned)
    assert (await store.count_samples(), store.refused) == (1, 1)
    assert await store.load_memories() == [memory(payload=b'{"n": 1}'), memory("feeder-2", at_s=1)]
    # the same again, beside a sample that cannot be stored either
    await store.write(replace(poisoned, samples=[sample(2), sample(3, soc=1.5)]))
    assert (await store.count_samples(), store.refused) == (2, 3)


async def test_a_number_in_a_memory_comes_back_as_exactly_the_same(store: PostgresStore) -> None:
    numbers = [0.1, 1 / 3, 1e-300, 5e-324, 1.7976931348623157e308, -2.5, 0.0]
    await store.write(RecordBatch(memories=[memory(payload=json.dumps(numbers).encode())]))
    (found,) = await store.load_memories()
    assert [float(number) for number in json.loads(found.payload)] == numbers


async def test_values_out_of_range_are_refused_in_words(store: PostgresStore) -> None:
    await store.save_feeders([Feeder(feeder_id="f0")])
    device = Device(device_id="a", kind=DeviceKind.EV, feeder_id="f0")
    for bad in (replace(device, priority=0), replace(device, priority=11), replace(device, target_soc=1.1)):
        with pytest.raises(UsageError, match="the database refuses a value"):
            await store.save_devices([bad])
    with pytest.raises(UsageError):
        await store.save_feeders([Feeder(feeder_id="f1", import_limit_kw=-1.0)])
    with pytest.raises(UsageError):
        await store.save_feeders([Feeder(feeder_id="f2", parent_id="f2")])
    with pytest.raises(UsageError):
        await store.add_event(event(start_h=2, end_h=2), by=Author("alice", "r"))
    assert (await store.counts())["audit_log"] == 0


async def test_several_processes_may_migrate_at_once(postgres_url: str, tmp_path: Path) -> None:
    async def once() -> None:
        async with opened(postgres_url, tmp_path) as store:
            await store.ping()

    await asyncio.gather(*(once() for _ in range(4)))
    assert rows(postgres_url, "SELECT count(*) FROM schema_migrations") == [(len(load_migrations()),)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE schema_migrations SET checksum = 'x'", "is not the one this database was made with"),
        ("INSERT INTO schema_migrations VALUES (9999, 'later', 'x')", "upgrade derms"),
    ],
)
async def test_a_database_with_another_history_is_refused(
    postgres_url: str, tmp_path: Path, change: str, words: str
) -> None:
    async with opened(postgres_url, tmp_path):
        pass
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(change.encode())
    with pytest.raises(ConfigError, match=words):
        async with opened(postgres_url, tmp_path):
            pass


async def test_a_connection_that_is_cut_comes_back_by_itself(store: PostgresStore, postgres_url: str) -> None:
    await store.write(RecordBatch(samples=[sample(1)]))
    rows(postgres_url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
         "AND datname = current_database()")  # fmt: skip
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(StoreError):
                await store.write(RecordBatch(samples=[sample(1), sample(2)]))
                break
    assert await answer(store) == 2


async def answer(store: PostgresStore) -> int:
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(StoreError):
                return await store.count_samples()


@pytest.mark.parametrize("url", ["mysql://u:hunter2@h/d", "postgresql://u:hunter2@h:port/d?nonsense=1", "hunter2"])
async def test_a_wrong_url_is_refused_at_once_without_repeating_its_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        async with opened(url, tmp_path):
            pass
    assert "hunter2" not in str(caught.value)


async def test_a_database_that_does_not_exist_is_refused_at_once(
    postgres_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        async with asyncio.timeout(5), opened(postgres_server.url.replace("/derms?", "/nowhere?"), tmp_path):
            pass


async def test_a_server_that_is_not_there_is_waited_for_and_said_once(
    tmp_path: Path, closed_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2), opened(f"postgresql://u@127.0.0.1:{closed_port}/d", tmp_path):
            pass
    assert [record.message for record in caplog.records].count("waiting for the database") == 1


async def test_a_silent_server_does_not_hold_a_call_for_ever(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        store = PostgresStore(
            f"postgresql://u@127.0.0.1:{port}/d?connect_timeout=2", clock=SystemClock(), rng=random.Random(1)
        )
        with pytest.raises(StoreError):
            async with asyncio.timeout(20):
                await store.ping()
        await store.close()


async def test_a_database_that_falls_silent_costs_its_caller_little_more_than_it_allowed(postgres_url: str) -> None:
    link = Link(postgres_url, clock=SystemClock(), rng=random.Random(1))
    async with link.use(10.0) as connection:
        pid = connection.info.backend_pid
    os.kill(pid, signal.SIGSTOP)
    try:
        began_s = time.monotonic()
        with pytest.raises(StoreError, match="did not answer"):
            async with link.use(0.5) as connection:
                await connection.execute("SELECT 1")
        # 0.5 s for the query and 0.5 s for asking the server to stop it; the library alone would take 5 s more.
        assert time.monotonic() - began_s < 4.0
    finally:
        os.kill(pid, signal.SIGCONT)
    async with link.use(10.0) as connection:
        assert connection.info.backend_pid != pid
    await link.close()
