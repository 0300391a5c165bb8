"""A broker made of bytes, for what a real one cannot be made to do on demand."""

import asyncio
from collections.abc import Awaitable, Callable

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 14


class Peer:
    """One client seen from the server, in MQTT 3.1.1 unless the bytes say otherwise."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def packet(self) -> tuple[int, bytes]:
        """The next packet: its type and what follows the length (one byte is enough here)."""
        head, length = await self._reader.readexactly(2)
        assert length < 128
        return head >> 4, await self._reader.readexactly(length)

    async def expect(self, kind: int) -> bytes:
        """The next packet, which must be of this type."""
        found, body = await self.packet()
        assert found == kind
        return body

    async def accept(self) -> None:
        """Let a 3.1.1 client in and grant its subscriptions."""
        await self.expect(CONNECT)
        self.send(CONNACK, b"\x00\x00")
        body = await self.expect(SUBSCRIBE)
        self.send(SUBACK, body[:2] + b"\x01")

    def send(self, kind: int, body: bytes, flags: int = 0) -> None:
        self._writer.write(bytes((kind << 4 | flags, len(body))) + body)

    def send_message(self, topic: str, packet_id: int, payload: bytes) -> None:
        """One PUBLISH of QoS 1."""
        name = topic.encode()
        body = len(name).to_bytes(2, "big") + name + packet_id.to_bytes(2, "big") + payload
        self.send(PUBLISH, body, flags=0b0010)

    def hang_up(self) -> None:
        self._writer.transport.abort()


class FakeBroker:
    """A server that plays a scene with every client; connection numbers count from 1.

    Args:
        scene: What to do with a client; its failure is raised when the server is left.
    """

    def __init__(self, scene: Callable[[Peer, int], Awaitable[None]]) -> None:
        self._scene = scene
        self._tasks: list[asyncio.Task[None]] = []
        self.clients = 0
        self.port = 0

    async def __aenter__(self) -> "FakeBroker":
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        failures = [error for error in results if isinstance(error, AssertionError)]
        if failures and kind is None:
            raise failures[0]

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.clients += 1
        task = asyncio.create_task(self._play(Peer(reader, writer), self.clients))
        self._tasks.append(task)

    async def _play(self, peer: Peer, number: int) -> None:
        try:
            await self._scene(peer, number)
        except asyncio.IncompleteReadError:
            pass
        finally:
            peer.hang_up()
