"""How long `derms serve` takes until it is ready: a process started as a user would, and asked until it says so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from derms.bench.daemon import daemon
from derms.bench.loop_parts import postgres_starts_s
from derms.bench.served import free_port, local_broker, scratch_directory
from derms.store.embedded import EmbeddedPostgres


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """Seconds until `GET /api/ready` answered 200, the median of each."""

    first_s: float
    """With an empty data directory, its own database and its own broker."""
    warm_s: float
    """Again, with what the first start made."""
    external_s: float
    """With a database and a broker that run already, and hold what an earlier start made."""
    postgres_first_s: float
    """The embedded PostgreSQL by itself."""
    postgres_warm_s: float


async def starts(times: int, say: Callable[[str], None]) -> Starts:
    """Start it again and again.

    Args:
        times: How often each way.
        say: Told what is being done.

    Raises:
        UnavailableError: It does not become ready, or there is no Mosquitto.
    """
    first, warm, external, alone = [], [], [], []
    for number in range(times):
        say(f"start {number + 1} of {times}")
        with scratch_directory() as home:
            settings: dict[str, object] = {"embedded_broker_port": free_port()}
            first.append(await _ready_s(home, settings))
            warm.append(await _ready_s(home, settings))
            alone.append(await postgres_starts_s(home / "alone"))
    with scratch_directory() as home:
        async with EmbeddedPostgres(home / "database") as server, local_broker(home) as url:
            settings = {"database_url": server.url, "mqtt_url": url}
            await _ready_s(home, settings)  # it makes its tables
            external = [await _ready_s(home, settings) for _ in range(times)]
    return Starts(
        first_s=float(np.median(first)),
        warm_s=float(np.median(warm)),
        external_s=float(np.median(external)),
        postgres_first_s=float(np.median([one for one, _ in alone])),
        postgres_warm_s=float(np.median([one for _, one in alone])),
    )


async def _ready_s(home: Path, settings: Mapping[str, object]) -> float:
    async with daemon(home, **settings) as running:
        return running.ready_s
