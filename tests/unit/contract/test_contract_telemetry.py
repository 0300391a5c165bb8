"""Telemetry in three shapes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derms.contract import (
    MAX_AGE_MS,
    MAX_GATEWAY_BYTES,
    MAX_GATEWAY_SAMPLES,
    MAX_MESSAGE_BYTES,
    Decoded,
    Refusal,
    Topics,
    decode_telemetry,
    encode_telemetry,
)
from derms.model import DeviceKind, DeviceStatus, Dialect, Outcome, Telemetry
from tests.fakes_contract import ENVELOPE, NOW_MS, PLAIN, V1

TOPICS = Topics()
EV, PI, PV = "der/telemetry/ev-001", "der/telemetry/pi-der-001", "der/telemetry/pv/pi-pv-1"


def decode(topic: str, payload: bytes, *, percent: bool = False, now_ms: int = NOW_MS) -> Decoded | Refusal:
    entries = decode_telemetry(TOPICS, topic, payload, now_ms=now_ms, speaks_percent=lambda _: percent)
    assert len(entries) == 1
    return entries[0]


def understood(topic: str, payload: bytes, *, percent: bool = False) -> Telemetry:
    entry = decode(topic, payload, percent=percent)
    assert isinstance(entry, Decoded), entry
    return entry.telemetry


def changed(payload: bytes, /, **changes: Any) -> bytes:
    """The message with keys changed, or with `...` removed."""
    tree = json.loads(payload) | changes
    return json.dumps({k: v for k, v in tree.items() if v is not ...}).encode()


def in_payload(part: str, **changes: Any) -> bytes:
    tree = json.loads(ENVELOPE)
    tree["payload"][part] = tree["payload"].get(part, {}) | changes
    return json.dumps(tree).encode()


def test_v1_is_read_field_by_field() -> None:
    assert understood(EV, V1) == Telemetry(
        device_id="ev-001",
        kind=DeviceKind.EV,
        at_ms=NOW_MS,
        p_actual_kw=3.61,
        p_setpoint_kw=3.6,
        soc=0.42,
        seq=812,
        site_id="house-01",
        p_max_kw=7.2,
        capacity_kwh=60.0,
        ready_by_ms=1767250800000,
        applied_epoch=7,
        applied_seq=1201,
    )


@pytest.mark.parametrize(("said", "read"), [(11.5, 11.5), (0, 0.0), (1_000_000, 1e6), (None, None), (..., None)])
def test_a_session_may_ask_for_energy(said: Any, read: float | None) -> None:
    telemetry = understood(EV, changed(V1, energy_needed_kwh=said))
    assert telemetry.energy_needed_kwh == read
    sent = json.loads(encode_telemetry(TOPICS, telemetry, Dialect.V1)[1])
    assert sent.get("energy_needed_kwh", None) == read
    assert ("energy_needed_kwh" in sent) is (read is not None)


def test_the_least_v1_message_is_enough() -> None:
    least = b'{"v":1,"device_id":"m","type":"meter","ts":1767225600000,"p_actual_kw":0}'
    assert understood("der/telemetry/m", least) == Telemetry(
        device_id="m", kind=DeviceKind.METER, at_ms=NOW_MS, p_actual_kw=0.0
    )


def test_plain_is_read_field_by_field() -> None:
    assert understood(PI, PLAIN) == Telemetry(
        device_id="pi-der-001",
        kind=DeviceKind.BATTERY,
        at_ms=NOW_MS,
        p_actual_kw=1.5,
        p_setpoint_kw=1.5,
        soc=0.5,
        site_id="home-site",
        p_max_kw=5.0,
        dialect=Dialect.PLAIN,
    )


def test_envelope_is_read_field_by_field() -> None:
    assert understood(PV, ENVELOPE) == Telemetry(
        device_id="pi-pv-1",
        kind=DeviceKind.PV,
        at_ms=NOW_MS,
        p_actual_kw=-4.25,
        site_id="roof",
        feeder_id="feeder-1",
        p_max_kw=6.0,
        dialect=Dialect.ENVELOPE,
        source="pi-agent",
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"deviceId": ..., "device_id": "pi-der-001"},
        {"deviceId": ...},
        {"timestamp": ..., "ts": "2026-01-01T00:00:00Z"},
        {"timestamp": "2026-01-01T01:00:00+01:00"},
        {"timestamp": "2026-01-01T00:00:00"},
        {"timestamp": "2026-01-01 00:00:00.000"},
        {"timestamp": NOW_MS},
        {"site_id": "home-site", "firmware": {"v": 3, "text": "a:b"}},
    ],
)
def test_plain_takes_every_spelling_of_the_field(changes: dict[str, Any]) -> None:
    assert understood(PI, changed(PLAIN, **changes)) == understood(PI, PLAIN)


def test_a_plain_message_that_mentions_v_as_a_value_is_still_plain() -> None:
    assert understood(PI, changed(PLAIN, site_id="v")).site_id == "v"
    assert understood(PI, changed(PLAIN, site_id='Käfer\\"v"')).site_id == 'Käfer\\"v"'


def test_an_escaped_v_makes_it_v1() -> None:
    assert understood(EV, V1.replace(b'"v"', b'"\\u0076"')) == understood(EV, V1)


@pytest.mark.parametrize(
    ("topic", "payload", "p_kw", "setpoint_kw"),
    [
        # PV counts generation as positive in the plain shape: 4.2 -> -4.2 once; night use -0.1 -> +0.1
        (PI, changed(PLAIN, type="pv", p_actual_kw=4.2, p_setpoint_kw=5), -4.2, -5.0),
        (PI, changed(PLAIN, type="pv", p_actual_kw=-0.1, p_setpoint_kw=None), 0.1, None),
        (PI, changed(PLAIN, type="battery", p_actual_kw=-2, p_setpoint_kw=-2), -2.0, -2.0),
        # v1 speaks the load convention already
        (EV, changed(V1, type="pv", p_actual_kw=-4.2, p_setpoint_kw=-5), -4.2, -5.0),
        (PV, in_payload("readings", powerKw=-0.1), 0.1, None),
    ],
)
def test_signs_end_in_the_load_convention(topic: str, payload: bytes, p_kw: float, setpoint_kw: float | None) -> None:
    telemetry = understood(topic, payload)
    assert (telemetry.p_actual_kw, telemetry.p_setpoint_kw) == (p_kw, setpoint_kw)


@pytest.mark.parametrize("zero", ["0", "0.0", "-0.0", "-0"])
def test_no_zero_comes_out_negative(zero: str) -> None:
    for topic, payload in (
        (EV, V1.replace(b"3.61", zero.encode()).replace(b":3.6,", f":{zero},".encode())),
        (PI, PLAIN.replace(b"battery", b"pv").replace(b":1.5,", f":{zero},".encode())),
        (PV, ENVELOPE.replace(b"4.25", zero.encode())),
    ):
        telemetry = understood(topic, payload)
        assert str(telemetry.p_actual_kw) == "0.0"
        assert str(telemetry.p_setpoint_kw) in ("0.0", "None")


@pytest.mark.parametrize(
    ("sent", "spoke_before", "soc", "shows"),
    [
        (0.42, False, 0.42, False),
        (1, False, 1.0, False),
        (42, False, 0.42, True),
        (1.5, False, 0.015, True),
        # it spoke percent before: 0.8 is 0.8 %
        (0.8, True, 0.008, False),
        (100, True, 1.0, True),
        (0, True, 0.0, False),
    ],
)
def test_soc_ends_as_a_fraction(sent: float, spoke_before: bool, soc: float, shows: bool) -> None:
    for topic, payload in ((PI, changed(PLAIN, soc=sent)), (PV, in_payload("readings", soc=sent))):
        entry = decode(topic, payload, percent=spoke_before)
        assert isinstance(entry, Decoded)
        assert entry.telemetry.soc == pytest.approx(soc)
        assert entry.spoke_percent is shows


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"online": True}, DeviceStatus.OK),
        ({"online": False}, DeviceStatus.UNAVAILABLE),
        ({"online": True, "faultCode": "E12"}, DeviceStatus.FAULT),
        ({"online": False, "faultCode": 3}, DeviceStatus.FAULT),
        ({"online": True, "faultCode": None}, DeviceStatus.OK),
        ({"online": True, "faultCode": ""}, DeviceStatus.OK),
    ],
)
def test_envelope_status_becomes_ours(status: dict[str, Any], expected: DeviceStatus) -> None:
    assert understood(PV, in_payload("status", **status)).status is expected


OUTCOMES: list[tuple[str, str, bytes, Outcome]] = [
    ("not JSON", EV, b"hello", Outcome.MALFORMED),
    ("empty", EV, b"", Outcome.MALFORMED),
    ("cut off", EV, V1[:-1], Outcome.MALFORMED),
    ("cut off after a wrong type", EV, b'{"v":1,"device_id":3,', Outcome.MALFORMED),
    ("something after it", EV, V1 + b"x", Outcome.MALFORMED),
    ("an array", EV, b"[" + V1 + b"]", Outcome.MALFORMED),
    ("a string", EV, b'"v"', Outcome.MALFORMED),
    ("null", EV, b"null", Outcome.MALFORMED),
    ("deep nesting", EV, V1[:-1] + b',"x":' + b"[" * 16 + b"]" * 16 + b"}", Outcome.MALFORMED),
    ("deeper than the stack", EV, V1[:-1] + b',"x":' + b"[" * 7000 + b"]" * 7000 + b"}", Outcome.MALFORMED),
    ("open brackets only", EV, b"[" * 16_000, Outcome.MALFORMED),
    ("a key twice", EV, V1.replace(b'"seq":812', b'"seq":812,"seq":813'), Outcome.MALFORMED),
    ("a key twice, the same value", EV, V1.replace(b'"v":1', b'"v":1,"v":1'), Outcome.MALFORMED),
    ("a key twice, once escaped", EV, V1.replace(b'"v":1', b'"\\u0076":1,"v":1'), Outcome.MALFORMED),
    ("a key twice behind an escaped colon", EV, V1.replace(b"house-01", b"\\u003a").replace(b'"v":1', b'"v":1,"v":1'),
     Outcome.MALFORMED),
    ("a key twice inside", EV, V1.replace(b'"epoch":7', b'"epoch":7,"epoch":8'), Outcome.MALFORMED),
    ("an unknown key twice", EV, V1.replace(b'"v":1', b'"v":1,"x":1,"x":2'), Outcome.MALFORMED),
    ("a plain key twice", PI, PLAIN.replace(b'"soc":0.5', b'"soc":0.5,"soc":0.6'), Outcome.MALFORMED),
    # the escaped colon is missing from the count by as much as the second key adds to it
    ("a plain key twice behind an escaped colon", PI,
     PLAIN.replace(b"T00:00", b"T00\\u003a00").replace(b'"soc":0.5', b'"soc":0.5,"soc":0.6'), Outcome.MALFORMED),
    ("NaN", EV, V1.replace(b"3.61", b"NaN"), Outcome.MALFORMED),
    ("Infinity", EV, V1.replace(b"3.61", b"-Infinity"), Outcome.MALFORMED),
    ("1e999", EV, V1.replace(b"3.61", b"1e999"), Outcome.MALFORMED),
    ("1e999 in an unknown field", EV, V1.replace(b'"v":1', b'"v":1,"x":1e999'), Outcome.MALFORMED),
    ("400 digits", EV, V1.replace(b"3.61", b"9" * 400), Outcome.MALFORMED),
    ("5000 digits", EV, V1.replace(b"812", b"9" * 5000), Outcome.MALFORMED),
    ("bool for a number", EV, V1.replace(b"3.61", b"true"), Outcome.MALFORMED),
    ("bool for a version", EV, V1.replace(b'"v":1', b'"v":true'), Outcome.MALFORMED),
    ("bool for an inner number", EV, V1.replace(b'"epoch":7', b'"epoch":false'), Outcome.MALFORMED),
    ("bool for a plain number", PI, PLAIN.replace(b'"soc":0.5', b'"soc":true'), Outcome.MALFORMED),
    ("bool for an envelope number", PV, ENVELOPE.replace(b"4.25", b"true"), Outcome.MALFORMED),
    ("not UTF-8", EV, V1.replace(b"house-01", b"\xff\xfe"), Outcome.MALFORMED),
    ("not UTF-8 in an unknown field", EV, V1.replace(b'"v":1', b'"v":1,"x":"\xc3"'), Outcome.MALFORMED),
    ("a byte order mark", EV, b"\xef\xbb\xbf" + V1, Outcome.MALFORMED),
    ("UTF-16", EV, V1.decode().encode("utf-16"), Outcome.MALFORMED),
    ("no device", EV, changed(V1, device_id=...), Outcome.INVALID),
    ("no type", EV, changed(V1, type=...), Outcome.INVALID),
    ("no time", EV, changed(V1, ts=...), Outcome.INVALID),
    ("no power", EV, changed(V1, p_actual_kw=...), Outcome.INVALID),
    ("unknown type", EV, changed(V1, type="heatpump"), Outcome.INVALID),
    ("text for a number", EV, changed(V1, p_actual_kw="3.6"), Outcome.INVALID),
    ("null for power", EV, changed(V1, p_actual_kw=None), Outcome.INVALID),
    ("number for text", EV, changed(V1, device_id=7), Outcome.INVALID),
    ("fraction for an instant", EV, changed(V1, ts=1.5), Outcome.INVALID),
    ("instant before 1970", EV, changed(V1, ts=-1), Outcome.INVALID),
    ("soc above 1", EV, changed(V1, soc=1.01), Outcome.INVALID),
    ("soc below 0", EV, changed(V1, soc=-0.01), Outcome.INVALID),
    ("implausible power", EV, changed(V1, p_actual_kw=1_000_001), Outcome.INVALID),
    ("implausible export", EV, changed(V1, p_actual_kw=-1_000_001), Outcome.INVALID),
    ("negative rating", EV, changed(V1, p_max_kw=-1), Outcome.INVALID),
    ("negative energy need", EV, changed(V1, energy_needed_kwh=-0.1), Outcome.INVALID),
    ("implausible energy need", EV, changed(V1, energy_needed_kwh=1_000_001), Outcome.INVALID),
    ("text for an energy need", EV, changed(V1, energy_needed_kwh="11"), Outcome.INVALID),
    ("bool for an energy need", EV, changed(V1, energy_needed_kwh=True), Outcome.MALFORMED),
    ("NaN for an energy need", EV, changed(V1, energy_needed_kwh=float("nan")), Outcome.MALFORMED),
    ("unknown status", EV, changed(V1, status="sleepy"), Outcome.INVALID),
    ("NUL in a text", EV, changed(V1, site_id="a\x00b"), Outcome.INVALID),
    ("terminal codes in a text", EV, changed(V1, site_id="\x1b[2J"), Outcome.INVALID),
    ("half a surrogate", EV, V1.replace(b"house-01", b"\\ud800"), Outcome.MALFORMED),
    ("a long text", EV, changed(V1, site_id="x" * 129), Outcome.INVALID),
    ("seq beyond 63 bits", EV, changed(V1, seq=2**63), Outcome.INVALID),
    ("plain without time", PI, changed(PLAIN, timestamp=...), Outcome.INVALID),
    ("plain with no date", PI, changed(PLAIN, timestamp="yesterday"), Outcome.INVALID),
    ("plain with a date only", PI, changed(PLAIN, timestamp="2026-01-01"), Outcome.INVALID),
    ("plain before 1970", PI, changed(PLAIN, timestamp="1969-12-31T23:59:59Z"), Outcome.INVALID),
    ("plain in year 1", PI, changed(PLAIN, timestamp="0001-01-01T00:00:00+14:00"), Outcome.INVALID),
    ("plain soc above 100", PI, changed(PLAIN, soc=100.1), Outcome.INVALID),
    ("envelope of another type of message", PV, ENVELOPE.replace(b'"telemetry"', b'"setpoint"'), Outcome.INVALID),
    ("envelope without readings", PV, changed(ENVELOPE, payload={}), Outcome.INVALID),
    ("version 2", EV, changed(V1, v=2), Outcome.UNKNOWN_VERSION),
    ("version 2 of other fields", EV, b'{"v":2,"id":"ev-001"}', Outcome.UNKNOWN_VERSION),
    ("version text", EV, changed(V1, v="2.0"), Outcome.UNKNOWN_VERSION),
    ("envelope version 2", PV, changed(ENVELOPE, v=2), Outcome.UNKNOWN_VERSION),
    ("another device", EV, changed(V1, device_id="ev-002"), Outcome.IDENTITY_MISMATCH),
    ("another device, plain", PI, changed(PLAIN, deviceId="ev-002"), Outcome.IDENTITY_MISMATCH),
    ("two names in one, plain", PI, changed(PLAIN, device_id="ev-002"), Outcome.IDENTITY_MISMATCH),
    ("another device, envelope", PV, changed(ENVELOPE, deviceId="x"), Outcome.IDENTITY_MISMATCH),
    ("another kind, envelope", PV, changed(ENVELOPE, deviceType="ev"), Outcome.IDENTITY_MISMATCH),
    ("31 s ahead", EV, changed(V1, ts=NOW_MS + 30_001), Outcome.FROM_THE_FUTURE),
    ("31 s ahead, plain", PI, changed(PLAIN, timestamp="2026-01-01T00:00:31Z"), Outcome.FROM_THE_FUTURE),
    ("31 s ahead, envelope", PV, changed(ENVELOPE, timestampMs=NOW_MS + 30_001), Outcome.FROM_THE_FUTURE),
    ("older than a day", EV, changed(V1, ts=NOW_MS - MAX_AGE_MS - 1), Outcome.TOO_OLD),
    ("a Pi that thinks it is 1970", EV, changed(V1, ts=1), Outcome.TOO_OLD),
    ("no telemetry topic", "der/control/ev-001", V1, Outcome.INVALID),
    ("another prefix", "other/telemetry/ev-001", V1, Outcome.INVALID),
    ("a bad name in the topic", "der/telemetry/-ev", V1, Outcome.INVALID),
    ("an unknown kind in the topic", "der/telemetry/toaster/x", ENVELOPE, Outcome.INVALID),
]  # fmt: skip


@pytest.mark.parametrize(("topic", "payload", "outcome"), [row[1:] for row in OUTCOMES], ids=[r[0] for r in OUTCOMES])
def test_each_refusal_has_its_name(topic: str, payload: bytes, outcome: Outcome) -> None:
    entry = decode(topic, payload)
    assert isinstance(entry, Refusal), entry
    assert entry.outcome is outcome, entry.detail
    assert entry.detail


@pytest.mark.parametrize("ts", [NOW_MS + 30_000, NOW_MS - MAX_AGE_MS])
def test_the_edges_of_time_are_inside(ts: int) -> None:
    assert isinstance(decode(EV, changed(V1, ts=ts)), Decoded)


def test_size_is_judged_before_anything_is_read() -> None:
    padded = V1 + b" " * (MAX_MESSAGE_BYTES - len(V1))
    assert isinstance(decode(EV, padded), Decoded)
    for payload in (padded + b" ", b"[" * 10_000_000):
        entry = decode(EV, payload)
        assert isinstance(entry, Refusal)
        assert entry.outcome is Outcome.TOO_LARGE


def test_fields_we_do_not_know_are_ignored() -> None:
    extended = changed(V1, firmware="1.2:3", extra={"soc": True, "list": [1, 'a"b', None]})
    assert understood(EV, extended) == understood(EV, V1)


def test_sixteen_levels_are_not_too_deep() -> None:
    payload = V1[:-1] + b',"x":' + b"[" * 15 + b"]" * 15 + b"}"
    assert isinstance(decode(EV, payload), Decoded)
    brackets_in_text = V1[:-1] + b',"x":"' + b"[" * 100 + b'\\"' + b"{" * 100 + b'"}'
    assert isinstance(decode(EV, brackets_in_text), Decoded)


def test_null_is_the_same_as_absent() -> None:
    nulls = changed(V1, soc=None, seq=None, site_id=None, p_max_kw=None, applied=None, status=None, ready_by=None)
    absent = changed(V1, soc=..., seq=..., site_id=..., p_max_kw=..., applied=..., status=..., ready_by=...)
    assert understood(EV, nulls) == understood(EV, absent)


def test_a_gateway_speaks_for_many_and_each_has_its_own_outcome() -> None:
    array = b"[" + b",".join([V1, PLAIN, changed(V1, v=2), b"3", changed(PLAIN, deviceId=...), b'{"a":1,"a":2}']) + b"]"
    entries = decode_telemetry(
        TOPICS, "der/gateway/gw-1/telemetry", array, now_ms=NOW_MS, speaks_percent=lambda _: False
    )
    first, second, *rest = entries
    assert isinstance(first, Decoded)
    assert isinstance(second, Decoded)
    assert (first.telemetry.device_id, first.gateway_id) == ("ev-001", "gw-1")
    assert (second.telemetry.device_id, second.gateway_id) == ("pi-der-001", "gw-1")
    assert [entry.outcome for entry in rest if isinstance(entry, Refusal)] == [
        Outcome.UNKNOWN_VERSION,
        Outcome.MALFORMED,
        Outcome.INVALID,
        Outcome.MALFORMED,
    ]


_ELEMENTS = [
    V1,
    changed(V1, fault="a: b", refused={"late": 2}),
    changed(V1, soc=1.5),
    changed(V1, ts=1),
    changed(V1, device_id="no/name"),
    changed(V1, site_id="x" * 5_000),
    V1[:-1] + b',"extra":{"a":[1,2]}}',
    V1[:-1] + b',"ts":1}',
    V1[:-1] + b" " * MAX_MESSAGE_BYTES + b"}",
    V1.replace(b"type", b"t\\u0079pe"),
    PLAIN,
]


@given(st.lists(st.sampled_from(_ELEMENTS), min_size=1, max_size=6))
def test_what_a_gateway_says_is_judged_one_by_one_whatever_stands_beside_it(elements: list[bytes]) -> None:
    def said(elements: list[bytes]) -> list[Decoded | Refusal]:
        array = b"[" + b",".join(elements) + b"]"
        return decode_telemetry(
            TOPICS, "der/gateway/gw-1/telemetry", array, now_ms=NOW_MS, speaks_percent=lambda _: False
        )

    # a 3 beside it is no measurement, so that the whole cannot be read in one go
    assert said(elements) == [said([element, b"3"])[0] for element in elements]


@pytest.mark.parametrize(
    ("payload", "outcome"),
    [
        (V1, Outcome.MALFORMED),
        (b"[]", Outcome.INVALID),
        (b"[" + V1, Outcome.MALFORMED),
        (b"[" * 100_000, Outcome.MALFORMED),
        (b"\xff", Outcome.MALFORMED),
        (b" " * (MAX_GATEWAY_BYTES + 1), Outcome.TOO_LARGE),
        (b"[" + b"7," * MAX_GATEWAY_SAMPLES + b"7]", Outcome.TOO_LARGE),
        (b'[{"v":1,"x":"' + b"x" * MAX_MESSAGE_BYTES + b'"}]', Outcome.TOO_LARGE),
    ],
)
def test_a_gateway_message_that_cannot_be_taken_apart_is_one_refusal(payload: bytes, outcome: Outcome) -> None:
    entry = decode("der/gateway/gw-1/telemetry", payload)
    assert isinstance(entry, Refusal)
    assert entry.outcome is outcome


def test_what_goes_out_is_pinned_to_the_byte() -> None:
    telemetry = understood(EV, V1)
    topic, payload = encode_telemetry(TOPICS, telemetry, Dialect.V1)
    assert topic == EV
    assert json.loads(payload) == json.loads(V1)
    assert payload == (
        b'{"v":1,"device_id":"ev-001","type":"ev","ts":1767225600000,"p_actual_kw":3.61,"p_setpoint_kw":3.6,"seq":812,'
        b'"soc":0.42,"site_id":"house-01","p_max_kw":7.2,"capacity_kwh":60.0,"ready_by":1767250800000,"status":"ok",'
        b'"applied":{"epoch":7,"seq":1201}}'
    )
    pv = Telemetry(device_id="pi-pv-1", kind=DeviceKind.PV, at_ms=NOW_MS, p_actual_kw=-4.25, p_setpoint_kw=-5.0)
    assert encode_telemetry(TOPICS, pv, Dialect.PLAIN) == (
        "der/telemetry/pi-pv-1",
        b'{"type":"pv","p_actual_kw":4.25,"deviceId":"pi-pv-1","timestamp":"2026-01-01T00:00:00.000Z",'
        b'"p_setpoint_kw":5.0}',
    )
    assert encode_telemetry(TOPICS, pv, Dialect.ENVELOPE) == (
        PV,
        b'{"v":1,"messageType":"telemetry","deviceId":"pi-pv-1","deviceType":"pv","timestampMs":1767225600000,'
        b'"payload":{"readings":{"powerKw":4.25},"status":{"online":true},"capabilities":{}},'
        b'"messageId":"' + json.loads(encode_telemetry(TOPICS, pv, Dialect.ENVELOPE)[1])["messageId"].encode() + b'",'
        b'"sentAtMs":1767225600000,"source":"pi-agent"}',
    )


def test_a_device_on_default_control_says_null() -> None:
    ev = Telemetry(device_id="e", kind=DeviceKind.EV, at_ms=NOW_MS, p_actual_kw=0.0)
    assert b'"p_setpoint_kw":null' in encode_telemetry(TOPICS, ev, Dialect.V1)[1]


def test_what_a_device_refused_and_what_is_wrong_with_it_is_understood_in_every_shape() -> None:
    counts = {"older_seq": 3, "out_of_range": 1}
    for topic, payload in (
        (EV, changed(V1, refused=counts, fault="relay: stuck", status="fault")),
        (PI, changed(PLAIN, refused=counts, fault="relay: stuck", status="fault")),
        (PV, in_payload("status", refused=counts, faultCode="relay: stuck")),
    ):
        telemetry = understood(topic, payload)
        assert dict(telemetry.refused) == counts
        assert (telemetry.fault, telemetry.status) == ("relay: stuck", DeviceStatus.FAULT)


@pytest.mark.parametrize("refused", [{"Older": 1}, {"": 1}, {"a" * 33: 1}, {f"r{'x' * i}": 1 for i in range(33)}, [1]])
def test_what_a_device_refused_is_a_few_words_with_counts(refused: object) -> None:
    for topic, payload in ((EV, changed(V1, refused=refused)), (PI, changed(PLAIN, refused=refused))):
        result = decode(topic, payload)
        assert isinstance(result, Refusal)
        assert result.outcome is Outcome.INVALID


def test_a_reason_that_stands_twice_is_malformed() -> None:
    result = decode(EV, V1.replace(b'"v":1', b'"v":1,"refused":{"expired":1,"expired":2}'))
    assert isinstance(result, Refusal)
    assert result.outcome is Outcome.MALFORMED


def test_a_fault_code_that_cannot_be_shown_is_a_fault_all_the_same() -> None:
    for code in (17, "x" * 500, "a\tb"):
        telemetry = understood(PV, in_payload("status", faultCode=code))
        assert telemetry.status is DeviceStatus.FAULT
        assert telemetry.fault is not None
        assert len(telemetry.fault) <= 128
