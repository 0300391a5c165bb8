"""A pytest plugin: brokers and databases for tests that start the program as a process, and one stack for many tests.

These tests are plain functions, so what is async runs on a loop of its own in a thread, for the whole session.
"""

import asyncio
import itertools
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest

from derms.broker import find_mosquitto
from derms.store.embedded import EmbeddedPostgres
from sim.scenario import demo_scenario
from tests.brokers import Kind, RunningBroker
from tests.processes import Daemon, Program, running_programs
from tests.wire import Observer, observing

T = TypeVar("T")

DEVICES = 16
"""Of the stack's simulated feeder."""


class Backstage:
    """A loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="backstage")
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float = 60.0) -> T:
        """Run there, wait here."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Broker:
    """A broker that a test may kill and start again where it was."""

    def __init__(self, backstage: Backstage, directory: Path, kind: Kind | None = None) -> None:
        self._backstage = backstage
        self._running = RunningBroker(directory, kind or ("mosquitto" if find_mosquitto() else "amqtt"))
        self.start()

    @property
    def url(self) -> str:
        return self._running.url

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def directory(self) -> Path:
        """What it holds for absent clients lies there."""
        return self._running.directory

    def start(self) -> None:
        self._backstage.run(self._running.restart())

    def kill(self) -> None:
        """Kill -9; it stays down until `start`."""
        self._backstage.run(self._running.kill())

    def stop(self) -> None:
        self._backstage.run(self._running.stop())

    close = stop


class Database:
    """A PostgreSQL server of a test's own, that may be killed and started again where it was."""

    def __init__(self, backstage: Backstage, directory: Path) -> None:
        self._backstage, self._directory = backstage, directory
        self._server = EmbeddedPostgres(directory)
        self._up = False

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def pid(self) -> int:
        assert self._server.pid is not None
        return self._server.pid

    def start(self) -> None:
        if not self._up:
            self._backstage.run(self._server.__aenter__(), 120.0)
            self._up = True

    def kill(self) -> None:
        """Kill -9; it stays down until `start`."""
        os.kill(self.pid, signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        if self._up:
            self._up = False
            self._backstage.run(self._server.__aexit__(None, None, None))
            self._server = EmbeddedPostgres(self._directory)


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Ask the database itself."""
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement.encode()).fetchall()


def stored_samples(url: str) -> list[tuple[str, int, int]]:
    """Device, instant [epoch ms] and seq of every row of telemetry."""
    return query(url, "SELECT device_id, round(extract(epoch FROM at) * 1000)::bigint, seq FROM telemetry")


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on which nobody listens, held so that no other program is given it meanwhile."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


@pytest.fixture(scope="session")
def backstage() -> Iterator[Backstage]:
    """The loop for what is async."""
    loop = Backstage()
    yield loop
    loop.close()


_numbers = itertools.count(1)


@contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """The URL of an empty database that nobody else sees."""
    name = f"stage_{next(_numbers)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    yield server_url.replace("/derms?", f"/{name}?")
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture
def own_dir() -> Iterator[Path]:
    """A directory with a short name that the database's unprivileged account can walk to."""
    path = Path(tempfile.mkdtemp(prefix="derms-it-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def stage_broker(backstage: Backstage, tmp_path: Path) -> Iterator[Broker]:
    """A broker of one test: Mosquitto where there is one."""
    broker = Broker(backstage, tmp_path / "broker")
    yield broker
    broker.stop()


@pytest.fixture
def database(backstage: Backstage, own_dir: Path) -> Iterator[Database]:
    """A database server of one test, not started yet."""
    database = Database(backstage, own_dir / "db")
    yield database
    database.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Broker, database, `serve`, `sim run` and an observer, all of them running."""

    broker_url: str
    database_url: str
    daemon: Daemon
    sim: Program
    wire: Observer
    limit_kw: float
    margin_kw: float


@pytest.fixture(scope="module")
def stack(
    backstage: Backstage, postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """One running feeder for the tests of a module."""
    directory = tmp_path_factory.mktemp("stack")
    feeder = demo_scenario(devices=DEVICES).feeder
    assert feeder.import_limit_kw is not None
    with ExitStack() as exits:
        broker = Broker(backstage, directory / "broker")
        exits.callback(broker.stop)
        url = exits.enter_context(fresh_database(postgres_server.url))
        programs = exits.enter_context(running_programs(directory / "programs"))
        wire = exits.enter_context(observing(broker.url))
        daemon = programs.serve(
            mqtt_url=broker.url,
            database_url=url,
            feeder_import_limit_kw=feeder.import_limit_kw,
            feeder_margin_kw=feeder.margin_kw,
        )
        daemon.wait_logged("The controller runs")
        sim = programs.derms(
            "sim", "run", "--mqtt-url", broker.url, "--devices", DEVICES, "--interval", 0.5, "--speed", 20
        )
        yield Stack(
            broker_url=broker.url,
            database_url=url,
            daemon=daemon,
            sim=sim,
            wire=wire,
            limit_kw=feeder.import_limit_kw,
            margin_kw=feeder.margin_kw,
        )
