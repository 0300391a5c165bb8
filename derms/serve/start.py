"""`derms serve`: the daemon as a process of its own, loaded while the servers it stands on begin."""

import asyncio
import importlib
import logging
import os
import random
from contextlib import AsyncExitStack

from derms.log import log_unhandled
from derms.ports import Clock
from derms.runtime import SystemClock, collect_seldom, loading, stop_on_signals
from derms.serve.ground import NEXT, ground
from derms.settings import Settings
from derms.supervisor import Supervisor

_LOOK_S = 0.5

log = logging.getLogger(__name__)


async def serve(settings: Settings) -> None:
    """Run the daemon until SIGTERM or SIGINT.

    Raises:
        DermsError: It cannot start.
    """
    log_unhandled(asyncio.get_running_loop())
    stop, up = asyncio.Event(), asyncio.Event()
    stop_on_signals(stop)
    clock = SystemClock()
    supervisor = Supervisor(os.environ, clock=clock, turn_s=settings.control_interval_s)
    body = asyncio.create_task(_serve_until(settings, stop, up, clock, supervisor), name="serve")
    signalled = asyncio.create_task(stop.wait(), name="signals")
    await asyncio.wait({body, signalled}, return_when=asyncio.FIRST_COMPLETED)
    signalled.cancel()
    supervisor.stopping()
    if not up.is_set() and not body.done():
        # In the middle of a start, which may wait for a database that never comes. Once up, it ends by itself.
        body.cancel()
    await asyncio.wait({body})
    if not body.cancelled():
        body.result()
    log.info("Stopped")


async def _serve_until(
    settings: Settings, stop: asyncio.Event, up: asyncio.Event, clock: Clock, supervisor: Supervisor
) -> None:
    begun = asyncio.create_task(_starting(supervisor), name="starting")
    loaded = asyncio.create_task(asyncio.to_thread(_load), name="loading")
    rng = random.Random()
    async with AsyncExitStack() as stack:
        stack.callback(begun.cancel)
        stack.callback(loaded.cancel)
        here = await stack.enter_async_context(ground(settings, clock=clock, rng=rng))
        await loaded
        from derms.serve.daemon import controller_on

        running_controller = await stack.enter_async_context(
            controller_on(here, settings, clock=clock, rng=rng, supervisor=supervisor)
        )
        # From here on only ticks are a sign of life.
        begun.cancel()
        log.info(
            "The controller runs",
            extra={
                "api": running_controller.api_url,
                "broker": running_controller.broker_url,
                "roles": settings.roles,
            },
        )
        up.set()
        collect_seldom()
        await stop.wait()


def _load() -> None:
    """Load all that the daemon is made of, what is needed first before the rest."""
    with loading():
        # The API's library reads the system's certificates, and holds nobody up meanwhile.
        for name in (*NEXT, "derms.api.app", "derms.serve.daemon"):
            importlib.import_module(name)


async def _starting(supervisor: Supervisor) -> None:
    """Until cancelled: a start that waits for its database goes on as long as its event loop does."""
    supervisor.status("Starting")
    while True:
        supervisor.starting()
        await asyncio.sleep(_LOOK_S)
