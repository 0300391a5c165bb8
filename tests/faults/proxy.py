"""A TCP proxy that delays, halves and drops, between a controller and what it speaks to."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


@dataclass
class Proxy:
    """Passes bytes on as it is told; a loop of its own runs it in a thread."""

    target: str | tuple[str, int]
    """A Unix socket, or host and port."""
    port: int = 0
    delay_s: float = 0.0
    """Every chunk waits so long [s]."""
    halve: bool = False
    """Every chunk goes on in two halves, the second a moment later."""
    _cut: bool = False
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def cut(self) -> None:
        """Drop every connection, and take none."""
        self._cut = True
        self._loop.call_soon_threadsafe(self._drop)

    def drop(self) -> None:
        """Drop every connection that there is; new ones are taken."""
        self._loop.call_soon_threadsafe(self._drop)

    def mend(self) -> None:
        """Pass everything on again."""
        self._cut, self.delay_s, self.halve = False, 0.0, False

    def _drop(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        try:
            if isinstance(self.target, str):
                far_reader, far_writer = await asyncio.open_unix_connection(self.target)
            else:
                far_reader, far_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        try:
            passes = [asyncio.create_task(self._pass(*ends)) for ends in ((reader, far_writer), (far_reader, writer))]
            await asyncio.wait(passes, return_when=asyncio.FIRST_COMPLETED)
            for task in passes:
                task.cancel()
            await asyncio.wait(passes)
        finally:
            self._writers -= {writer, far_writer}
            for one in (writer, far_writer):
                one.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65_536):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if self.halve and len(chunk) > 1:
                    writer.write(chunk[: len(chunk) // 2])
                    await asyncio.sleep(0.01)
                    chunk = chunk[len(chunk) // 2 :]
                writer.write(chunk)
                await writer.drain()


@contextlib.contextmanager
def proxied(target: str | tuple[str, int]) -> Iterator[Proxy]:
    """A proxy before that address while the body runs."""
    proxy = Proxy(target)
    loop = proxy._loop
    thread = threading.Thread(target=loop.run_forever, name="proxy")
    thread.start()

    async def start() -> asyncio.Server:
        return await asyncio.start_server(proxy._serve, "127.0.0.1", 0)

    async def stop(server: asyncio.Server) -> None:
        server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(10.0)
    proxy.port = int(server.sockets[0].getsockname()[1])
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(stop(server), loop).result(10.0)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextlib.contextmanager
def through_proxy(database_url: str) -> Iterator[tuple[Proxy, str]]:
    """A proxy before a database on a Unix socket, and the URL that goes through it."""
    parts = urlsplit(database_url)
    [directory] = parse_qs(parts.query)["host"]
    [socket] = [path for path in Path(directory).glob(".s.PGSQL.*") if path.suffix != ".lock"]
    with proxied(str(socket)) as proxy:
        yield proxy, f"postgresql://{parts.username}@127.0.0.1:{proxy.port}{parts.path}"
