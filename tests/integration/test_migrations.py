"""From a database that an earlier version filled to this one, nothing lost and no log written anew."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from derms.model import Author, Device, DeviceKind, DrProgram, Feeder, FeederMode, OverrideKind, Policy, ProgramKind
from derms.ports import RecordBatch
from derms.runtime import SystemClock
from derms.store import open_store
from derms.store.retention import Retention
from derms.store.schema import load_migrations
from derms.store.upkeep import Keeping, Upkeep
from tests.fakes_store import T0, T0_MS, decision, event, override, sample, setpoint

DAY_MS = 86_400_000

FILL = """
INSERT INTO feeders VALUES ('f0', 'Root', NULL, 100, NULL, 1.5, -2, 'advise', now());
INSERT INTO feeders VALUES ('f1', '', 'f0', NULL, 10, 0, 0, 'auto', now());
INSERT INTO devices VALUES ('ev-1', 'ev', 'f1', 'house', 'physical', 'active', 'v1', false, 7.2, 0, 1.4, 60, 0.2, 0.8,
                            5, 0, now());
SELECT make_telemetry_day('2026-01-01');
INSERT INTO telemetry SELECT 'ev-1', '2026-01-01'::timestamptz + n * interval '1 s', n, '2026-01-01', 'f1', 3.5, NULL,
                             0.5, NULL, NULL, NULL, NULL, NULL, 'ok' FROM generate_series(1, 1000) AS n;
