"""What a controller stands on, come by in the order in which it may be: its directory, its name, its broker.

::

    state directory ─ keys ─► database ─ schema ─ name ─► both connections to the broker
                                 └─► embedded broker ──────────┘

Rules:
    - What can be refused without a server is refused before one is started.
    - Loads little before the servers of our own have been started: they begin while the rest is being loaded.
    - Two of one name would throw one another off the broker, so nothing is said there before the name is ours.
    - The embedded broker keeps its files beside the database, so it waits until that directory is ours.
    - What fails is told in this order, whatever failed first, and what was started is ended.
"""

import asyncio
import logging
import os
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from derms import __version__
from derms.api.listening import ensure_port_free, tls_context
from derms.broker import EmbeddedBroker
from derms.instance import Instance, only_instance
from derms.ports import Claimant, Clock
from derms.runtime import begun
from derms.serve.access import address_of, keys_of, seeds_of
from derms.serve.claims import claim_name
from derms.settings import Settings
from derms.store import open_store
from derms.store.place import default_data_dir

if TYPE_CHECKING:
    from derms.auth import KeyRing
    from derms.contract import Topics
    from derms.metrics import Metrics
    from derms.serve.wires import Wires
    from derms.store.postgres import PostgresStore
    from derms.view.links import LinkState

log = logging.getLogger(__name__)

NEXT = ("derms.store.postgres", "derms.serve.wires", "derms.presence")
"""What is needed of the rest, in this order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What is there, until the context ends."""

    instance: Instance
    me: Claimant
    keys: "KeyRing"
    tls: ssl.SSLContext | None
    """Of the API; None: plain HTTP."""
    store: "PostgresStore"
    metrics: "Metrics"
    topics: "Topics"
    wires: "Wires"
    mqtt: "LinkState"
    """Whether both connections to the broker are there."""
    broker_url: str
    broker_note: str
    """What kind of broker it is; empty for one of the user's own."""


@asynccontextmanager
async def ground(settings: Settings, *, clock: Clock, rng: random.Random) -> AsyncIterator[Ground]:
    """Come by it.

    Args:
        settings: What the daemon is told.
        clock: The machine's clocks.
        rng: Jitter.

    Raises:
        DermsError: It cannot be come by; nothing half-made is left.
    """
    ensure_port_free(settings.api_host, settings.api_port)
    tls = None if settings.api_tls_files is None else tls_context(*settings.api_tls_files)
    async with AsyncExitStack() as stack:
        instance = stack.enter_context(only_instance(settings.state_dir))
        keys = keys_of(settings)
        seeds_of(settings)
        if settings.mqtt_url is not None:
            address_of(settings, settings.mqtt_url)
        data_dir = settings.data_dir or default_data_dir(os.environ, os.geteuid())
        ours = asyncio.Event()
        own: asyncio.Task[EmbeddedBroker] | None = None
        if settings.mqtt_url is None:
            broker = EmbeddedBroker(data_dir / "broker", port=settings.embedded_broker_port)
            own = await stack.enter_async_context(begun(broker, name="embedded-broker", after=ours))
        store = await stack.enter_async_context(
            open_store(settings.database_url, data_dir, clock=clock, rng=rng, on_held=ours.set)
        )
        me = Claimant(controller_id=settings.controller_id, instance=instance.name, url=settings.advertise_url or "")
        await claim_name(store.leases, me, instance.formerly)

        # Loaded by now, where somebody has loaded `NEXT` meanwhile.
        from derms.contract import Topics
        from derms.metrics import Metrics
        from derms.presence import will_of
        from derms.serve.wires import Wires
        from derms.view.links import LinkState

        metrics, topics, mqtt = Metrics(version=__version__), Topics(settings.topic_prefix), LinkState(clock)
        broker_url, broker_note = settings.mqtt_url, ""
        protocol: Literal["auto", 4] = "auto"
        if own is not None:
            found = await own
            broker_url, broker_note, protocol = found.url, found.protocol_note, found.link_protocol
            log.info("%s", broker_note)
        assert broker_url is not None
        wires = Wires(
            settings,
            broker_url,
            protocol=protocol,
            topics=topics,
            rng=rng,
            will=will_of(topics, settings.controller_id),
            state=mqtt,
            metrics=metrics,
        )
        await stack.enter_async_context(wires)
        yield Ground(
            instance=instance,
            me=me,
            keys=keys,
            tls=tls,
            store=store,
            metrics=metrics,
            topics=topics,
            wires=wires,
            mqtt=mqtt,
            broker_url=broker_url,
            broker_note=broker_note,
        )
