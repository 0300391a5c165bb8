"""A process that keeps an embedded database until it is killed: what `kill -9` of the daemon is tried on."""

import asyncio
import sys
from pathlib import Path

from derms.store.embedded import EmbeddedPostgres


async def keep(directory: Path) -> None:
    async with EmbeddedPostgres(directory) as server:
        print(server.pid, flush=True)  # noqa: T201 - what the test reads
        await asyncio.Event().wait()


asyncio.run(keep(Path(sys.argv[1])))
