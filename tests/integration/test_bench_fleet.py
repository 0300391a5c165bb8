"""The fleet that `derms bench loop` measures with, on a real broker: it hears leases, obeys and says so."""

import asyncio
import time

import msgspec

from derms.bench.fleet import fleet
from derms.bench.fleet_load import METER_TOPIC, Crowd
from derms.contract import Topics, encode_setpoint
from derms.model import DeviceKind, Dialect, Setpoint
from tests.brokers import RunningBroker


async def test_a_device_of_the_fleet_obeys_its_lease_and_the_meter_shows_it(mosquitto_broker: RunningBroker) -> None:
    crowd = Crowd(host="127.0.0.1", port=mosquitto_broker.port, devices=2, connections=1, every_s=0.1)
    now_ms = time.time_ns() // 1_000_000
    lease = Setpoint(
        device_id="ev-000001", kind=DeviceKind.EV, p_setpoint_kw=2.5, issued_at_ms=now_ms,
        valid_until_ms=now_ms + 30_000, epoch=1, seq=1, reason="",
    )  # fmt: skip
    async with (
        mosquitto_broker.link("watch", subscriptions=[("der/telemetry/+", 0)]) as link,
        asyncio.timeout(30.0),
        fleet(crowd) as speaking,
    ):
        await link.wait_connected(10.0)
        assert list(await link.publish_many([encode_setpoint(Topics(), lease, Dialect.V1)])) == [None]
        drawn: dict[str, float] = {}
        # Unled the other draws 1.4 kW, and 0.2 kW lie beside each of the two.
        while (drawn.get("der/telemetry/ev-000001"), drawn.get(METER_TOPIC)) != (2.5, 4.3):
            for message in await link.receive():
                drawn[message.topic] = msgspec.json.decode(message.payload)["p_actual_kw"]
        speaking.level(10.0)
        while drawn.get(METER_TOPIC) != 10.0:
            for message in await link.receive():
                drawn[message.topic] = msgspec.json.decode(message.payload)["p_actual_kw"]
        heard = await speaking.end()
    assert [(tick.issued_ms, tick.leases) for tick in heard.ticks] == [(now_ms, 1)]
    assert heard.samples >= heard.acknowledged > 2
