"""The controller's connections to its broker: what devices measure comes on one, what they are told on another.

A broker takes one packet of each connection in turn, so what is told would wait behind the acknowledgements of
thousands of samples. This way a flood of telemetry delays no lease; nor does it hide a head meter, which is heard on a
third one as well (see `derms.serve.lane`).
"""

import random
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Literal, Self

from derms.contract import Topics
from derms.kinds import ServeRole
from derms.metrics import Metrics
from derms.mqtt import MqttLink, Will
from derms.serve.access import address_of, tls_files
from derms.settings import Settings
from derms.view.links import LinkState

_SESSION_EXPIRY_S = 3600
"""For how long the broker keeps what was not acknowledged while the controller is away [s]."""


class Wires:
    """All; an async context manager that begins to connect the first two and ends with a goodbye on both.

    Args:
        settings: Who we are, and how to log in.
        broker_url: The broker.
        protocol: What it speaks.
        topics: What is listened to.
        rng: For the jitter of reconnecting.
        will: What the broker says when we are gone.
        state: Told whether both are there.
        metrics: Counts how often the broker was met.
    """

    def __init__(
        self,
        settings: Settings,
        broker_url: str,
        *,
        protocol: Literal["auto", 4],
        topics: Topics,
        rng: random.Random,
        will: Will,
        state: LinkState,
        metrics: Metrics,
    ) -> None:
        self.on_met: Callable[[], None] = _nobody
        """Told when leases can be sent again."""
        only_stores = settings.roles == (ServeRole.INGEST,)
        address, tls, name = address_of(settings, broker_url), tls_files(settings), f"derms-{settings.controller_id}"

        def link(
            client_id: str, heard: Sequence[tuple[str, int]], will: Will | None, met: Callable[[], None]
        ) -> MqttLink:
            return MqttLink(
                address,
                client_id=client_id,
                subscriptions=heard,
                rng=rng,
                will=will,
                tls=tls,
                manual_ack=True,
                no_echo=True,
                session_expiry_s=_SESSION_EXPIRY_S,
                protocol=protocol,
                on_connect=met,
                on_disconnect=lambda: state.set(False),
            )

        def met() -> None:
            metrics.mqtt_connections_total.inc()
            self._look(state)
            self.on_met()

        measured = topics.storing_subscriptions() if only_stores else topics.telemetry_subscriptions()
        self.telemetry = link(name, measured, None, lambda: self._look(state))
        """What devices measure."""
        self.orders = link(f"{name}-orders", [] if only_stores else topics.order_subscriptions(), will, met)
        """What they are told, by us and by others, and whether they are there."""
        self._stack = AsyncExitStack()

        def glance(heard: Sequence[tuple[str, int]]) -> MqttLink:
            return MqttLink(
                address, client_id=f"{name}-meters", subscriptions=heard, may_be_refused=[topic for topic, _ in heard],
                rng=rng, tls=tls, protocol=protocol, log_changes=False,
            )  # fmt: skip

        self.glance = glance
        """Makes a connection on which some of what devices measure comes once more; it can be done without."""

    def _look(self, state: LinkState) -> None:
        state.set(self.telemetry.connected and self.orders.connected)

    async def __aenter__(self) -> Self:
        """Begin to connect."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.telemetry)
            await stack.enter_async_context(self.orders)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Say goodbye."""
        await self._stack.aclose()


def _nobody() -> None:
    """Nobody is told."""
