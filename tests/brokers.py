"""A pytest plugin: real brokers, each on a port and in a directory of its own, ended with the test."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from derms.broker import EmbeddedBroker, find_mosquitto
from derms.mqtt import MqttLink, parse_broker_url

Kind = Literal["mosquitto", "amqtt"]


class RunningBroker:
    """An embedded broker that a test may kill, and start again where it was."""

    def __init__(self, directory: Path, kind: Kind) -> None:
        self.kind = kind
        self.directory = directory
        self.port = 0
        self._broker: EmbeddedBroker | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._broker is not None
        assert self._broker.pid is not None
        return self._broker.pid

    @property
    def restarts(self) -> int:
        return self._broker.restarts if self._broker is not None else 0

    @property
    def level(self) -> int:
        """What `protocol="auto"` must find: 5 or 4."""
        return 5 if self.kind == "mosquitto" else 4

    def link(self, client_id: str, **options: Any) -> MqttLink:
        """A link to it that retries quickly."""
        # amqtt answers some requests for version 5 with silence, which takes the link three seconds to notice
        protocol = "auto" if self.kind == "mosquitto" else 4
        options = {"rng": random.Random(client_id), "backoff_max_s": 0.5, "protocol": protocol, **options}
        port = options.pop("port", self.port)
        return MqttLink(parse_broker_url(f"mqtt://127.0.0.1:{port}"), client_id=client_id, **options)

    async def restart(self) -> None:
        """Start it where it was."""
        broker = EmbeddedBroker(self.directory, port=self.port, kind=self.kind)
        await broker.__aenter__()
        self._broker, self.port = broker, broker.port

    async def kill(self) -> None:
        """Kill -9; it stays down until `restart`."""
        os.kill(self.pid, signal.SIGKILL)
        await self.stop()

    async def stop(self) -> None:
        """End it politely."""
        broker, self._broker = self._broker, None
        if broker is not None:
            await broker.__aexit__(None, None, None)


class Cable:
    """A TCP connection to a local port that a test may cut, as a router would."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.shut = False
        """Whoever connects is hung up on."""

    async def __aenter__(self) -> "Cable":
        self._server = await asyncio.start_server(self._plug, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _plug(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.shut:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers += [writer, far_writer]
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(_carry(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    sink.close()


async def until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Wait for a condition; fail when it does not come."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for is in another process as often as not
            await asyncio.sleep(0.01)


def _require(kind: str) -> None:
    if kind == "mosquitto" and find_mosquitto() is None:
        pytest.skip("there is no mosquitto on this machine")


async def _running(kind: Kind, directory: Path) -> AsyncIterator[RunningBroker]:
    _require(kind)
    broker = RunningBroker(directory / "broker", kind)
    await broker.restart()
    try:
        yield broker
    finally:
        await broker.stop()


@pytest.fixture(params=["mosquitto", "amqtt"])
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RunningBroker]:
    """Each kind in turn."""
    async for running in _running(request.param, tmp_path):
        yield running


@pytest.fixture
async def mosquitto_broker(tmp_path: Path) -> AsyncIterator[RunningBroker]:
    """Mosquitto; the test is skipped without it."""
    async for running in _running("mosquitto", tmp_path):
        yield running


@pytest.fixture
async def any_broker(tmp_path: Path) -> AsyncIterator[RunningBroker]:
    """The best there is on this machine."""
    async for running in _running("mosquitto" if find_mosquitto() else "amqtt", tmp_path):
        yield running
