"""From a name and a port to a connected TCP socket.

asyncio's `create_connection` can do this too ("happy eyeballs"), but when it is cancelled just after an attempt has
succeeded it loses the socket: the broker sees an open connection until the garbage collector comes by. Links are
cancelled while they connect as a matter of course (a time-out, a Ctrl-C), so here every socket always has an owner.
"""

import asyncio
import itertools
import socket
from collections import deque
from collections.abc import Iterable

_HEAD_START_S = 0.25
"""A slow address is not waited for longer than this before the next one is tried as well."""

Found = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]
"""One answer of a name lookup: family, type, protocol, name, address."""


async def dial(host: str, port: int) -> socket.socket:
    """Connect to whichever address of a host answers first; cancelling this leaves no socket behind.

    Raises:
        OSError: The name is unknown, or no address can be connected to.
    """
    return await first_connected(in_turns(await _look_up(host, port)))


async def first_connected(found: Iterable[Found]) -> socket.socket:
    """Connect to the first of these addresses that answers.

    Raises:
        OSError: None can be connected to; the reason is that of the first, which the system likes best.
    """
    attempts: list[asyncio.Task[socket.socket]] = []
    winner = None
    try:
        winner = await _race(deque(found), attempts)
        return winner.result()
    finally:
        for attempt in attempts:
            # one that is not over closes its socket itself; one that is over has nobody else to do it
            over = not attempt.cancel()
            if over and attempt is not winner and not attempt.cancelled() and attempt.exception() is None:
                attempt.result().close()


async def _race(found: deque[Found], attempts: list[asyncio.Task[socket.socket]]) -> asyncio.Task[socket.socket]:
    """Start one attempt after another, noting each in `attempts`, until one has succeeded."""
    waiting: set[asyncio.Task[socket.socket]] = set()
    while found or waiting:
        if found:
            attempt = asyncio.create_task(_connect(found.popleft()), name="mqtt-dial")
            attempts.append(attempt)
            waiting.add(attempt)
        done, waiting = await asyncio.wait(
            waiting, timeout=_HEAD_START_S if found else None, return_when=asyncio.FIRST_COMPLETED
        )
        for attempt in done:
            if attempt.exception() is None:
                return attempt
    raise next((error for attempt in attempts if (error := attempt.exception())), OSError("the name has no address"))


async def _connect(found: Found) -> socket.socket:
    family, kind, protocol, _, address = found
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _look_up(host: str, port: int) -> list[Found]:
    try:
        # a literal address needs neither a name server nor a thread that waits for one
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    except socket.gaierror:
        return list(await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM))


def in_turns(found: Iterable[Found]) -> list[Found]:
    """The first address of each family, then the second of each, and so on: a whole family may lead nowhere."""
    families: dict[int, list[Found]] = {}
    for each in found:
        families.setdefault(each[0], []).append(each)
    return [each for turn in itertools.zip_longest(*families.values()) for each in turn if each is not None]