INSERT INTO setpoints VALUES ('ev-1', '2026-01-01', 1, 1, '2026-01-01 00:01', 'ev', 3.5, '');
INSERT INTO decisions VALUES ('f0', '2026-01-01', 1, 1, 'auto', 100, 'static', NULL, 0, 0, 100, 3.5, 0, 1, 0.2);
INSERT INTO events VALUES ('dr-0', '{f0}', '2026-01-01', '2026-01-02', 30, NULL, NULL, 'peak', 'alice', '2026-01-01');
INSERT INTO dr_programs VALUES ('p', 'Evening', 'fixed_cap', '2026-01-01', '2026-02-01', 20, 0, 0, true, now());
INSERT INTO audit_log (actor, action, subject, request_id) VALUES ('alice', 'event.create', 'dr-0', 'r1');
"""
LOGS = ("telemetry_20260101", "setpoints", "decisions")
LOGS_NOW = ("telemetry_20260101", "setpoints_before", "decisions_before")
"""Under which names these lie in this version."""


def run(url: str, statement: str, values: list[Any] | None = None) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        cursor = connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []


def files(url: str, names: Sequence[str]) -> list[tuple[Any, ...]]:
    """Where the rows of the logs lie; another number means that they were all written anew."""
    return run(url, "SELECT " + ", ".join(f"pg_relation_filenode('{name}')" for name in names))


@pytest.fixture
def earlier(postgres_url: str) -> str:
    """A database as the first version made and filled it."""
    first = load_migrations()[0]
    run(postgres_url, first.sql)
    run(
        postgres_url,
        "CREATE TABLE schema_migrations (number integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT now())",
    )
    run(postgres_url, "INSERT INTO schema_migrations VALUES (%s, %s, %s)", [first.number, first.name, first.checksum])
    run(postgres_url, FILL)
    return postgres_url


def test_the_first_migration_is_the_one_that_is_in_the_field() -> None:
    assert load_migrations()[0].checksum == "1cc2eaad102e4e1e58cc4e6da4d66fa7da3129c862e82e937399e66d025de3da"


async def test_a_filled_database_of_the_first_version_is_brought_up_to_date(earlier: str, tmp_path: Path) -> None:
    before = files(earlier, LOGS)
    async with open_store(earlier, tmp_path, clock=SystemClock(), rng=random.Random(1)) as store:
        assert files(earlier, LOGS_NOW) == before
        root = Feeder(
            feeder_id="f0", name="Root", import_limit_kw=100.0, margin_kw=1.5, assumed_unmetered_kw=-2.0,
            mode=FeederMode.ADVISE,
        )  # fmt: skip
        assert await store.load_feeders() == [root, Feeder(feeder_id="f1", parent_id="f0", export_limit_kw=10.0)]
        assert {feeder.policy for feeder in await store.load_feeders()} == {Policy.DEFICIT}
        (device,) = await store.load_devices()
        assert (device.device_id, device.p_min_kw, device.p_step_kw) == ("ev-1", 1.4, 0.0)
        (program,) = await store.load_programs()
        assert program == DrProgram(
            program_id="p", name="Evening", kind=ProgramKind.FIXED_CAP, start=program.start, end=program.end,
            target_shed_kw=20.0, active=True,
        )  # fmt: skip
        assert [one.event_id for one in await store.unfinished_events(T0)] == ["dr-0"]
        assert await store.count_samples() == 1000
        assert (await store.live_overrides(T0), await store.load_memories()) == ([], [])
    assert run(earlier, "SELECT DISTINCT energy_needed_kwh FROM telemetry") == [(None,)]
    assert run(earlier, "SELECT envelope_kw, envelope_in_s FROM decisions") == [(0.0, 0.0)]
    assert run(earlier, "SELECT device_id, p_setpoint_kw FROM setpoints") == [("ev-1", 3.5)]


async def test_it_takes_new_rows_into_old_and_new_days_beside_what_was_there(earlier: str, tmp_path: Path) -> None:
    async with open_store(earlier, tmp_path, clock=SystemClock(), rng=random.Random(1)) as store:
        await store.write(
            RecordBatch(
                samples=[sample(5000 + n, at_ms=T0_MS + n * DAY_MS, energy_needed_kwh=11.5) for n in range(3)],
                setpoints=[setpoint(1)],
                decisions=[decision(2)],
            )
        )
        assert store.refused == 0
        await store.write(
            RecordBatch(samples=[sample(6000, energy_needed_kwh=-1.0), sample(6001, energy_needed_kwh=11.5)])
        )
        assert store.refused == 1
        await store.add_event(event(), by=Author("alice", "r"))
        await store.put_override(override(kind=OverrideKind.BLOCK, p_kw=None), by=Author("alice", "r"))
        stepped = Device(device_id="ev-2", kind=DeviceKind.EV, feeder_id="f1", p_step_kw=0.23)
        await store.save_devices([stepped])
        assert (await store.load_devices())[1] == stepped
    found = run(
        earlier, "SELECT tableoid::regclass::text, energy_needed_kwh FROM telemetry WHERE seq >= 5000 ORDER BY 1"
    )
    assert found == [
        *[("telemetry_20260101", 11.5)] * 2,
        ("telemetry_20260102", 11.5),
        ("telemetry_20260103", 11.5),
    ]


async def test_a_database_made_anew_has_the_same_shape_as_one_brought_up_to_date(
    earlier: str, postgres_server: Any, tmp_path: Path
) -> None:
    shape = (
        "SELECT table_name::text, column_name::text, data_type::text, column_default::text, is_nullable::text "
        "FROM information_schema.columns WHERE table_schema = 'public' AND table_name !~ '_([0-9]+|before)$' "
        "ORDER BY 1, 2"
    )
    run(postgres_server.url, "CREATE DATABASE anew")
    anew = postgres_server.url.replace("/derms?", "/anew?")
    try:
        for url in (earlier, anew):
            async with open_store(url, tmp_path, clock=SystemClock(), rng=random.Random(1)):
                pass
        assert run(earlier, shape) == run(anew, shape)
    finally:
        run(postgres_server.url, "DROP DATABASE anew WITH (FORCE)")


async def test_what_an_earlier_version_stored_is_packed_and_gets_its_buckets(earlier: str, tmp_path: Path) -> None:
    def told() -> list[tuple[Any, ...]]:
        return run(earlier, "SELECT * FROM telemetry_all ORDER BY device_id, at, seq")

    async with open_store(earlier, tmp_path, clock=SystemClock(), rng=random.Random(1)) as store:
        before = told()
        keeping = Keeping(retention=Retention(samples=None))
        upkeep = Upkeep(earlier, clock=SystemClock(), rng=random.Random(1), keeping=keeping, rests=False)
        while (done := await upkeep.once()) is None or done.unfinished:
            pass
        await upkeep.close()
        assert told() == before
        assert await store.count_samples() == len(before) == 1000
    assert run(earlier, "SELECT count(*) FROM telemetry") == [(0,)]
    assert run(earlier, "SELECT count(*), sum(samples) FROM telemetry_1m") == [(17, 1000)]  # 1..1000 s
    assert run(earlier, "SELECT count(*), sum(samples) FROM telemetry_1d") == [(1, 1000)]
    assert run(earlier, "SELECT count(*) FROM telemetry_touched") == [(0,)]
    assert run(earlier, "SELECT count(*), sum(samples) FROM telemetry_feeders_1m") == [(17, 1000)]


async def test_minutes_that_had_their_buckets_before_there_were_sums_of_feeders_get_those(
    postgres_url: str, tmp_path: Path
) -> None:
    async def kept(batch: RecordBatch | None = None) -> list[tuple[Any, ...]]:
        async with open_store(postgres_url, tmp_path, clock=SystemClock(), rng=random.Random(1)) as store:
            if batch is not None:
                await store.save_feeders([Feeder(feeder_id="f1")])
                await store.save_devices([Device(device_id="ev-1", kind=DeviceKind.EV, feeder_id="f1")])
                await store.write(batch)
            keeping = Keeping(retention=Retention(samples=None))
            upkeep = Upkeep(postgres_url, clock=SystemClock(), rng=random.Random(1), keeping=keeping, rests=False)
            await upkeep.once()
            await upkeep.close()
        return run(postgres_url, "SELECT * FROM telemetry_feeders_1m ORDER BY at")

    made = await kept(RecordBatch(samples=[sample(n, at_ms=T0_MS + n * 40_000) for n in range(30)]))
    run(postgres_url, "DROP TABLE telemetry_feeders_1m, telemetry_feeders_touched")
    run(postgres_url, "DELETE FROM schema_migrations WHERE number = 13")
    assert await kept() == made
    assert len(made) == 20
