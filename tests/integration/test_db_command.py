"""`derms db` on real servers: what it says of a database, and that a backup comes back row by row."""

import asyncio
import json
import random
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from derms.runtime import SystemClock
from derms.store.dump import dump
from derms.store.embedded import EmbeddedPostgres
from derms.store.link import Link
from derms.store.migrate import migrate
from derms.store.schema import load_migrations
from tests.home import Home
from tests.processes import Programs
from tests.stage import fresh_database, query

LATEST = load_migrations()[-1].number
SAMPLES = """
INSERT INTO feeders (feeder_id, name, margin_kw, assumed_unmetered_kw, mode) VALUES ('f', 'F "ü"', 0, 0, 'auto');
INSERT INTO devices (device_id, kind, feeder_id, origin, enrolment, dialect, soc_in_percent, p_import_max_kw,
    p_export_max_kw, p_min_kw, min_soc_reserve, target_soc, priority, default_power_kw)
SELECT 'ev-' || n, 'ev', 'f', 'simulated', 'active', 'v1', false, 11, 0, 0, 0.2, 0.8, 5, 0
FROM generate_series(1, 3) AS n;
SELECT make_telemetry_day(day::date) FROM generate_series('2026-03-01'::date, '2026-03-03', '1 day') AS day;
INSERT INTO telemetry (device_id, at, seq, received_at, feeder_id, p_actual_kw, soc, status)
SELECT 'ev-' || d, '2026-03-01T12:00:00Z'::timestamptz + n * interval '1 hour', n, now(), 'f', n * 0.1, n / 100.0, 'ok'
FROM generate_series(1, 3) AS d, generate_series(0, 40) AS n;
"""


async def _migrated(url: str) -> None:
    link = Link(url, clock=SystemClock(), rng=random.Random(1))
    await migrate(link)
    await link.close()


async def _dumped(url: str, file: Path) -> None:
    link = Link(url, clock=SystemClock(), rng=random.Random(1))
    await dump(link, url, file)
    await link.close()


