"""Topics and identifiers. Pure; nothing else builds a topic or takes one apart."""

import re
from dataclasses import dataclass
from typing import NamedTuple

from derms.errors import ConfigError
from derms.model import DeviceKind, Dialect

_DEVICE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_QOS = 1


def check_device_id(text: str) -> bool:
    """Whether `text` may name a device, a gateway or a controller.

    No slash, no wildcard, no control character: what passes can stand in a topic.
    """
    return _DEVICE_ID.fullmatch(text) is not None


class TelemetrySource(NamedTuple):
    """Who a telemetry topic says the message is from; exactly one of the two ids is set."""

    device_id: str | None = None
    gateway_id: str | None = None
    kind: DeviceKind | None = None
    """Set when the topic names the device's kind: then the message has the envelope shape."""


@dataclass(frozen=True, slots=True)
class Topics:
    """All topics under one prefix.

    Raises:
        ConfigError: The prefix cannot stand before a topic.
    """

    prefix: str = "der"

    def __post_init__(self) -> None:
        if len(self.prefix) > 128 or not _PREFIX.fullmatch(self.prefix):
            raise ConfigError(
                f"topic prefix {self.prefix!r} is wrong",
                why="it is one or more words of letters, digits, '.', '_' or '-', joined by '/'",
                next_step="use a prefix such as 'der' or 'site-4/der'",
            )

    def telemetry(self, device_id: str) -> str:
        """Device -> controller: a measurement."""
        return f"{self.prefix}/telemetry/{device_id}"

    def control(self, device_id: str) -> str:
        """Controller -> device: a setpoint lease."""
        return f"{self.prefix}/control/{device_id}"

    def status(self, device_id: str) -> str:
        """Device -> controller: `online` or `offline`, retained, also the last will."""
        return f"{self.prefix}/status/{device_id}"

    def controller(self, controller_id: str) -> str:
        """Controller -> all: epoch, heartbeat, version, retained, also the last will."""
        return f"{self.prefix}/controller/{controller_id}"

    def gateway_telemetry(self, gateway_id: str) -> str:
        """Gateway -> controller: an array of measurements."""
        return f"{self.prefix}/gateway/{gateway_id}/telemetry"

    def home_assistant(self, device_id: str) -> str:
        """Device -> Home Assistant: its newest values, retained."""
        return f"{self.prefix}/homeassistant/{device_id}"

    @property
    def controllers(self) -> str:
        """The filter for the heartbeats of all controllers."""
        return f"{self.prefix}/controller/+"

    @property
    def simulation_profile(self) -> str:
        """Controller -> simulator: the hour of the simulated day."""
        return f"{self.prefix}/simulation/profile"

    def envelope_telemetry(self, kind: DeviceKind, device_id: str) -> str:
        """Device -> controller, envelope shape."""
        return f"{self.prefix}/telemetry/{kind.value}/{device_id}"

    def envelope_setpoint(self, kind: DeviceKind, device_id: str) -> str:
        """Controller -> device, envelope shape."""
        return f"{self.prefix}/setpoints/{kind.value}/{device_id}"

    def setpoint(self, kind: DeviceKind, device_id: str, dialect: Dialect) -> str:
        """Controller -> device, in the device's dialect."""
        if dialect is Dialect.ENVELOPE:
            return self.envelope_setpoint(kind, device_id)
        return self.control(device_id)

    def telemetry_subscriptions(self) -> list[tuple[str, int]]:
        """Where devices say what they measure: (filter, QoS)."""
        return [(f"{self.prefix}/{tail}", _QOS) for tail in ("telemetry/+", "telemetry/+/+", "gateway/+/telemetry")]

    def storing_subscriptions(self) -> list[tuple[str, int]]:
        """The same for processes that only store, each to its share."""
        return [(f"$share/derms/{topic}", qos) for topic, qos in self.telemetry_subscriptions()]

    def order_subscriptions(self) -> list[tuple[str, int]]:
        """Where devices say that they are there, and where other controllers command them: (filter, QoS)."""
        return [(f"{self.prefix}/{tail}", _QOS) for tail in ("status/+", "control/+", "setpoints/+/+")]

    def agent_subscriptions(self, kind: DeviceKind, device_id: str, dialect: Dialect) -> list[tuple[str, int]]:
        """What a device listens to: (filter, QoS)."""
        return [(self.setpoint(kind, device_id, dialect), _QOS)]

    def telemetry_source(self, topic: str) -> TelemetrySource | None:
        """Take a telemetry topic apart; None: it is not one, or an id in it is not well formed."""
        head = f"{self.prefix}/telemetry/"
        if topic.startswith(head) and _DEVICE_ID.fullmatch(topic, len(head)):
            # The one that comes by the thousand, first and without taking it apart.
            return TelemetrySource(device_id=topic[len(head) :])
        match self._tail(topic):
            case ["telemetry", kind, device_id] if kind in _KINDS and check_device_id(device_id):
                return TelemetrySource(device_id=device_id, kind=DeviceKind(kind))
            case ["gateway", gateway_id, "telemetry"] if check_device_id(gateway_id):
                return TelemetrySource(gateway_id=gateway_id)
            case _:
                return None

    def setpoint_target(self, topic: str) -> tuple[str, DeviceKind | None] | None:
        """Take a setpoint topic apart: the device, and its kind when the topic names it (envelope shape)."""
        match self._tail(topic):
            case ["control", device_id] if check_device_id(device_id):
                return device_id, None
            case ["setpoints", kind, device_id] if kind in _KINDS and check_device_id(device_id):
                return device_id, DeviceKind(kind)
            case _:
                return None

    def status_device(self, topic: str) -> str | None:
        """The device of a status topic; None: it is not one."""
        return self._only_id(topic, "status")

    def controller_of(self, topic: str) -> str | None:
        """The controller of a presence topic; None: it is not one."""
        return self._only_id(topic, "controller")

    def _only_id(self, topic: str, word: str) -> str | None:
        head = f"{self.prefix}/{word}/"
        if not topic.startswith(head):
            return None
        name = topic[len(head) :]
        return name if check_device_id(name) else None

    def _tail(self, topic: str) -> list[str]:
        head = self.prefix + "/"
        return topic[len(head) :].split("/") if topic.startswith(head) else []


_KINDS = frozenset(kind.value for kind in DeviceKind)
