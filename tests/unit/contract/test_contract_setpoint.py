"""Setpoints out and in again, topics, presence."""

import json
import uuid
from typing import Any

import pytest

from derms.contract import (
    ControllerPresence,
    DeviceOnline,
    Order,
    Refusal,
    SimulationProfile,
    Topics,
    check_device_id,
    decode_controller,
    decode_profile,
    decode_setpoint,
    decode_status,
    encode_controller,
    encode_profile,
    encode_setpoint,
    encode_status,
)
from derms.errors import ConfigError
from derms.model import DeviceKind, Dialect, Outcome, Setpoint
from tests.fakes_contract import NOW_MS, lease

TOPICS = Topics()
CONTROL = "der/control/ev-001"


def pv_lease(p_kw: float) -> Setpoint:
    return lease(device_id="pv-1", kind=DeviceKind.PV, p_setpoint_kw=p_kw)


def test_a_lease_is_pinned_to_the_byte() -> None:
    assert encode_setpoint(TOPICS, lease(), Dialect.V1) == (
        "der/control/ev-001",
        b'{"v":1,"device_id":"ev-001","p_setpoint_kw":3.6,"issued_at":1767225600000,"valid_until":1767225690000,'
        b'"epoch":7,"seq":1202,"reason":"feeder-1 import limit"}',
    )
    assert encode_setpoint(TOPICS, lease(), Dialect.PLAIN) == (
        "der/control/ev-001",
        b'{"device_id":"ev-001","p_setpoint_kw":3.6,"issued_at":1767225600000,"valid_until":1767225690000,'
        b'"epoch":7,"seq":1202,"reason":"feeder-1 import limit"}',
    )
    topic, payload = encode_setpoint(TOPICS, lease(), Dialect.ENVELOPE)
    message_id = json.loads(payload)["messageId"]
    assert uuid.UUID(message_id).version == 5
    assert (topic, payload.replace(message_id.encode(), b"ID")) == (
        "der/setpoints/ev/ev-001",
        b'{"v":1,"messageType":"setpoint","messageId":"ID","deviceId":"ev-001","deviceType":"ev",'
        b'"timestampMs":1767225600000,"sentAtMs":1767225600000,"source":"backend","payload":{"command":'
        b'{"targetPowerKw":3.6,"mode":"charge","validUntilMs":1767225690000},"constraints":{},'
        b'"reason":{"allocator":"feeder-1 import limit","epoch":7,"seq":1202}}}',
    )


@pytest.mark.parametrize(
    ("dialect", "p_kw", "wire_kw"),
    [
        # a PV array may generate at most 4 kW: -4 in the load convention, a cap of +4 in the older shapes
        (Dialect.V1, -4.0, -4.0),
        (Dialect.PLAIN, -4.0, 4.0),
        (Dialect.PLAIN, 0.0, 0.0),
        (Dialect.PLAIN, -0.0, 0.0),
        (Dialect.V1, -0.0, 0.0),
    ],
)
def test_a_generation_cap_has_the_sign_of_the_dialect(dialect: Dialect, p_kw: float, wire_kw: float) -> None:
    topic, payload = encode_setpoint(TOPICS, pv_lease(p_kw), dialect)
    assert str(json.loads(payload)["p_setpoint_kw"]) == str(wire_kw)
    decoded = decode_setpoint(TOPICS, topic, payload, kind=DeviceKind.PV)
    assert isinstance(decoded, Setpoint)
    assert decoded.p_setpoint_kw == p_kw


@pytest.mark.parametrize("dialect", [Dialect.PLAIN, Dialect.ENVELOPE])
def test_a_pv_array_told_to_consume_gets_a_cap_of_zero(dialect: Dialect) -> None:
    topic, payload = encode_setpoint(TOPICS, pv_lease(0.5), dialect)
    decoded = decode_setpoint(TOPICS, topic, payload, kind=DeviceKind.PV)
    assert isinstance(decoded, Setpoint)
    assert decoded.p_setpoint_kw == 0.0


@pytest.mark.parametrize(
    ("kind", "p_kw", "wire_kw", "mode"),
    [
        (DeviceKind.PV, -4.0, 4.0, "discharge"),
        (DeviceKind.PV, 0.0, 0.0, "idle"),
        (DeviceKind.BATTERY, -3.0, -3.0, "discharge"),
        (DeviceKind.BATTERY, 3.0, 3.0, "charge"),
        (DeviceKind.EV, 0.0, 0.0, "idle"),
    ],
)
def test_an_envelope_command_has_a_mode_that_agrees(kind: DeviceKind, p_kw: float, wire_kw: float, mode: str) -> None:
    setpoint = lease(kind=kind, p_setpoint_kw=p_kw)
    topic, payload = encode_setpoint(TOPICS, setpoint, Dialect.ENVELOPE)
    command = json.loads(payload)["payload"]["command"]
    assert (command["targetPowerKw"], command["mode"]) == (wire_kw, mode)
    assert decode_setpoint(TOPICS, topic, payload, kind=kind) == setpoint


