"""The store: PostgreSQL, somebody else's or our own."""

import asyncio
import contextlib
import logging
import os
import random
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from derms.errors import StoreError
from derms.ports import Clock

if TYPE_CHECKING:
    from derms.store.bulk import Refused
    from derms.store.postgres import PostgresStore

_log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def open_store(
    url: str | None,
    data_dir: Path,
    *,
    clock: Clock,
    rng: random.Random,
    on_refused: Callable[[Sequence["Refused"]], None] | None = None,
    on_held: Callable[[], None] = lambda: None,
) -> AsyncIterator["PostgresStore"]:
    """Open the store with its schema brought up to date.

    Args:
        url: A PostgreSQL server, waited for until it comes; None: one of our own, in `data_dir`, stopped at the end.
        data_dir: Where this program keeps its data; the server gets the directory `postgres` in it.
        clock: The machine's clocks.
        rng: For the jitter between attempts.
        on_refused: Told of rows that the database will never take.
        on_held: Told as soon as nobody else can have a server of theirs in `data_dir`; at once where there is none.

    Raises:
        ConfigError: The URL, the credentials, the directory or the schema cannot ever work.
        StoreError: Our own server does not start.
    """
    # Imported here: whoever only asks this package for a path need not load the drivers.
    from derms.store.embedded import EmbeddedPostgres
    from derms.store.place import prepare_data_dir, server_account

    async with contextlib.AsyncExitStack() as stack:
        if url is None:
            await asyncio.to_thread(prepare_data_dir, data_dir, server_account(os.geteuid()))
            server = EmbeddedPostgres(data_dir / "postgres", rng=rng, on_held=on_held)
            url = (await stack.enter_async_context(server)).url
        else:
            on_held()
        from derms.store.postgres import PostgresStore  # loaded while the server began, where somebody did

        store = PostgresStore(url, clock=clock, rng=rng, on_refused=on_refused)
        stack.push_async_callback(store.close)
        await _reached(store, rng)
        await store.migrate()
        await store.make_days_ahead()
        layout = await store.telemetry_layout()
        _log.info("the store is ready", extra={"database": store.where, "telemetry": layout})
        yield store


async def _reached(store: "PostgresStore", rng: random.Random) -> None:
    pause_s, said = 0.2, False
    while True:
        try:
            await store.ping()
        except StoreError as error:
            if not said:
                _log.warning("waiting for the database", extra={"database": store.where, "error": str(error)})
            said = True
            await asyncio.sleep(pause_s * rng.uniform(0.5, 1.5))
            pause_s = min(pause_s * 2, 5.0)
        else:
            if said:
                _log.info("the database is there", extra={"database": store.where})
            return
