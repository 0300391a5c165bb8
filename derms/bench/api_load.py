"""What is done to a controller while the benchmark watches it: a fleet that speaks, requests, readers of the stream.

A process of its own, so that the controller's event loop carries nothing but the controller:
``python -m derms.bench.api_load`` with `Load` as JSON on stdin; one `Phase` a line on stdout.
"""

import asyncio
import contextlib
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec

from derms.client import ApiClient
from derms.contract import Topics, encode_telemetry
from derms.model import DeviceKind, Dialect, Telemetry
from derms.mqtt import MqttLink, parse_broker_url

_SLICES = 20
"""The fleet speaks in so many parts, spread over its interval."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What to do."""

    api_url: str
    token: str
    broker_url: str
    devices: list[tuple[str, str, float]]
    """Id, kind, rating [kW]."""
    interval_s: float
    """Between two readings of a device."""
    requests: int
    """Of each path."""
    readers: int
    stream_s: float


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of request took."""

    name: str
    ms: list[float] = []
    """Of each request."""
    events: int = 0
    """The stream's, of all readers together."""
    megabytes: float = 0.0
    broken: int = 0
    """Readers that were sent away."""


async def apply(load: Load, tell: Callable[[Phase], None]) -> None:
    """Do it, and tell of each phase when it is over."""
    async with speaking(load), ApiClient(load.api_url, token=load.token, timeout_s=60.0) as client:
        await until_heard(client, load)
        for name, ask in (
            ("health", client.health),
            ("summary", client.feeder_summary),
            ("page", lambda: _read(client, "/api/devices?limit=1000")),
            ("devices", lambda: _read(client, "/api/devices?limit=10000")),
        ):
            tell(Phase(name=name, ms=[await _timed(ask) for _ in range(load.requests)]))
        tell(await _streamed(client, load))


async def _timed(ask: Callable[[], Awaitable[object]]) -> float:
    started_s = time.perf_counter()
    await ask()
    return (time.perf_counter() - started_s) * 1000.0


async def _read(client: ApiClient, path: str) -> bytes:
    """The body as it comes: reading it is not what is measured."""
    async with client.opened("GET", path) as response:
        return await response.read()


async def until_heard(client: ApiClient, load: Load) -> None:
    """Wait until the controller has heard of nearly every device."""
    async with asyncio.timeout(120.0):
        while True:
            feeders = await client.feeder_summary()
            if sum(feeder.freshness.get("good", 0) for feeder in feeders) >= 0.99 * len(load.devices):
                return
            await asyncio.sleep(1.0)


async def _streamed(client: ApiClient, load: Load) -> Phase:
    counts = [0, 0, 0]

    async def read() -> None:
        try:
            async with client.opened("GET", "/api/stream", silence_s=60.0) as response:
                async for chunk in response.chunks():
                    counts[0] += chunk.count(b"\nevent: ")
                    counts[1] += len(chunk)
        finally:
            counts[2] += not over.is_set()

    over = asyncio.Event()
    tasks = [asyncio.create_task(read()) for _ in range(load.readers)]
    await asyncio.sleep(load.stream_s)
    over.set()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return Phase(name="stream", events=counts[0], megabytes=counts[1] / 1e6, broken=counts[2])


@contextlib.asynccontextmanager
async def speaking(load: Load) -> AsyncIterator[None]:
    """Every device says what it draws, over and over."""
    topics, rng = Topics("der"), random.Random(1)
    link = MqttLink(
        parse_broker_url(load.broker_url), client_id=f"bench-{os.getpid()}", subscriptions=(), rng=rng, protocol=4
    )
    async with link:
        await link.wait_connected(30.0)
        task = asyncio.create_task(_speak(link, topics, load, rng))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _speak(link: MqttLink, topics: Topics, load: Load, rng: random.Random) -> None:
    seq = 0
    while True:
        seq += 1
        for part in range(_SLICES):
            due_s = time.monotonic() + load.interval_s / _SLICES
            at_ms = int(time.time() * 1000)
            messages = [
                encode_telemetry(
                    topics,
                    Telemetry(
                        device_id=device_id,
                        kind=DeviceKind(kind),
                        at_ms=at_ms,
                        p_actual_kw=(-1.0 if kind == DeviceKind.PV else 1.0) * rating_kw * rng.uniform(0.2, 0.6),
                        soc=None if kind == DeviceKind.PV else rng.uniform(0.2, 0.9),
                        seq=seq,
                    ),
                    Dialect.V1,
                )
                for device_id, kind, rating_kw in load.devices[part::_SLICES]
            ]
            await link.publish_many(messages)
            await asyncio.sleep(max(due_s - time.monotonic(), 0.0))


def main() -> None:
    """Read what to do from stdin, and do it."""

    def tell(phase: Phase) -> None:
        sys.stdout.buffer.write(msgspec.json.encode(phase) + b"\n")
        sys.stdout.buffer.flush()

    asyncio.run(apply(msgspec.json.decode(sys.stdin.buffer.read(), type=Load), tell))


if __name__ == "__main__":
    main()
