"""Head meters, heard a second time on a connection of their own.

A breach is seen when the meter's reading is read, and with thousands of devices that reading may stand behind seconds
of others. What comes here only becomes the live state; the feed brings it again, to be stored and acknowledged.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from derms.contract import Topics
from derms.fleet import Fleet
from derms.ingest import Ingest
from derms.model import Device, Dialect, Enrolment
from derms.mqtt import MqttLink

_MOST = 2_000
"""Meters that are heard this way, in the order of their registration: they are named one by one to the broker."""
_LOOK_S = 1.0
"""A meter that is new is heard this way after so long [s]."""
_QOS = 0


class MeterLane:
    """Follows the registry: who is a head meter, and speaks for itself.

    Args:
        link: Makes a connection that hears these topics: (filter, QoS) each.
        fleet: The live state.
        topics: The topics of the wire contract.
        ingest: Takes what comes.
    """

    def __init__(
        self, *, link: Callable[[Sequence[tuple[str, int]]], MqttLink], fleet: Fleet, topics: Topics, ingest: Ingest
    ) -> None:
        self._link = link
        self._fleet = fleet
        self._topics = topics
        self._ingest = ingest

    async def run(self) -> None:
        """Hear them until cancelled."""
        while True:
            heard, version = self._heard(), self._fleet.registry_version
            if not heard:
                await asyncio.sleep(_LOOK_S)
                continue
            async with self._link(heard) as link:
                while version == self._fleet.registry_version or heard == self._heard():
                    version = self._fleet.registry_version
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_S):
                            self._ingest.glance(await link.receive())

    def _heard(self) -> list[tuple[str, int]]:
        meters = [one for one in self._fleet.head_meters() if one.enrolment is Enrolment.ACTIVE and not one.gateway_id]
        return [(self._topic(device), _QOS) for device in meters[:_MOST]]

    def _topic(self, device: Device) -> str:
        if device.dialect is Dialect.ENVELOPE:
            return self._topics.envelope_telemetry(device.kind, device.device_id)
        return self._topics.telemetry(device.device_id)
