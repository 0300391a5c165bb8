"""Who controls: the retained heartbeat on `der/controller/<id>`, and the last will that ends it."""

import asyncio
import contextlib
import logging

from derms import __version__
from derms.contract import ControllerPresence, Topics, encode_controller
from derms.errors import BrokerError
from derms.leadership import Leadership
from derms.mqtt import MqttLink, Will
from derms.ports import Clock, Duty
from derms.runtime import wait_first

_HEARTBEAT_S = 10.0
_GOODBYE_S = 1.0
"""A broker that keeps silent at the end must not hold up a clean stop [s]."""

log = logging.getLogger(__name__)


def will_of(topics: Topics, controller_id: str) -> Will:
    """What the broker says in a controller's name when it is cut off."""
    said = ControllerPresence(controller_id=controller_id, epoch=0, heartbeat_ms=0, version=__version__, online=False)
    topic, payload = encode_controller(topics, said)
    return Will(topic=topic, payload=payload)


class Presence:
    """Says who controls: at once when the broker is met, at every heartbeat, and at the end."""

    def __init__(self, topics: Topics, controller_id: str, leadership: Leadership, clock: Clock) -> None:
        """Nothing is said before `run`."""
        self._topics = topics
        self._controller_id = controller_id
        self._leadership = leadership
        self._clock = clock
        self._met = asyncio.Event()

    def announce(self) -> None:
        """Say it now: a connection is up, and the will may have been published; or a duty has changed."""
        self._met.set()

    async def run(self, link: MqttLink) -> None:
        """Speak until cancelled, then say goodbye."""
        try:
            while True:
                self._met.clear()
                await self._say(link, online=True)
                await wait_first(self._met, timeout_s=_HEARTBEAT_S)
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GOODBYE_S):
                    await self._say(link, online=False)

    async def _say(self, link: MqttLink, *, online: bool) -> None:
        topic, payload = self._message(online=online, at_ms=self._clock.now_ms())
        try:
            await link.publish(topic, payload, qos=1, retain=True)
        except BrokerError as error:
            log.debug("The heartbeat was not sent: %s", error)

    def _message(self, *, online: bool, at_ms: int) -> tuple[str, bytes]:
        said = ControllerPresence(
            controller_id=self._controller_id,
            epoch=self._leadership.epoch,
            heartbeat_ms=at_ms,
            version=__version__,
            online=online,
            commands=self._commanded() if online else (),
        )
        return encode_controller(self._topics, said)

    def _commanded(self) -> tuple[str, ...]:
        return tuple(one.root for one in self._leadership.standings() if one.duty is not Duty.STANDS_BY)
