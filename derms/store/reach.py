"""The database that a daemon with these settings uses, for whoever works on it beside the daemon or without one."""

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from derms.errors import ConflictError, NotFoundError, StoreError
from derms.ports import Clock
from derms.store.embedded import DATABASE, USER, EmbeddedPostgres
from derms.store.link import Link
from derms.store.place import prepare_data_dir, server_account

_READY_S = 30.0
_LOOK_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A database, and how it was come by."""

    url: str
    link: Link
    shared: bool
    """It is the embedded one of a daemon that runs."""


@contextlib.asynccontextmanager
async def reached(
    url: str | None, data_dir: Path, *, create: bool, clock: Clock, rng: random.Random
) -> AsyncIterator[Reached]:
    """Connect to it; the embedded server is started where nobody has it running, and stopped at the end.

    Args:
        url: A PostgreSQL server; None: the embedded one.
        data_dir: Where the program keeps its data.
        create: Make the embedded database where there is none.
        clock: The machine's clocks.
        rng: For the jitter between attempts.

    Raises:
        ConfigError: The URL, the credentials or the directory cannot ever work.
        NotFoundError: There is no embedded database yet.
        StoreError: It cannot be reached.
    """
    async with contextlib.AsyncExitStack() as stack:
        shared = False
        if url is None:
            directory = data_dir / "postgres"
            if not create and not (directory / "data").exists():
                raise NotFoundError(
                    f"there is no database in {data_dir}",
                    why="`derms serve` makes one at its first start",
                    next_step="name another with --data-dir or --database-url",
                )
            await asyncio.to_thread(prepare_data_dir, data_dir, server_account(os.geteuid()))
            try:
                url = (await stack.enter_async_context(EmbeddedPostgres(directory, rng=rng))).url
            except ConflictError:
                url, shared = await _running(directory), True
        link = Link(url, clock=clock, rng=rng)
        stack.push_async_callback(link.close)
        yield Reached(url=url, link=link, shared=shared)


async def _running(directory: Path) -> str:
    """The URL of the server that another process has on a directory; waited for while it starts."""
    try:
        async with asyncio.timeout(_READY_S):
            while (sockets := _sockets_of(directory / "data")) is None:  # noqa: ASYNC110 -- another process has it
                await asyncio.sleep(_LOOK_S)
    except TimeoutError as error:
        raise StoreError(
            f"the database in {directory} is not ready",
            why=f"another process has held it for {_READY_S:g} s without a server that takes connections",
            next_step=f"see {directory / 'postgres.log'}",
        ) from error
    return f"postgresql://{USER}@/{DATABASE}?host={quote(sockets, safe='')}"


def _sockets_of(cluster: Path) -> str | None:
    try:
        lines = (cluster / "postmaster.pid").read_text().split("\n")
    except OSError:
        return None
    # Line 5 is the directory of the sockets, line 8 the state.
    return lines[4] if len(lines) >= 8 and lines[7].strip() == "ready" and lines[4] else None
