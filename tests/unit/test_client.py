"""The client against the real server, and against what is no controller."""

import asyncio
import contextlib
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from derms.api.listening import tls_context
from derms.api.schemas.events import EventIn
from derms.client import ApiClient
from derms.errors import (
    AccessError,
    ConfigError,
    ConflictError,
    DermsError,
    NotFoundError,
    StandbyError,
    UnavailableError,
    UsageError,
)
from derms.model import Role
from tests.fakes_api import Api, running_api


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as api:
        yield api


def token(api: Api, role: Role) -> str:
    return api.authenticator.issue("ann", role).token


async def test_what_the_server_says_comes_back_whole(api: Api) -> None:
    async with ApiClient(api.served.url + "/", token=token(api, Role.OPERATOR)) as client:
        assert await client.health() == api.view.health()
        assert await client.devices() == api.view.devices()
        assert await client.feeder_summary() == api.view.feeders()
        created = await client.create_event(EventIn(duration_s=60, shed_kw=5.0, feeder_id="feeder-1"))
        assert await client.events() == [created]
        assert created.shed_kw == 5.0


async def test_logging_in_is_enough_for_the_calls_after_it() -> None:
    async with running_api(logins=True) as api, ApiClient(api.served.url) as client:
        with pytest.raises(AccessError, match="no token was sent"):
            await client.devices()
        assert (await client.login("viewer", "viewers-password")).role is Role.VIEWER
        assert len(await client.devices()) == 1
        with pytest.raises(AccessError, match="needs the role operator"):
            await client.create_event(EventIn(duration_s=60, shed_kw=5.0))


@pytest.mark.parametrize("kind", [UsageError, NotFoundError, AccessError, ConflictError, UnavailableError])
async def test_an_error_comes_back_as_what_it_was(kind: type[DermsError], api: Api) -> None:
    api.events.error = kind("what", why="why", next_step="next")
    async with ApiClient(api.served.url, token=token(api, Role.VIEWER)) as client:
        with pytest.raises(kind) as caught:
            await client.events()
    assert type(caught.value) is kind
    assert (caught.value.what, caught.value.why, caught.value.next_step) == ("what", "why", "next")


async def test_nobody_there_is_said_with_the_url_and_the_next_step(api: Api) -> None:
    async with running_api() as gone:
        url = gone.served.url
    async with ApiClient(url) as client:
        with pytest.raises(UnavailableError) as caught:
            await client.health()
    assert str(caught.value).startswith(f"{url} does not answer; ")
    assert "derms serve" in caught.value.next_step


@contextlib.asynccontextmanager
async def listening(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """A server whose connections are over when it is; its URL."""
    running: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.append(task)
        await handle(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.wait_for(asyncio.gather(*running), 10)


ANSWERS = [
    (b"", "does not answer"),
    (b"SSH-2.0-x\r\n", "does not answer"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "is not a derms controller"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "is not a derms controller"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "does not answer"),
    (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno", "is not a derms controller"),
    (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "is not a derms controller"),
    (b"HTTP/1.1 799 What\r\nContent-Length: 0\r\n\r\n", "is not a derms controller"),
]


@pytest.mark.parametrize(("answer", "text"), ANSWERS, ids=range(len(ANSWERS)))
async def test_something_else_there_is_told_apart(answer: bytes, text: str) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async with listening(speak) as url, ApiClient(url, timeout_s=5) as client:
        with pytest.raises(UnavailableError, match=text):
            await client.health()


async def test_a_controller_that_does_not_answer_in_time_is_given_up() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(silent) as url, ApiClient(url, timeout_s=0.2) as client:
        with pytest.raises(UnavailableError, match=r"no answer within 0\.2 s"):
            await client.health()


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://h", "http://ann:hunter2@h"])
def test_a_url_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        ApiClient(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://", "http://h:x", "http://h:99999"])
async def test_a_url_that_leads_nowhere_is_unavailable(url: str) -> None:
    async with ApiClient(url) as client:
        with pytest.raises(UnavailableError):
            await client.health()


def make_certificate(cert: Path, key: Path) -> None:
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            str(key),
            "-out",
            str(cert),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program to make a certificate")
async def test_the_api_speaks_tls_and_a_stranger_certificate_is_refused(tmp_path: Path) -> None:
    cert, key = tmp_path / "c.pem", tmp_path / "k.pem"
    make_certificate(cert, key)
    async with running_api(tls=tls_context(cert, key)) as api:
        assert api.served.url.startswith("https://")
        async with ApiClient(api.served.url, tls=ssl.create_default_context(cafile=str(cert))) as client:
            assert (await client.health()).status == "ok"
        async with ApiClient(api.served.url) as client:
            with pytest.raises(UnavailableError, match="certificate"):
                await client.health()


def test_a_certificate_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("no certificate")
    for path in (tmp_path / "c", tmp_path / "missing"):
        with pytest.raises(ConfigError, match="cannot be used"):
            tls_context(path, path)


@pytest.mark.parametrize("url", ["", "https://derms-2.example:8080"])
async def test_a_controller_that_stands_by_is_told_apart_and_nobody_is_followed(url: str, api: Api) -> None:
    api.events.error = StandbyError("south stands by", why="north commands", next_step="ask north", leader_url=url)
    async with ApiClient(api.served.url, token=token(api, Role.VIEWER)) as client:
        with pytest.raises(StandbyError) as caught:
            await client.events()
    assert (caught.value.what, caught.value.next_step) == ("south stands by", "ask north")
