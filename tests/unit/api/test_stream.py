"""The live stream over a real server."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aiohttp
import msgspec
import pytest

from derms.api import stream
from derms.api.schemas.stream import ChangeOut, PictureOut
from derms.client import ApiClient
from derms.client.stream import Mirror
from derms.errors import UnavailableError
from derms.model import Role
from tests.brokers import until
from tests.fakes_api import NOW, Api, FakeView, running_api

Events = AsyncIterator[tuple[str, PictureOut | ChangeOut]]


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as api:
        task = asyncio.create_task(api.hub.run())
        yield api
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def listening(api: Api, last_id: str = "") -> AsyncIterator[Events]:
    token = api.authenticator.issue("ann", Role.VIEWER).token
    async with ApiClient(api.served.url, token=token) as client, contextlib.aclosing(client.stream(last_id)) as events:
        yield events


async def joined(api: Api, readers: int) -> None:
    await until(lambda: api.metrics.registry.get_sample_value("derms_stream_readers") == readers)


async def test_a_reader_gets_the_picture_and_then_what_changes(api: Api) -> None:
    async with listening(api) as events:
        first_id, first = await anext(events)
        assert isinstance(first, PictureOut)
        assert (first_id, first.tick, first.devices) == ("7-1", 1, [{"device_id": "ev-001", "p_actual_kw": 1.0}])
        for tick in (2, 3):
            api.hub.ticked()
            event_id, change = await anext(events)
            assert isinstance(change, ChangeOut)
            assert (event_id, change.devices[0]["p_actual_kw"]) == (f"7-{tick}", float(tick))


async def test_a_reader_that_comes_back_gets_what_it_missed(api: Api) -> None:
    async with listening(api) as stays:
        await anext(stays)
        for _ in range(3):
            api.hub.ticked()
            await anext(stays)
        async with listening(api, "7-2") as events:
            missed = [await anext(events) for _ in range(2)]
        assert [event_id for event_id, _ in missed] == ["7-3", "7-4"]
        assert all(isinstance(event, ChangeOut) for _, event in missed)


@pytest.mark.parametrize("last_id", ["6-2", "7-99", "7-", "x", "7-" + "9" * 40, "7--1"])
async def test_a_reader_whose_last_event_is_not_known_gets_a_new_picture(last_id: str, api: Api) -> None:
    async with listening(api, last_id) as events:
        assert isinstance((await anext(events))[1], PictureOut)


async def test_nothing_is_looked_at_while_nobody_reads(api: Api) -> None:
    api.hub.ticked()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert api.picture.tick == 0


async def test_a_reader_that_takes_nothing_is_dropped_and_the_others_are_not_kept_waiting(api: Api) -> None:
    api.picture.padding = "x" * 1_000_000
    where = urlsplit(api.served.url)
    token = api.authenticator.issue("slow", Role.VIEWER).token
    with socket.create_connection((where.hostname or "", where.port or 0)) as slow:
        slow.sendall(f"GET /api/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        await joined(api, 1)
        async with listening(api) as events:
            await anext(events)
            await joined(api, 2)
            # More than the system's buffers and the queue together hold.
            for _ in range(60):
                api.hub.ticked()
                await anext(events)
            await joined(api, 1)
        assert api.metrics.registry.get_sample_value("derms_stream_dropped_total") == 1.0


async def test_a_stream_ends_when_its_token_is_over(api: Api) -> None:
    async with listening(api) as events:
        await anext(events)
        api.clock.now += 2 * 3600 * 1000
        api.hub.ticked()
        with pytest.raises(StopAsyncIteration):
            await anext(events)
    await joined(api, 0)


async def test_a_fault_in_what_is_shown_sends_the_readers_away_and_the_next_one_is_served(api: Api) -> None:
    async with listening(api) as events:
        await anext(events)
        api.picture.fails = True
        api.hub.ticked()
        with pytest.raises(StopAsyncIteration):
            await anext(events)
    await joined(api, 0)
    api.picture.fails = False
    async with listening(api) as events:
        assert isinstance((await anext(events))[1], PictureOut)


async def test_a_server_that_stops_ends_its_streams() -> None:
    async with running_api() as api:
        async with listening(api) as events:
            await anext(events)
            api.hub.close()
            with pytest.raises(StopAsyncIteration):
                await anext(events)
        async with listening(api) as events:
            with pytest.raises(UnavailableError, match="readers are on the stream"):
                await anext(events)


async def test_no_more_readers_than_there_may_be(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_READERS", 1)
    async with listening(api) as first:
        await anext(first)
        async with listening(api) as second:
            with pytest.raises(UnavailableError, match="there may be 1"):
                await anext(second)


async def test_a_silent_stream_says_that_it_is_still_there(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.05)
    headers = api.headers(Role.VIEWER)
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http,
        http.get(f"{api.served.url}/api/stream", headers=headers) as response,
    ):
        assert response.content_type == "text/event-stream"
        text = b""
        while b": still here\n\n" not in text:
            text += await response.content.readany()
    assert text.startswith(b"id: 7-1\nevent: picture\ndata: {")


def test_a_mirror_puts_pictures_and_changes_together() -> None:
    view = FakeView()
    device = {**msgspec.to_builtins(view.devices()[0]), "heard_at": "2025-12-31T23:59:58Z"}
    device.pop("age_s")
    feeder = msgspec.to_builtins(view.feeders()[0])
    mirror = Mirror()
    mirror.take("7-1", PictureOut(at=NOW, tick=1, feeders=[feeder], devices=[device], health=view.health()))
    change = [{"device_id": "ev-001", "p_actual_kw": 2.5}]
    mirror.take("7-2", ChangeOut(at=NOW, tick=2, feeders=[], devices=change, health=view.health()))
    assert mirror.last_id == "7-2"
    assert mirror.feeders() == view.feeders()
    (shown,) = mirror.devices()
    assert (shown.p_actual_kw, shown.soc, shown.age_s) == (2.5, 0.42, 2.0)
