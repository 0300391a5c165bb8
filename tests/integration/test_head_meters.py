"""Head meters are heard on a connection of their own, whatever stands before them on the other."""

import random
from pathlib import Path

from derms.contract import encode_telemetry
from derms.model import Device, DeviceKind, Dialect, Feeder, Telemetry
from derms.mqtt import MqttLink, parse_broker_url
from derms.runtime import running
from derms.serve.lane import MeterLane
from tests.brokers import RunningBroker, until
from tests.plant import Rig, running_rig

FEEDER = Feeder(feeder_id="feeder-1", import_limit_kw=20.0)


async def _heard(rig: Rig, writer: MqttLink, device_id: str, p_kw: float, dialect: Dialect = Dialect.V1) -> None:
    """Let a meter say something until it is known."""
    row = rig.fleet.row(device_id)
    assert row is not None
    seq, until_s = 0, rig.clock.monotonic_s() + 30.0
    while rig.clock.monotonic_s() < until_s:
        seq += 1
        reading = Telemetry(
            device_id=device_id, kind=DeviceKind.METER, at_ms=rig.clock.now_ms(), p_actual_kw=p_kw, seq=seq,
            dialect=dialect,
        )  # fmt: skip
        topic, payload = encode_telemetry(rig.topics, reading, dialect)
        await writer.publish(topic, payload)
        known = rig.fleet.readings[row]
        if known is not None and known.p_actual_kw == p_kw:
            return
    raise AssertionError(f"{device_id} was not heard")


async def test_head_meters_are_heard_while_the_feed_brings_nothing_and_so_are_those_that_join(
    mosquitto_broker: RunningBroker, tmp_path: Path
) -> None:
    address, rng = parse_broker_url(mosquitto_broker.url), random.Random(1)
    async with running_rig(tmp_path, FEEDER) as rig:
        rig.fleet.register(Device(device_id="ev-1", kind=DeviceKind.EV, feeder_id="feeder-1"))
        lane = MeterLane(
            link=lambda heard: MqttLink(address, client_id="lane", subscriptions=heard, rng=rng),
            fleet=rig.fleet, topics=rig.topics, ingest=rig.ingest,
        )  # fmt: skip
        async with running({"meters": lane.run}), MqttLink(address, client_id="head", rng=rng) as writer:
            await writer.wait_connected(10.0)
            rig.fleet.register(Device(device_id="head", kind=DeviceKind.METER, feeder_id="feeder-1"))
            await _heard(rig, writer, "head", 3.0)
            ticks = rig.loop.trees[0].ticks
            await _heard(rig, writer, "head", 30.0)
            await until(lambda: rig.loop.trees[0].ticks > ticks)
            envelope = Device(
                device_id="head-2", kind=DeviceKind.METER, feeder_id="feeder-1", dialect=Dialect.ENVELOPE
            )  # fmt: skip
            rig.fleet.register(envelope)
            await _heard(rig, writer, "head-2", 4.0, Dialect.ENVELOPE)
            await _heard(rig, writer, "head", 5.0)
        assert not rig.store.samples, "what is to be kept comes on the feed"
        assert rig.outcomes() == {}