@pytest.mark.parametrize(
    ("target_kw", "mode", "p_kw"),
    [(3, "discharge", -3.0), (-3, "discharge", -3.0), (3, "charge", 3.0), (3, "idle", 0.0), (-3, None, -3.0)],
)
def test_where_sign_and_mode_disagree_the_mode_wins(target_kw: float, mode: str | None, p_kw: float) -> None:
    topic, payload = encode_setpoint(TOPICS, lease(kind=DeviceKind.BATTERY), Dialect.ENVELOPE)
    tree = json.loads(payload)
    tree["payload"]["command"] = {"targetPowerKw": target_kw} | ({"mode": mode} if mode else {})
    decoded = decode_setpoint(TOPICS, topic, json.dumps(tree).encode(), kind=DeviceKind.BATTERY)
    assert decoded == Order("ev-001", DeviceKind.BATTERY, p_kw)


@pytest.mark.parametrize(
    ("payload", "order"),
    [
        (b'{"p_setpoint_kw":3}', Order("ev-001", DeviceKind.EV, 3.0)),
        (b'{"deviceId":"ev-001","p_setpoint_kw":0,"timestamp":"2026-01-01T00:00:00Z"}',
         Order("ev-001", DeviceKind.EV, 0.0)),
        (b'{"device_id":"ev-001","p_setpoint_kw":3,"valid_until":1767225690000}',
         Order("ev-001", DeviceKind.EV, 3.0, 1767225690000)),
    ],
)  # fmt: skip
def test_an_older_controllers_setpoint_is_an_order(payload: bytes, order: Order) -> None:
    assert decode_setpoint(TOPICS, CONTROL, payload, kind=DeviceKind.EV) == order


def v1(**changes: Any) -> bytes:
    tree = json.loads(encode_setpoint(TOPICS, lease(), Dialect.V1)[1]) | changes
    return json.dumps({k: v for k, v in tree.items() if v is not ...}).encode()


REFUSED: list[tuple[str, str, bytes, Outcome]] = [
    ("empty", CONTROL, b"", Outcome.MALFORMED),
    ("NaN", CONTROL, v1(p_setpoint_kw=float("nan")), Outcome.MALFORMED),
    ("infinite", CONTROL, v1(p_setpoint_kw=float("-inf")), Outcome.MALFORMED),
    ("bool", CONTROL, v1(p_setpoint_kw=True), Outcome.MALFORMED),
    ("a key twice", CONTROL, v1()[:-1] + b',"p_setpoint_kw":100}', Outcome.MALFORMED),
    ("text", CONTROL, v1(p_setpoint_kw="3"), Outcome.INVALID),
    ("null", CONTROL, v1(p_setpoint_kw=None), Outcome.INVALID),
    ("no power", CONTROL, v1(p_setpoint_kw=...), Outcome.INVALID),
    ("no device", CONTROL, v1(device_id=...), Outcome.INVALID),
    ("no end", CONTROL, v1(valid_until=...), Outcome.INVALID),
    ("no beginning", CONTROL, v1(issued_at=...), Outcome.INVALID),
    ("no epoch", CONTROL, v1(epoch=...), Outcome.INVALID),
    ("no seq", CONTROL, v1(seq=...), Outcome.INVALID),
    ("ends before it begins", CONTROL, v1(valid_until=NOW_MS), Outcome.INVALID),
    ("implausible", CONTROL, v1(p_setpoint_kw=1e7), Outcome.INVALID),
    ("epoch below 0", CONTROL, v1(epoch=-1), Outcome.INVALID),
    ("control characters", CONTROL, v1(reason="\x1b]0;"), Outcome.INVALID),
    ("version 2", CONTROL, v1(v=2), Outcome.UNKNOWN_VERSION),
    ("another device", CONTROL, v1(device_id="ev-002"), Outcome.IDENTITY_MISMATCH),
    ("another kind", "der/setpoints/pv/ev-001", v1(), Outcome.IDENTITY_MISMATCH),
    ("another topic", "der/status/ev-001", v1(), Outcome.INVALID),
    ("too large", CONTROL, v1(reason="x" * 16384), Outcome.TOO_LARGE),
]


