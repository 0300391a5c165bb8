"""HTTP/1.1 to one server, on asyncio. The only door to h11.

aiohttp, which the API is made of, takes 200 ms and more to be imported, which every command would pay for; h11 knows
the protocol, asyncio the sockets, and there is little between them.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import urlsplit

import h11

if TYPE_CHECKING:
    import ssl

_IDLE_S = 5.0
"""The server drops idle connections after 10 s; reusing one near that age would race with it."""
_CHUNK = 65_536


class ConnectTimeoutError(Exception):
    """There is no connection in time."""


FAILURES = (ConnectTimeoutError, TimeoutError, OSError, ValueError, h11.ProtocolError)
"""What a request may end with; an `ssl.SSLError` is an `OSError`, what asyncio does not read whole a `ValueError`."""


class Address(NamedTuple):
    """Where a server is."""

    host: str
    port: int
    tls: bool
    base: str
    """What stands before every path."""

    @property
    def named(self) -> str:
        """For the header `Host`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def address_of(url: str) -> Address:
    """Take a URL apart.

    Raises:
        ValueError: It has no host, or a port that can be none.
    """
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError("the URL has no host")
    tls = parts.scheme == "https"
    return Address(parts.hostname, parts.port or (443 if tls else 80), tls, parts.path.rstrip("/"))


class Answer:
    """One answer, whose body is still to come."""

    def __init__(self, connection: "_Connection", head: h11.Response, silence_s: float | None) -> None:
        self.status = head.status_code
        self.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in head.headers}
        self._connection = connection
        self._silence_s = silence_s

    async def read(self) -> bytes:
        """The whole body.

        Raises:
            OSError, h11.RemoteProtocolError, TimeoutError: It breaks off, or stays away.
        """
        return b"".join([part async for part in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes.

        Raises:
            OSError, h11.RemoteProtocolError, TimeoutError: It breaks off, or stays away.
        """
        while True:
            async with asyncio.timeout(self._silence_s):
                event = await self._connection.next_event()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                return


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._state = h11.Connection(h11.CLIENT)
        self.idle_since_s = 0.0

    async def send(self, *events: h11.Request | h11.Data | h11.EndOfMessage) -> None:
        for event in events:
            if (raw := self._state.send(event)) is not None:
                self._writer.write(raw)
        await self._writer.drain()

    async def next_event(self) -> h11.Event | type[h11.PAUSED]:
        while (event := self._state.next_event()) is h11.NEED_DATA:
            self._state.receive_data(await self._reader.read(_CHUNK))
        assert not isinstance(event, type) or event is h11.PAUSED
        return event

    def ready_again(self) -> bool:
        """Whether another request may follow."""
        if self._state.our_state is not h11.DONE or self._state.their_state is not h11.DONE:
            return False
        self._state.start_next_cycle()
        self.idle_since_s = time.monotonic()
        return True

    @property
    def usable(self) -> bool:
        fresh = time.monotonic() - self.idle_since_s < _IDLE_S
        return fresh and not self._reader.at_eof() and not self._writer.is_closing()

    async def close(self) -> None:
        self._writer.close()
        # A server that does not say goodbye, over TLS, is not waited for.
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                await self._writer.wait_closed()


class HttpClient:
    """Connections to one server, kept for a few seconds. Use as ``async with``.

    Args:
        url: Where it is.
        connect_s: For a connection [s].
        tls: For https; None: the system's authorities are trusted.
    """

    def __init__(self, url: str, *, connect_s: float, tls: "ssl.SSLContext | None") -> None:
        self._url = url
        self._connect_s = connect_s
        self._tls = tls
        self._idle: list[_Connection] = []

    async def __aenter__(self) -> Self:
        """Open; nothing is sent yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        while self._idle:
            await self._idle.pop().close()

    @contextlib.asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        total_s: float | None = None,
        silence_s: float | None = None,
    ) -> AsyncIterator[Answer]:
        """Ask; the body of the context runs once the answer has begun.

        Args:
            method: `GET` and so on.
            path: From the root, with its query.
            headers: Further ones.
            body: What is sent.
            total_s: Until the answer has begun [s].
            silence_s: Between two parts of its body [s].

        Raises:
            ConnectTimeoutError: There is no connection in time.
            TimeoutError: There is no answer in time.
            OSError: There is no connection, or it broke.
            ssl.SSLError: The other end is not trusted.
            h11.RemoteProtocolError: The other end speaks something else.
        """
        address = address_of(self._url)
        sent = [("Host", address.named), *headers.items()]
        if body or method in ("POST", "PUT", "PATCH"):
            sent.append(("Content-Length", str(len(body))))
        request = h11.Request(method=method, target=address.base + path, headers=sent)
        async with asyncio.timeout(total_s):
            connection = await self._connected(address)
            try:
                await connection.send(request, h11.Data(data=body), h11.EndOfMessage())
                while not isinstance(head := await connection.next_event(), h11.Response):
                    pass  # what is only informational
            except BaseException:
                await connection.close()
                raise
        try:
            yield Answer(connection, head, silence_s)
        except BaseException:
            await connection.close()
            raise
        if connection.ready_again():
            self._idle.append(connection)
        else:
            await connection.close()

    async def _connected(self, address: Address) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            await connection.close()
        tls = None
        if address.tls:
            import ssl

            tls = self._tls or ssl.create_default_context()
        try:
            async with asyncio.timeout(self._connect_s):
                return _Connection(*await asyncio.open_connection(address.host, address.port, ssl=tls))
        except TimeoutError as error:
            raise ConnectTimeoutError from error
