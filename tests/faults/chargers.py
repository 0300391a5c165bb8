"""Chargers that speak v1 and obey as an agent does, in a thread; they know what the broker has acknowledged.

Nothing else draws on their feeder, so what they may draw together is what they were told.
"""

import contextlib
import json
import random
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent.driver import Capabilities
from agent.endpoint import Endpoint, Verdict
from derms.contract import Topics, decode_setpoint
from derms.model import DeviceKind, Setpoint

RATING_KW = 7.0
Sample = tuple[str, int, int]
"""Device, instant [epoch ms], seq."""


class Chargers:
    """Some chargers on one connection, each of which always wants its rating."""

    def __init__(self, url: str, count: int, interval_s: float, client_id: str) -> None:
        self.names = [f"ev-{number:03d}" for number in range(1, count + 1)]
        self.acknowledged: set[Sample] = set()
        """What the broker has said that it has."""
        self.older_accepted = 0
        """Setpoints of an older epoch than one heard before that a device has taken all the same."""
        self.mischief: random.Random | None = None
        """Sends some samples twice, late, or in another order, and garbage between them."""
        self._ends = {
            name: Endpoint(
                device_id=name, capabilities=Capabilities(kind=DeviceKind.EV, p_import_max_kw=RATING_KW), ramp_s=0.1
            )
            for name in self.names
        }
        self._heard = dict.fromkeys(self.names, 0)
        self._lock = threading.Lock()
        self._waiting: dict[int, Sample] = {}
        self._early: set[int] = set()
        self._late: list[tuple[str, bytes, Sample]] = []
        self._seq = 0
        self._interval_s = interval_s
        self._topics = Topics()
        self._stop = threading.Event()
        self._address = urlsplit(url)
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv311, clean_session=False
        )
        client.max_queued_messages_set(0)
        client.max_inflight_messages_set(1000)
        client.reconnect_delay_set(1, 1)
        client.on_connect = lambda inner, *_: inner.subscribe("der/control/+", qos=1)
        client.on_publish = self._published
        client.on_message = self._told
        self._client = client
        self._thread = threading.Thread(target=self._run, name="chargers")

    def start(self) -> None:
        self._client.connect(str(self._address.hostname), int(self._address.port or 1883))
        self._client.loop_start()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()

    def _told(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        name = message.topic.rsplit("/", 1)[1]
        if name not in self._ends:
            return
        said = decode_setpoint(self._topics, message.topic, bytes(message.payload), kind=DeviceKind.EV)
        with self._lock:
            if isinstance(said, Setpoint):
                verdict = self._ends[name].offer(said, now_ms=_now_ms(), monotonic_s=time.monotonic())
                if verdict is Verdict.ACCEPTED and said.epoch < self._heard[name]:
                    self.older_accepted += 1
                self._heard[name] = max(self._heard[name], said.epoch)

    def _published(self, _client: mqtt.Client, _data: object, mid: int, *_: object) -> None:
        with self._lock:
            sample = self._waiting.pop(mid, None)
            if sample is not None:
                self.acknowledged.add(sample)
            else:
                self._early.add(mid)

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            messages = [self._measured(name) for name in self.names]
            if self.mischief is not None:
                messages = self._spoilt(messages, self.mischief)
            for topic, payload, sample in messages:
                self._send(topic, payload, sample)

    def _measured(self, name: str) -> tuple[str, bytes, Sample]:
        with self._lock:
            now_s, end = time.monotonic(), self._ends[name]
            lease, told_kw = end.following(now_s), end.target(now_s)
        self._seq += 1
        at_ms = _now_ms()
        body = {
            "v": 1, "device_id": name, "type": "ev", "ts": at_ms, "seq": self._seq, "p_actual_kw": told_kw or 0.0,
            "p_setpoint_kw": None if lease is None else lease.p_kw, "soc": 0.3, "p_max_kw": RATING_KW,
            "capacity_kwh": 60.0, "status": "ok",
        }  # fmt: skip
        if lease is not None and lease.epoch is not None:
            body["applied"] = {"epoch": lease.epoch, "seq": lease.seq}
        return f"der/telemetry/{name}", json.dumps(body).encode(), (name, at_ms, self._seq)

    def _spoilt(self, messages: list[tuple[str, bytes, Sample]], rng: random.Random) -> list[tuple[str, bytes, Sample]]:
        kept = self._late if rng.random() < 0.5 else []
        held = [one for one in messages if rng.random() < 0.15]
        sent = [one for one in messages if one not in held] + kept + [one for one in messages if rng.random() < 0.2]
        self._late = held + (self._late if not kept else [])
        rng.shuffle(sent)
        for name in rng.sample(self.names, 2):
            garbage = rng.choice([b"", b"{", b"\xff" * 40, b"[" * 3000, b'{"v":1,"p_actual_kw":1e999}', b'{"v":99}'])
            self._client.publish(f"der/telemetry/{name}", garbage, qos=1)
        return sent

    def _send(self, topic: str, payload: bytes, sample: Sample) -> None:
        mid = self._client.publish(topic, payload, qos=1).mid
        with self._lock:
            if mid in self._early:
                self._early.discard(mid)
                self.acknowledged.add(sample)
            else:
                self._waiting[mid] = sample


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@contextlib.contextmanager
def charging(url: str, *, count: int = 12, interval_s: float = 0.4, client_id: str = "chargers") -> Iterator[Chargers]:
    """Chargers that report while the body runs."""
    chargers = Chargers(url, count, interval_s, client_id)
    chargers.start()
    try:
        yield chargers
    finally:
        chargers.stop()
