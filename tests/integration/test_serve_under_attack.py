"""Someone who may publish sends garbage while a feeder is controlled: it is counted, and nothing else happens."""

import json
import random
import time
from collections.abc import Iterator

from tests.processes import eventually
from tests.stage import DEVICES, Stack, query, stored_samples
from tests.wire import connected

STRANGERS = 300


def _v1(device_id: str, **changes: object) -> bytes:
    message = {"v": 1, "device_id": device_id, "type": "ev", "ts": time.time_ns() // 1_000_000, "p_actual_kw": 0.0}
    return json.dumps({**message, **changes}).encode()


def _garbage(rng: random.Random) -> Iterator[tuple[str, str, bytes]]:
    """Outcome, topic and payload of messages that must be refused."""
    now_ms = time.time_ns() // 1_000_000
    to = "der/telemetry/ev-003"
    yield from [
        ("malformed", to, rng.randbytes(200)),
        ("malformed", to, b""),
        ("malformed", to, b"null"),
        ("malformed", to, b"[]"),
        ("malformed", to, b"[" * 10_000),
        ("malformed", to, b'{"v":1,"v":1}'),
        ("malformed", to, _v1("ev-003", p_actual_kw=float("nan"))),
        ("malformed", to, _v1("ev-003", p_actual_kw=float("inf"))),
        ("malformed", to, _v1("ev-003").replace(b'"p_actual_kw": 0.0', b'"p_actual_kw": 1e999')),
        ("malformed", to, _v1("ev-003", p_actual_kw=True)),
        ("too_large", to, _v1("ev-003", site_id="x" * 20_000)),
        ("too_large", to, b"x" * 2_000_000),
        ("unknown_version", to, _v1("ev-003", v=2)),
        ("invalid", to, _v1("ev-003", p_actual_kw=1e9)),
        ("invalid", to, _v1("ev-003", type="toaster")),
        ("invalid", to, _v1("ev-003", soc=1.5)),
        ("invalid", to, b"{}"),
        ("identity_mismatch", to, _v1("ev-004")),
        ("identity_mismatch", to, _v1("ev-003", type="pv")),
        ("from_the_future", to, _v1("ev-003", ts=now_ms + 3_600_000)),
        ("too_old", to, _v1("ev-003", ts=1)),
        ("invalid", "der/telemetry/-bad", _v1("-bad")),
        ("invalid", "der/telemetry/ev/\N{SNOWMAN}", _v1("ev-003")),
        ("malformed", "der/telemetry/pv/pv-001", b'{"v":1,"messageType":'),
        ("malformed", "der/gateway/g-1/telemetry", b"{}"),
        ("identity_mismatch", "der/gateway/g-1/telemetry", b"[" + _v1("ev-003") + b"]"),
        ("invalid", "der/status/ev-003", b"maybe"),
    ]


def test_a_flood_of_garbage_is_counted_and_changes_nothing(stack: Stack) -> None:
    eventually(lambda: len(stack.daemon.ask("/api/devices")["devices"]) >= DEVICES, "all devices are registered")
    eventually(lambda: len({lease.device_id for lease in stack.wire.leases()}) >= DEVICES - 3, "leases")
    limits = stack.daemon.ask("/api/devices")["devices"]
    rng = random.Random(7)
    expected: dict[str, int] = {}
    logged = len(stack.daemon.stderr.splitlines())
    refused = 'derms_messages_total{outcome="%s"}'
    before = {outcome: stack.daemon.metric(refused % outcome) for outcome, *_ in _garbage(rng)}
    with connected(stack.broker_url, "vandal") as vandal:
        sent = []
        for _ in range(10):
            for outcome, topic, payload in _garbage(rng):
                expected[outcome] = expected.get(outcome, 0) + 1
                sent.append(vandal.publish(topic, payload, qos=1))
        for message in sent:
            message.wait_for_publish(20.0)
    for outcome, count in expected.items():
        name = refused % outcome
        eventually(lambda n=name, o=outcome, c=count: stack.daemon.metric(n) >= before[o] + c, f"{outcome}: {count}")  # type: ignore[misc]  # mypy infers no lambda with defaults
        assert stack.daemon.metric(name) == before[outcome] + count, outcome
    now = stack.daemon.ask("/api/devices")["devices"]
    assert [device["device_id"] for device in now] == [device["device_id"] for device in limits]
    assert [device["p_import_max_kw"] for device in now] == [device["p_import_max_kw"] for device in limits]
    assert stack.daemon.health() == {"mqtt": "ok", "store": "ok", "loop": "ok", "leader": "ok"}
    assert len(stack.daemon.stderr.splitlines()) < logged + 100, (
        "each kind of refusal is logged once a minute for a device"
    )


def test_hundreds_of_strangers_cannot_make_the_feeder_exceed_its_limit(stack: Stack) -> None:
    since_ms = time.time_ns() // 1_000_000
    with connected(stack.broker_url, "crowd") as crowd:
        messages = [
            crowd.publish(f"der/telemetry/{name}", _v1(name, p_max_kw=rng_kw), qos=1)
            for number in range(STRANGERS)
            for name, rng_kw in [(f"stranger-{number:03}", 7.0)]
        ]
        for message in messages:
            message.wait_for_publish(20.0)
    eventually(
        lambda: len(stack.daemon.ask("/api/devices")["devices"]) == DEVICES + STRANGERS, "all of them are registered"
    )
    eventually(
        lambda: query(stack.database_url, "SELECT count(*) FROM devices")[0][0] == DEVICES + STRANGERS, "and stored"
    )

    def heads() -> list[float]:
        return [p_kw for name, at_ms, _, p_kw, _ in stack.wire.samples()
                if name == "meter-feeder-1" and at_ms > since_ms]  # fmt: skip

    eventually(lambda: len(heads()) > 12, "six more seconds")
    assert max(heads()) <= stack.limit_kw
    assert stack.daemon.metric("derms_tick_failures_total") == 0.0
    assert stack.daemon.metric('derms_recorder_rows_total{result="lost"}') == 0.0
    mine = {sample[:3] for sample in stack.wire.samples() if sample[0].startswith("stranger")}
    eventually(lambda: mine <= set(stored_samples(stack.database_url)), "what was acknowledged is stored")
    told = {lease.device_id: lease.p_kw for lease in stack.wire.leases() if lease.device_id.startswith("stranger")}
    assert sum(told.values()) <= stack.limit_kw


def test_a_stranger_cannot_take_the_place_of_the_controller_by_its_retained_words(stack: Stack) -> None:
    """What others write on the topics of the controller is not read by it."""
    with connected(stack.broker_url, "usurper") as usurper:
        for topic, payload in [
            ("der/controller/usurper", b'{"v":1,"controller_id":"usurper","epoch":99,"online":true}'),
            ("der/control/ev-003", b"nonsense"),
            ("der/simulation/profile", b"doomsday"),
        ]:
            usurper.publish(topic, payload, qos=1).wait_for_publish(10.0)
    ticks = stack.daemon.ask("/api/feeder/summary")["feeders"][0]["tick"]
    eventually(lambda: stack.daemon.ask("/api/feeder/summary")["feeders"][0]["tick"] > ticks + 3, "it goes on ticking")
    assert stack.daemon.ask("/api/feeder/summary")["feeders"][0]["epoch"] == 1
    assert stack.sim.running
    assert "Traceback" not in stack.daemon.stderr + stack.sim.stderr
