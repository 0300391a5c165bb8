"""Connecting, on listeners of the loopback interface."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from derms.mqtt.dial import Found, dial, first_connected, in_turns


def at(port: int, host: str = "127.0.0.1") -> Found:
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port whose queue is full: TCP never connects."""
    with contextlib.ExitStack() as stack:
        hole = stack.enter_context(socket.socket())
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(hole.getsockname())
        yield int(hole.getsockname()[1])


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


async def test_a_name_leads_to_a_connected_socket(listener: socket.socket) -> None:
    with await dial("localhost", port_of(listener)) as sock:
        assert sock.getpeername() == listener.getsockname()
        assert sock.proto == socket.IPPROTO_TCP, "asyncio switches Nagle's algorithm off for these only"


async def test_the_next_address_is_tried_when_one_refuses(listener: socket.socket, closed_port: int) -> None:
    with await first_connected([at(closed_port), at(port_of(listener))]) as sock:
        assert sock.getpeername() == listener.getsockname()


async def test_the_next_address_is_tried_when_one_is_silent(listener: socket.socket, black_hole: int) -> None:
    async with asyncio.timeout(10):
        with await first_connected([at(black_hole), at(port_of(listener))]) as sock:
            assert sock.getpeername() == listener.getsockname()


async def test_the_reason_is_that_of_the_first_address(closed_port: int) -> None:
    with pytest.raises(ConnectionRefusedError, match=str(closed_port)):
        await first_connected([at(closed_port), at(1)])


async def test_no_address_at_all_is_an_error() -> None:
    with pytest.raises(OSError, match="no address"):
        await first_connected([])


async def test_cancelled_at_any_moment_it_hangs_up(listener: socket.socket) -> None:
    connected = 0
    for turns in range(12):
        dialling = asyncio.create_task(dial("127.0.0.1", port_of(listener)))
        for _ in range(turns):
            await asyncio.sleep(0)
        dialling.cancel()
        await asyncio.wait([dialling])
        if not dialling.cancelled():
            dialling.result().close()
        with contextlib.suppress(BlockingIOError):
            peer, _ = listener.accept()
            connected += 1
            peer.setblocking(False)
            async with asyncio.timeout(10):
                with peer:
                    assert await asyncio.get_running_loop().sock_recv(peer, 1) == b""
    assert connected > 1


def test_families_take_turns() -> None:
    four = [at(port) for port in (1, 2, 3)]
    six: list[Found] = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 4, 0, 0))]
    assert in_turns([*six, *four]) == [six[0], *four]
    assert in_turns([*four, *six]) == [four[0], six[0], *four[1:]]
    assert in_turns([]) == []
