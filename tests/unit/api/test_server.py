"""The server itself: slow and broken clients, taken ports, stopping."""

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest

from derms.api import bodies
from derms.api.app import serve_app
from derms.api.middleware import guarded_app
from derms.errors import (
    AddressInUseError,
    ConfigError,
)
from derms.metrics import Metrics
from derms.model import Role
from tests.fakes_api import Api, running_api


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as api:
        yield api


@pytest.mark.parametrize("sent", [b"", b"GET /api/he", b"GET /api/health HTTP/1.1\r\nHost: x\r\nX-Half: "])
async def test_a_connection_without_a_whole_head_is_dropped(sent: bytes) -> None:
    async with running_api(idle_timeout_s=0.3) as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.served.port)
        writer.write(sent)
        started = time.monotonic()
        assert await asyncio.wait_for(reader.read(), 10) == b""
        assert 0.2 < time.monotonic() - started < 5
        writer.close()


async def test_a_head_sent_byte_by_byte_is_dropped_as_well() -> None:
    async with running_api(idle_timeout_s=0.5) as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.served.port)
        gone = asyncio.ensure_future(reader.read())
        deadline = time.monotonic() + 10
        writer.write(b"GET /api/health HTTP/1.1\r\nX-Long: ")
        while not gone.done() and time.monotonic() < deadline:
            writer.write(b"a")
            await asyncio.wait([gone], timeout=0.05)
        assert gone.done()
        assert gone.exception() is not None or gone.result() == b""
        writer.close()


async def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch, api: Api) -> None:
    monkeypatch.setattr(bodies, "BODY_TIMEOUT_S", 0.2)
    token = api.headers(Role.OPERATOR)["Authorization"]
    reader, writer = await asyncio.open_connection("127.0.0.1", api.served.port)
    head = f"POST /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: 50\r\n"
    writer.write(f"{head}Content-Type: application/json\r\n\r\n{{".encode())
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n"), 10)
    assert answer.startswith(b"HTTP/1.1 408")
    writer.close()


async def test_a_port_that_is_taken_is_said_in_one_line(api: Api) -> None:
    app = guarded_app(api.authenticator, Metrics(version="1"))
    with pytest.raises(AddressInUseError) as caught:
        async with serve_app(app, host="127.0.0.1", port=api.served.port):
            pass
    assert str(caught.value) == (
        f"127.0.0.1:{api.served.port} is in use; another program listens there, perhaps a second `derms serve`; "
        "stop it, or set DERMS_API_PORT to a free port"
    )


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "a" * 300])
async def test_an_address_that_is_not_ours_is_refused(host: str, api: Api) -> None:
    app = guarded_app(api.authenticator, Metrics(version="1"))
    with pytest.raises(ConfigError, match="cannot be listened on"):
        async with serve_app(app, host=host, port=0):
            pass


async def test_the_server_stops_within_its_bound_while_a_client_holds_a_request_open() -> None:
    async with running_api() as api:
        _, writer = await asyncio.open_connection("127.0.0.1", api.served.port)
        token = api.headers(Role.OPERATOR)["Authorization"]
        writer.write(f"POST /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n".encode())
        writer.write(b"Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{")
        await writer.drain()
        async with aiohttp.ClientSession() as http:
            await (await http.get(f"{api.served.url}/api/health")).read()
        started = time.monotonic()
    assert time.monotonic() - started < 8
    writer.close()
