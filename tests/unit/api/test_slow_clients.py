"""Clients that are slow on purpose, many, or too big: they get nothing, and others still do."""

import asyncio
import logging
import socket
import time
from contextlib import ExitStack

import aiohttp
import pytest
from aiohttp import web

from derms.api.app import serve_app
from derms.api.middleware import add_routes, guarded_app
from derms.api.routes import Route
from derms.metrics import Metrics
from tests.fakes_accounts import FakeAccounts
from tests.fakes_api import FakeClock, an_authenticator, running_api

SLOW = 200


async def test_hundreds_of_half_sent_heads_and_bodies_keep_nobody_else_waiting() -> None:
    async with running_api(idle_timeout_s=2.0) as api, aiohttp.ClientSession() as http:
        opened = [await asyncio.open_connection("127.0.0.1", api.served.port) for _ in range(SLOW)]
        for number, (_, writer) in enumerate(opened):
            head = b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            writer.write(head + (b"Content-Length: 99\r\n\r\n{" if number % 2 else b"X-Slow: "))
        began = time.monotonic()
        async with http.get(f"{api.served.url}/api/health") as response:
            assert response.status == 200
        assert time.monotonic() - began < 1.5
        halves = [reader for number, (reader, _) in enumerate(opened) if number % 2 == 0]
        assert set(await asyncio.wait_for(asyncio.gather(*(half.read() for half in halves)), 10)) == {b""}
        for _, writer in opened:
            writer.close()


async def test_beyond_the_most_connections_further_ones_are_hung_up_on_and_later_ones_served() -> None:
    async with an_authenticator(FakeAccounts(), FakeClock()) as authenticator:
        app = guarded_app(authenticator, Metrics(version="1"))
        async with serve_app(app, host="127.0.0.1", port=0, max_connections=3) as served:
            held = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(3)]
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await asyncio.wait_for(reader.readexactly(1), 10)
            for _, other in held:
                other.close()
            async with aiohttp.ClientSession() as http:
                async with asyncio.timeout(10):
                    while True:  # until the server has noticed
                        try:
                            async with http.get(f"{served.url}/nope") as response:
                                assert response.status == 404
                                break
                        except aiohttp.ClientError:
                            await asyncio.sleep(0)
            writer.close()


async def test_a_client_that_does_not_take_its_answer_is_dropped() -> None:
    done = asyncio.Event()

    async def much(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 1_000_000)
        finally:
            done.set()

    async with an_authenticator(FakeAccounts(), FakeClock()) as authenticator:
        app = guarded_app(authenticator, Metrics(version="1"))
        add_routes(app, [Route(method="GET", path="/api/much", handler=much, role=None, summary="Much")])
        async with serve_app(app, host="127.0.0.1", port=0, stalled_s=0.5) as served:
            with ExitStack() as stack:
                client = stack.enter_context(socket.create_connection(("127.0.0.1", served.port)))
                client.sendall(b"GET /api/much HTTP/1.1\r\nHost: x\r\n\r\n")
                await asyncio.wait_for(done.wait(), 15)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"GET /api/health HTTP/1.1\r\nHost: x\r\nX-Big: " + b"a" * 9000 + b"\r\n\r\n", b"400"),
        (b"GET /api/health HTTP/1.1\r\nHost: x\r\n" + b"X-Many: a\r\n" * 200 + b"\r\n", b"400"),
        (b"GET /api/health HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"GET /api/health HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", b"400"),
        (b"GET /api/health HTTP/1.1\r\nHost : x\r\n\r\n", b"400"),
        (b"GET /api/health HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", b"400"),
    ],
    ids=["line", "header", "headers", "both lengths", "two lengths", "blank before colon", "folded"],
)
async def test_a_head_too_big_or_ambiguous_is_refused_and_fills_no_log(
    head: bytes, status: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_api() as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.served.port)
        writer.write(head)
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
    assert answer.split(b" ", 2)[1] == status
    assert len(answer) < 2000
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