@pytest.fixture(scope="module")
def filled(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """A database with some rows, for tests that change nothing in it."""
    with fresh_database(postgres_server.url) as url:
        asyncio.run(_migrated(url))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(SAMPLES.encode())
            connection.execute("ANALYZE")
        yield url


@pytest.fixture(scope="module")
def dumped(filled: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of it."""
    file = tmp_path_factory.mktemp("dump") / "derms.dump"
    asyncio.run(_dumped(filled, file))
    return file


@pytest.fixture
def empty(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """An empty database."""
    with fresh_database(postgres_server.url) as url:
        yield url


def rows_of(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    names = query(
        url,
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') "
        "AND NOT relispartition",
    )
    return {name: sorted(query(url, f'SELECT t::text FROM "{name}" AS t')) for (name,) in names}


def test_an_empty_database_is_told_of_and_migrated(home: Home, empty: str) -> None:
    where = ("--database-url", empty)
    before = json.loads(home.derms("db", "status", *where, "-o", "json").out)
    assert (before["schema_version"], len(before["pending"]), before["tables"]) == (0, LATEST, [])
    dry = home.derms("db", "migrate", "--dry-run", *where, "-o", "csv")
    assert [line.split(",")[1] for line in dry.out.splitlines()] == ["state", *["pending"] * LATEST]
    assert json.loads(home.derms("db", "status", *where, "-o", "json").out)["schema_version"] == 0
    done = home.derms("db", "migrate", *where, "-o", "name")
    assert done.out.split() == [one.name for one in load_migrations()]
    again = home.derms("db", "migrate", *where)
    assert (again.code, again.out, again.err) == (0, "", "the schema is up to date\n")
    after = home.derms("db", "status", *where)
    assert f"schema      {LATEST}, up to date" in after.out
    assert "samples     none" in after.out


def test_the_status_counts_rows_over_partitions_and_knows_the_first_and_the_last_sample(
    home: Home, filled: str
) -> None:
    told = json.loads(home.derms("db", "status", "--database-url", filled, "-o", "json").out)
    telemetry = next(one for one in told["tables"] if one["name"] == "telemetry")
    assert telemetry["rows"] == 123
    assert telemetry["partitions"] == 3
    assert telemetry["bytes"] > 0
    # The last of 41 samples, an hour apart, comes 40 h after the first.
    assert told["oldest_sample"] == "2026-03-01T12:00:00Z"
    assert told["newest_sample"] == "2026-03-03T04:00:00Z"
    assert told["server_version"].startswith("18")
    shown = home.derms("db", "status", "--database-url", filled, "--utc").out
    assert "samples     2026-03-01 12:00:00+00:00 to 2026-03-03 04:00:00+00:00" in shown


def test_a_backup_comes_back_row_by_row_and_so_does_a_backup_of_that(home: Home, filled: str, empty: str) -> None:
    file = home.path / "derms.dump"
    made = home.derms("db", "backup", str(file), "--database-url", filled, "-o", "json")
    assert made.code == 0, made.err
    assert json.loads(made.out)["schema_version"] == LATEST
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(home.path.iterdir()) == [file], "nothing is left beside it"
    where = ("--database-url", empty)
    back = home.derms("db", "restore", str(file), *where, "--yes")
    assert back.code == 0, back.err
    before = rows_of(filled)
    assert rows_of(empty) == before
    assert len(before["telemetry"]) == 123
    assert home.derms("db", "migrate", *where).err == "the schema is up to date\n"
    second = home.path / "second.dump"
    assert home.derms("db", "backup", str(second), *where).code == 0
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("CREATE TABLE mine (x int); DELETE FROM telemetry")
    replaced = home.derms("db", "restore", str(second), *where, "--replace", "--yes")
    assert replaced.code == 0, replaced.err
    assert rows_of(empty) == before


def test_a_backup_that_is_there_is_kept_unless_that_is_meant(home: Home, filled: str) -> None:
    file = home.path / "derms.dump"
    file.write_text("precious")
    told = home.derms("db", "backup", str(file), "--database-url", filled)
    assert told.code == 2
    assert "exists. Replace it?" in told.err
    assert file.read_text() == "precious"
    assert home.derms("db", "backup", str(file), "--database-url", filled, "--yes").code == 0
    assert file.read_bytes().startswith(b"PGDMP")
    assert home.derms("db", "backup", str(home.path / "no" / "x"), "--database-url", filled).code == 2
    assert home.derms("db", "backup", str(home.path), "--database-url", filled).code == 2


def test_a_database_that_is_not_empty_is_left_alone_unless_it_is_to_be_replaced(
    home: Home, dumped: Path, empty: str
) -> None:
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("CREATE TABLE mine (x int); INSERT INTO mine VALUES (1)")
    refused = home.derms("db", "restore", str(dumped), "--database-url", empty, "--yes")
    assert refused.code == 5
    assert "--replace" in refused.err
    asked = home.derms("db", "restore", str(dumped), "--database-url", empty, "--replace")
    assert asked.code == 2, "nobody said yes"
    assert query(empty, "SELECT x FROM mine") == [(1,)]


def test_a_damaged_backup_changes_nothing(home: Home, dumped: Path, filled: str, empty: str) -> None:
    whole, damaged = dumped.read_bytes(), home.path / "damaged.dump"
    before = rows_of(filled)
    for kept in (0.0, 0.3, 0.7, 0.99):
        damaged.write_bytes(whole[: int(len(whole) * kept)])
        for url, more in ((empty, ()), (filled, ("--replace",))):
            told = home.derms("db", "restore", str(damaged), "--database-url", url, "--yes", *more)
            assert told.code in (2, 6), told.err
            assert "Traceback" not in told.err
    assert rows_of(empty) == {}
    assert rows_of(filled) == before


def test_what_is_no_backup_of_this_program_is_refused(home: Home, empty: str) -> None:
    file, where = home.path / "x.dump", ("--database-url", empty)
    file.write_bytes(random.Random(1).randbytes(500))
    assert "is no backup" in home.derms("db", "restore", str(file), *where, "--yes").err
    missing = home.derms("db", "restore", "missing.dump", *where, "--yes")
    assert (missing.code, "missing.dump cannot be read" in missing.err) == (2, True)
    asyncio.run(_dumped(empty, file))
    foreign = home.derms("db", "restore", str(file), *where, "--yes")
    assert (foreign.code, "no backup of this program" in foreign.err) == (2, True)


def test_a_backup_of_a_newer_program_is_refused(home: Home, empty: str) -> None:
    asyncio.run(_migrated(empty))
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("UPDATE schema_migrations SET number = 9999 WHERE number = %s", [LATEST])
    file = home.path / "derms.dump"
    asyncio.run(_dumped(empty, file))
    for words in (["status"], ["restore", str(file), "--replace", "--yes"]):
        told = home.derms("db", *words, "--database-url", empty)
        assert (told.code, "upgrade derms" in told.err) == (2, True), words
    assert query(empty, "SELECT max(number) FROM schema_migrations") == [(9999,)]


def test_a_database_that_does_not_answer_ends_with_6(home: Home, closed_port: int) -> None:
    for words in (["status"], ["migrate"], ["backup", "x.dump"]):
        told = home.derms("db", *words, "--database-url", f"postgresql://u:hidden@127.0.0.1:{closed_port}/derms")
        assert told.code == 6, words
        assert "hidden" not in told.err
    assert not (home.path / "x.dump").exists()


def test_the_embedded_server_is_shared_with_a_daemon_that_runs_and_started_without_one(
    home: Home, own_dir: Path, programs: Programs, stage_broker: Any
) -> None:
    where = ("--data-dir", str(own_dir / "d"))
    told = home.derms("db", "status", *where)
    assert (told.code, "there is no database" in told.err) == (3, True)
    daemon = programs.serve(mqtt_url=stage_broker.url, data_dir=own_dir / "d")
    daemon.wait_logged("The controller runs")
    shared = home.derms("db", "status", *where)
    assert shared.code == 0, shared.err
    assert f"schema      {LATEST}, up to date" in shared.out
    file = home.path / "live.dump"
    assert home.derms("db", "backup", str(file), *where).code == 0
    busy = home.derms("db", "restore", str(file), "--replace", "--yes", *where)
    assert (busy.code, "stop `derms serve`" in busy.err) == (5, True)
    assert daemon.terminate() == 0
    alone = home.derms("db", "restore", str(file), "--replace", "--yes", *where)
    assert alone.code == 0, alone.err
