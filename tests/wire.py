"""Clients that know nothing of the program but its page on the wire contract: plain paho, in threads of their own."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One message as it came by."""

    at_ms: int
    """The wall clock at receipt [epoch ms]."""
    topic: str
    payload: bytes
    retained: bool

    @property
    def json(self) -> Any:
        return json.loads(self.payload)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A setpoint of any dialect, in the load convention."""

    device_id: str
    dialect: str
    p_kw: float
    at_ms: int
    valid_until_ms: int
    epoch: int
    seq: int
    retained: bool

    @classmethod
    def read(cls, seen: Seen, pv: set[str]) -> "Lease":
        message, levels = seen.json, seen.topic.split("/")
        device_id = levels[-1]
        if levels[1] == "setpoints":
            command, reason = message["payload"]["command"], message["payload"]["reason"]
            p_kw, until_ms, dialect = command["targetPowerKw"], command["validUntilMs"], "envelope"
            epoch, seq = reason["epoch"], reason["seq"]
        else:
            p_kw, until_ms, dialect = (
                message["p_setpoint_kw"],
                message["valid_until"],
                "v1" if "v" in message else "plain",
            )
            epoch, seq = message["epoch"], message["seq"]
        if device_id in pv and dialect != "v1":
            p_kw = -p_kw
        return cls(
            device_id=device_id, dialect=dialect, p_kw=p_kw, at_ms=seen.at_ms, valid_until_ms=until_ms,
            epoch=epoch, seq=seq, retained=seen.retained,
        )  # fmt: skip


class Observer:
    """Everything that came by, in order, until it is told to look away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: list[Seen] = []

    def note(self, seen: Seen) -> None:
        with self._lock:
            self._seen.append(seen)

    def seen(self, *kinds: str) -> list[Seen]:
        """What came by under `der/<kind>/`; without kinds all of it."""
        with self._lock:
            copy = list(self._seen)
        return [seen for seen in copy if not kinds or seen.topic.split("/")[1] in kinds]

    def leases(self, device_id: str = "") -> list[Lease]:
        """Every setpoint that was sent, in order; of one device or of all. What is no JSON object is passed over."""
        pv = {seen.topic.rsplit("/", 1)[1] for seen in self.seen("telemetry") if b'"pv"' in seen.payload}
        read = [Lease.read(seen, pv) for seen in self.seen("control", "setpoints") if seen.payload[:1] == b"{"]
        return [lease for lease in read if device_id in ("", lease.device_id)]

    def samples(self) -> list[tuple[str, int, int, float, Seen]]:
        """Every measurement: device, instant [epoch ms], seq or -1, power in the load convention [kW], message.

        What has not the form of one is passed over.
        """
        found = []
        for seen in self.seen("telemetry"):
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
                found.append((*_measurement(seen), seen))
        return found


def _measurement(seen: Seen) -> tuple[str, int, int, float]:
    message = seen.json
    device_id = seen.topic.rsplit("/", 1)[1]
    if "messageType" in message:
        kind, at_ms = message["deviceType"], message["timestampMs"]
        p_kw = message["payload"]["readings"]["powerKw"]
    else:
        kind, p_kw = message["type"], message["p_actual_kw"]
        at_ms = message["ts"] if "ts" in message else _epoch_ms(message["timestamp"])
    if kind == "pv" and ("v" not in message or "messageType" in message):
        p_kw = -p_kw
    return device_id, at_ms, message.get("seq", -1), p_kw


def _epoch_ms(text: str) -> int:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


@contextlib.contextmanager
def connected(url: str, client_id: str) -> Iterator[mqtt.Client]:
    """A connected client with a thread of its own."""
    address = urlsplit(url)
    ready = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv311)
    client.max_queued_messages_set(0)
    client.on_connect = lambda *_: ready.set()
    client.reconnect_delay_set(1, 1)
    client.connect(str(address.hostname), int(address.port or 1883))
    client.loop_start()
    try:
        assert ready.wait(15.0), "the broker does not answer"
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


@contextlib.contextmanager
def observing(url: str, client_id: str = "independent-observer") -> Iterator[Observer]:
    """Note everything that is published while the body runs; comes back when the broker does."""
    observer, subscribed = Observer(), threading.Event()

    def note(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        now_ms, payload = time.time_ns() // 1_000_000, bytes(message.payload)
        observer.note(Seen(at_ms=now_ms, topic=message.topic, payload=payload, retained=message.retain))

    address = urlsplit(url)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv311, clean_session=False)
    client.on_connect = lambda inner, *_: inner.subscribe("der/#", qos=1)
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = note
    client.reconnect_delay_set(1, 1)
    client.connect(str(address.hostname), int(address.port or 1883))
    client.loop_start()
    try:
        assert subscribed.wait(15.0), "the broker does not answer"
        yield observer
    finally:
        client.disconnect()
        client.loop_stop()
