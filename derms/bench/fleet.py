"""A fleet in a process of its own (`derms.bench.fleet_load`), and the waiting until a controller knows it."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable

import msgspec

from derms.bench.daemon import ended
from derms.bench.fleet_load import Crowd, Heard
from derms.client import ApiClient
from derms.errors import UnavailableError

_ANSWERS_S = 60.0
_KNOWN_S = 300.0
_LOOK_EVERY_S = 1.0


class Fleet:
    """The running fleet."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def level(self, load_kw: float | None) -> None:
        """Let the load at the head come to this [kW], by what lies beside the devices; None: as it was at first."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n" if load_kw is None else b"%.3f\n" % load_kw)

    async def end(self) -> Heard:
        """Let it end; what it heard.

        Raises:
            UnavailableError: It broke off.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        async with asyncio.timeout(_ANSWERS_S):
            answer = await self._process.stdout.read()
            code = await self._process.wait()
        if code != 0:
            raise UnavailableError("the fleet broke off", why=f"it ended with {code}", next_step="see above")
        return msgspec.json.decode(answer, type=Heard)


@contextlib.asynccontextmanager
async def fleet(crowd: Crowd) -> AsyncIterator[Fleet]:
    """Let it speak while the body runs.

    Raises:
        UnavailableError: It cannot log in.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "derms.bench.fleet_load", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(msgspec.json.encode(crowd) + b"\n")
        if await process.stdout.readline() != b"\n":
            raise UnavailableError("the fleet cannot log in", why="it broke off", next_step="see above")
        yield Fleet(process)
    finally:
        await ended(process)


async def until_known(client: ApiClient, devices: int, say: Callable[[str], None]) -> None:
    """Wait until the controller has fresh readings of nearly all.

    Raises:
        UnavailableError: That takes too long.
    """
    fresh = 0
    try:
        async with asyncio.timeout(_KNOWN_S):
            while fresh < 0.99 * devices:
                await asyncio.sleep(_LOOK_EVERY_S)
                fresh = sum(feeder.freshness.get("good", 0) for feeder in await client.feeder_summary())
                say(f"{fresh} of {devices} devices are fresh")
    except TimeoutError as error:
        raise UnavailableError(
            f"the controller has fresh readings of {fresh} devices only",
            why=f"{devices} spoke for {_KNOWN_S:g} s",
            next_step="measure on a machine that does nothing else",
        ) from error