@pytest.mark.parametrize(("topic", "payload", "outcome"), [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED])
def test_a_device_names_each_refusal(topic: str, payload: bytes, outcome: Outcome) -> None:
    decoded = decode_setpoint(TOPICS, topic, payload, kind=DeviceKind.EV)
    assert isinstance(decoded, Refusal), decoded
    assert decoded.outcome is outcome


def test_a_negative_cap_in_the_plain_shape_is_not_guessed_at() -> None:
    decoded = decode_setpoint(TOPICS, "der/control/pv-1", b'{"p_setpoint_kw":-4}', kind=DeviceKind.PV)
    assert isinstance(decoded, Refusal)
    assert decoded.outcome is Outcome.INVALID


@pytest.mark.parametrize("good", ["a", "0", "ev-001", "A.b_c-d", "x" * 64])
def test_good_names_pass(good: str) -> None:
    assert check_device_id(good)


@pytest.mark.parametrize("bad", ["", "-a", ".a", "a/b", "a+", "#", "a b", "a\n", "ä", "x" * 65, "a\x00", "$SYS"])
def test_names_that_could_harm_a_topic_do_not(bad: str) -> None:
    assert not check_device_id(bad)


@pytest.mark.parametrize("prefix", ["", "/", "der/", "/der", "a//b", "a+", "#", "a b", "$SYS", "x" * 129])
def test_a_prefix_that_cannot_stand_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError, match="topic prefix"):
        Topics(prefix)


def test_every_topic_stands_under_the_prefix() -> None:
    topics = Topics("site-4/der")
    assert topics.telemetry("a") == "site-4/der/telemetry/a"
    assert topics.simulation_profile == "site-4/der/simulation/profile"
    assert [*topics.telemetry_subscriptions(), *topics.order_subscriptions()] == [
        ("site-4/der/telemetry/+", 1),
        ("site-4/der/telemetry/+/+", 1),
        ("site-4/der/gateway/+/telemetry", 1),
        ("site-4/der/status/+", 1),
        ("site-4/der/control/+", 1),
        ("site-4/der/setpoints/+/+", 1),
    ]
    assert topics.agent_subscriptions(DeviceKind.EV, "a", Dialect.PLAIN) == [("site-4/der/control/a", 1)]
    assert topics.agent_subscriptions(DeviceKind.EV, "a", Dialect.ENVELOPE) == [("site-4/der/setpoints/ev/a", 1)]


def test_status_is_two_words() -> None:
    assert decode_status(TOPICS, "der/status/a", encode_status(True)) == DeviceOnline("a", True)
    assert decode_status(TOPICS, "der/status/a", encode_status(False)) == DeviceOnline("a", False)
    for topic, payload in (("der/status/a", b"ONLINE"), ("der/status/a", b""), ("der/status/+", b"online")):
        assert isinstance(decode_status(TOPICS, topic, payload), Refusal)


def test_a_controller_says_who_is_in_charge() -> None:
    presence = ControllerPresence(controller_id="c-1", epoch=7, heartbeat_ms=NOW_MS, version="0.1.0", online=True)
    topic, payload = encode_controller(TOPICS, presence)
    assert topic == "der/controller/c-1"
    assert payload == (
        b'{"v":1,"controller_id":"c-1","epoch":7,"heartbeat":1767225600000,"version":"0.1.0","online":true}'
    )
    assert decode_controller(TOPICS, topic, payload) == presence
    commanding = ControllerPresence(
        controller_id="c-1", epoch=7, heartbeat_ms=NOW_MS, version="0.1.0", online=True, commands=("feeder-1", "f-2")
    )
    topic, payload = encode_controller(TOPICS, commanding)
    assert payload.endswith(b',"commands":["feeder-1","f-2"]}')
    assert decode_controller(TOPICS, topic, payload) == commanding
    for bad in (b"", b"{}", payload.replace(b"c-1", b"c-2"), payload.replace(b'"v":1', b'"v":2')):
        assert isinstance(decode_controller(TOPICS, topic, bad), Refusal)


@pytest.mark.parametrize("profile", list(SimulationProfile))
def test_the_simulators_hour_is_one_word(profile: SimulationProfile) -> None:
    topic, payload = encode_profile(TOPICS, profile)
    assert (topic, payload) == ("der/simulation/profile", profile.value.encode())
    assert decode_profile(TOPICS, topic, payload) is profile
    assert isinstance(decode_profile(TOPICS, topic, b"noon\xff"), Refusal)
