"""What holds for every message: what goes out comes back, and nothing that comes in can do harm."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from derms.contract import (
    Decoded,
    Order,
    Refusal,
    Topics,
    decode_controller,
    decode_profile,
    decode_setpoint,
    decode_status,
    decode_telemetry,
    encode_setpoint,
    encode_telemetry,
)
from derms.model import DeviceKind, DeviceStatus, Dialect, Setpoint, Telemetry
from tests.fakes_contract import ENVELOPE, NOW_MS, PLAIN, V1

TOPICS = Topics()
POWERS = st.floats(-1e6, 1e6).map(lambda x: x + 0.0)
MAGNITUDES = st.floats(0, 1e6)
IDS = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
TEXTS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=128)
COUNTS = st.integers(0, 2**63 - 1)
KINDS = st.sampled_from(DeviceKind)


@st.composite
def telemetries(draw: st.DrawFn) -> Telemetry:
    applied = draw(st.none() | st.tuples(COUNTS, COUNTS))
    return Telemetry(
        device_id=draw(IDS),
        kind=draw(KINDS),
        at_ms=NOW_MS + draw(st.integers(-86_400_000, 30_000)),
        p_actual_kw=draw(POWERS),
        p_setpoint_kw=draw(st.none() | POWERS),
        soc=draw(st.none() | st.floats(0, 1)),
        seq=draw(st.none() | COUNTS),
        site_id=draw(st.none() | TEXTS),
        feeder_id=draw(st.none() | TEXTS),
        p_max_kw=draw(st.none() | MAGNITUDES),
        capacity_kwh=draw(st.none() | MAGNITUDES),
        ready_by_ms=draw(st.none() | st.integers(1, 10**13)),
        energy_needed_kwh=draw(st.none() | MAGNITUDES),
        status=draw(st.sampled_from(DeviceStatus)),
        applied_epoch=applied[0] if applied else None,
        applied_seq=applied[1] if applied else None,
    )


def back(topic: str, payload: bytes) -> Telemetry:
    (entry,) = decode_telemetry(TOPICS, topic, payload, now_ms=NOW_MS, speaks_percent=lambda _: False)
    assert isinstance(entry, Decoded), entry
    return entry.telemetry


@given(telemetries())
def test_v1_telemetry_comes_back_whole(telemetry: Telemetry) -> None:
    assert back(*encode_telemetry(TOPICS, telemetry, Dialect.V1)) == telemetry


@given(telemetries(), st.sampled_from([Dialect.PLAIN, Dialect.ENVELOPE]))
def test_the_older_shapes_bring_back_what_they_can_say(telemetry: Telemetry, dialect: Dialect) -> None:
    came = back(*encode_telemetry(TOPICS, telemetry, dialect))
    for field in ("device_id", "kind", "at_ms", "p_actual_kw", "soc", "site_id", "feeder_id"):
        assert getattr(came, field) == getattr(telemetry, field), field
    assert came.dialect is dialect
    if dialect is Dialect.PLAIN:
        assert (came.p_setpoint_kw, came.p_max_kw) == (telemetry.p_setpoint_kw, telemetry.p_max_kw)
    else:
        assert (came.p_max_kw, came.capacity_kwh) == (telemetry.p_max_kw, telemetry.capacity_kwh)


@st.composite
def leases(draw: st.DrawFn) -> Setpoint:
    kind = draw(KINDS)
    issued = draw(st.integers(1, 10**13))
    return Setpoint(
        device_id=draw(IDS),
        kind=kind,
        p_setpoint_kw=draw(st.floats(-1e6, 0).map(lambda x: x + 0.0) if kind is DeviceKind.PV else POWERS),
        issued_at_ms=issued,
        valid_until_ms=issued + draw(st.integers(1, 10**9)),
        epoch=draw(COUNTS),
        seq=draw(COUNTS),
        reason=draw(st.just("") | TEXTS),
    )


@given(leases(), st.sampled_from(Dialect))
def test_a_lease_comes_back_whole_in_every_dialect(setpoint: Setpoint, dialect: Dialect) -> None:
    topic, payload = encode_setpoint(TOPICS, setpoint, dialect)
    assert decode_setpoint(TOPICS, topic, payload, kind=setpoint.kind) == setpoint


TOPIC = st.sampled_from(
    [
        "der/telemetry/ev-001",
        "der/telemetry/pi-der-001",
        "der/telemetry/pv/pi-pv-1",
        "der/gateway/g/telemetry",
        "der/control/ev-001",
        "der/setpoints/ev/ev-001",
        "der/status/ev-001",
        "der/controller/c",
        "der/simulation/profile",
    ]
)


def take_everywhere(topic: str, payload: bytes) -> None:
    entries = decode_telemetry(TOPICS, topic, payload, now_ms=NOW_MS, speaks_percent=lambda _: True)
    assert entries
    assert all(isinstance(entry, Decoded | Refusal) for entry in entries)
    for kind in DeviceKind:
        assert isinstance(decode_setpoint(TOPICS, topic, payload, kind=kind), Setpoint | Order | Refusal)
    decode_status(TOPICS, topic, payload)
    decode_controller(TOPICS, topic, payload)
    decode_profile(TOPICS, topic, payload)


@settings(max_examples=300)
@given(st.text(max_size=80) | TOPIC, st.binary(max_size=300))
def test_no_bytes_raise(topic: str, payload: bytes) -> None:
    take_everywhere(topic, payload)


SETPOINT = b'{"v":1,"device_id":"ev-001","p_setpoint_kw":3.6,"issued_at":1,"valid_until":2,"epoch":7,"seq":1202}'
KEYS = sorted({key for text in (V1, PLAIN, ENVELOPE, SETPOINT) for key in json.loads(text)} | {"readings", "powerKw"})
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.just("ev-001") | st.just(1)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner, max_size=12),
    max_leaves=20,
)


@settings(max_examples=300)
@given(TOPIC, TREES)
def test_no_json_raises(topic: str, tree: Any) -> None:
    take_everywhere(topic, json.dumps(tree).encode())


@settings(max_examples=500)
@given(TOPIC, st.sampled_from([V1, PLAIN, ENVELOPE, SETPOINT]), st.data())
def test_no_damaged_message_raises(topic: str, good: bytes, data: st.DataObject) -> None:
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        damaged = damaged or bytearray(b" ")
    take_everywhere(topic, bytes(damaged))


@given(st.sampled_from([V1, PLAIN, ENVELOPE]), st.data())
def test_no_duplicate_key_passes_wherever_it_stands(good: bytes, data: st.DataObject) -> None:
    """Put any member of any object in a second time."""
    tree = json.loads(good)
    objects = [tree] + [value for value in tree.values() if isinstance(value, dict)]
    chosen = data.draw(st.sampled_from(objects))
    key = data.draw(st.sampled_from(sorted(chosen)))
    member = json.dumps({key: chosen[key]}, separators=(",", ":"))[1:-1]
    whole = json.dumps(chosen, separators=(",", ":"))
    doubled = whole[:-1] + "," + member + "}"
    text = json.dumps(tree, separators=(",", ":")).replace(whole, doubled)
    assert text.count(member) >= 2
    topic = {V1: "der/telemetry/ev-001", PLAIN: "der/telemetry/pi-der-001", ENVELOPE: "der/telemetry/pv/pi-pv-1"}[good]
    (entry,) = decode_telemetry(TOPICS, topic, text.encode(), now_ms=NOW_MS, speaks_percent=lambda _: False)
    assert isinstance(entry, Refusal)
    assert entry.outcome.value == "malformed"
