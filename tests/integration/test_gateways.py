"""A gateway speaks for devices behind it, through a real broker into a real database."""

import json
import time

from tests.processes import eventually
from tests.stage import Stack, stored_samples
from tests.wire import connected


def _array(*device_ids: str) -> bytes:
    now_ms = time.time_ns() // 1_000_000
    return json.dumps(
        [{"v": 1, "device_id": name, "type": "ev", "ts": now_ms, "p_actual_kw": 0.0} for name in device_ids]
    ).encode()


def test_what_a_gateway_sends_is_stored_before_it_is_acknowledged_and_its_devices_get_leases(stack: Stack) -> None:
    eventually(lambda: "ev-003" in {one["device_id"] for one in stack.daemon.ask("/api/devices")["devices"]}, "ev-003")
    refused = 'derms_messages_total{outcome="identity_mismatch"}'
    before = stack.daemon.metric(refused)
    with connected(stack.broker_url, "gw-1") as gateway, connected(stack.broker_url, "gw-2") as other:
        message = gateway.publish("der/gateway/gw-1/telemetry", _array("behind-1", "behind-2", "ev-003"), qos=1)
        message.wait_for_publish(20.0)
        eventually(
            lambda: {name for name, *_ in stored_samples(stack.database_url)} >= {"behind-1", "behind-2"}, "stored"
        )
        other.publish("der/gateway/gw-2/telemetry", _array("behind-1"), qos=1).wait_for_publish(20.0)
        other.publish("der/telemetry/behind-2", json.dumps(json.loads(_array("behind-2"))[0]), qos=1)
        eventually(lambda: stack.daemon.metric(refused) == before + 3, "who may not speak is counted")
    found = stack.daemon.ask("/api/devices?gateway_id=gw-1")["devices"]
    assert [device["device_id"] for device in found] == ["behind-1", "behind-2"]
    eventually(
        lambda: {"behind-1", "behind-2"} <= {lease.device_id for lease in stack.wire.leases()}, "leases of their own"
    )
