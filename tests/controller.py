"""A controller on a real broker that a test plays by hand: it hears telemetry and grants leases."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from derms.contract import Topics, encode_setpoint
from derms.model import DeviceKind, Dialect, Setpoint
from derms.mqtt import MqttLink
from derms.runtime import SystemClock
from tests.brokers import RunningBroker, until

TOPICS = Topics()


class Controller:
    """What is heard of devices, and what they are told."""

    def __init__(self, link: MqttLink, kind: DeviceKind) -> None:
        self.link = link
        self.kind = kind
        self.heard: list[dict[str, Any]] = []
        self.seq = 0

    async def listen(self) -> None:
        while True:
            for message in await self.link.receive():
                if message.topic.startswith("der/telemetry/"):
                    self.heard.append(json.loads(message.payload))

    def last(self, device_id: str) -> dict[str, Any]:
        """The newest of a device; empty: there is none."""
        return next((said for said in reversed(self.heard) if said["device_id"] == device_id), {})

    async def lease(self, device_id: str, p_kw: float, seconds: float) -> dict[str, int]:
        """Grant one; how telemetry names it."""
        now_ms = SystemClock().now_ms()
        self.seq += 1
        setpoint = Setpoint(
            device_id=device_id,
            kind=self.kind,
            p_setpoint_kw=p_kw,
            issued_at_ms=now_ms,
            valid_until_ms=now_ms + round(seconds * 1000),
            epoch=1,
            seq=self.seq,
        )
        await self.link.publish(*encode_setpoint(TOPICS, setpoint, Dialect.V1), qos=1, retain=True)
        return {"epoch": 1, "seq": self.seq}

    async def until_it_says(self, device_id: str, **wanted: Any) -> dict[str, Any]:
        """Wait until the newest message of a device says all of it."""
        await until(lambda: all(self.last(device_id).get(key, ...) == wanted[key] for key in wanted))
        return self.last(device_id)


@contextlib.asynccontextmanager
async def controlling(broker: RunningBroker, kind: DeviceKind) -> AsyncIterator[Controller]:
    """Play the controller of devices of one kind."""
    async with broker.link("controller", subscriptions=[("der/#", 1)]) as link:
        await link.wait_connected(20)
        controller = Controller(link, kind)
        listening = asyncio.create_task(controller.listen())
        try:
            yield controller
        finally:
            listening.cancel()
            await asyncio.wait([listening])
