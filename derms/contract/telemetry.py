"""Telemetry: three shapes in, one `Telemetry` out, and back. Pure.

The rules of the page, in order: size, then JSON, then version, then fields, then identity, then time. The first
one broken names the outcome.
"""

from collections.abc import Callable, Sequence

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import astuple

from derms.contract import strict
from derms.contract.envelope import decode_envelope, encode_envelope
from derms.contract.fields import (
    NUMBERS,
    Decoded,
    Fraction,
    Magnitude,
    Millis,
    Percent,
    Power,
    Refusal,
    Whole,
    check_identity,
    check_refused,
    check_text,
    check_time,
    check_version,
    fraction_of,
    from_iso,
    given,
    optional,
    signed,
    to_iso,
)
from derms.contract.strict import Refused
from derms.contract.topics import TelemetrySource, Topics, check_device_id
from derms.model import DeviceKind, DeviceStatus, Dialect, Outcome, Telemetry

SpeaksPercent = Callable[[str], bool]


class _Applied(msgspec.Struct, gc=False):
    epoch: Whole
    seq: Whole


class _V1(msgspec.Struct, gc=False, kw_only=True):
    """Telemetry v1 as it stands on the wire."""

    v: int
    device_id: str
    type: DeviceKind
    ts: Millis
    p_actual_kw: Power
    p_setpoint_kw: Power | UnsetType | None = UNSET
    seq: Whole | UnsetType | None = UNSET
    soc: Fraction | UnsetType | None = UNSET
    site_id: str | UnsetType | None = UNSET
    feeder_id: str | UnsetType | None = UNSET
    p_max_kw: Magnitude | UnsetType | None = UNSET
    capacity_kwh: Magnitude | UnsetType | None = UNSET
    ready_by: Millis | UnsetType | None = UNSET
    energy_needed_kwh: Magnitude | UnsetType | None = UNSET
    status: DeviceStatus | UnsetType | None = UNSET
    applied: _Applied | UnsetType | None = UNSET
    fault: str | UnsetType | None = UNSET
    refused: dict[str, Whole] | UnsetType | None = UNSET


class _Plain(msgspec.Struct, gc=False, kw_only=True):
    """The plain shape as it stands on the wire."""

    type: DeviceKind
    p_actual_kw: Power
    deviceId: str | UnsetType = UNSET
    device_id: str | UnsetType = UNSET
    timestamp: str | Millis | UnsetType = UNSET
    ts: str | Millis | UnsetType = UNSET
    p_setpoint_kw: Power | UnsetType | None = UNSET
    soc: Percent | UnsetType | None = UNSET
    site_id: str | UnsetType | None = UNSET
    feeder_id: str | UnsetType | None = UNSET
    p_max_kw: Magnitude | UnsetType | None = UNSET
    status: DeviceStatus | UnsetType | None = UNSET
    fault: str | UnsetType | None = UNSET
    refused: dict[str, Whole] | UnsetType | None = UNSET


class _Probe(msgspec.Struct):
    v: msgspec.Raw | UnsetType = UNSET


_V1_DECODER = msgspec.json.Decoder(_V1)
_V1S_DECODER = msgspec.json.Decoder(list[_V1])
_PLAIN_DECODER = msgspec.json.Decoder(_Plain)
_PROBE_DECODER = msgspec.json.Decoder(_Probe)
_ARRAY_DECODER = msgspec.json.Decoder(list[msgspec.Raw])
_ENCODER = msgspec.json.Encoder()


def decode_telemetry(
    topics: Topics, topic: str, payload: bytes, *, now_ms: int, speaks_percent: SpeaksPercent
) -> list[Decoded | Refusal]:
    """Understand a telemetry message, or say why not. Never raises, whatever the bytes.

    Args:
        topics: Under which prefix.
        topic: Where it came.
        payload: What came.
        now_ms: The controller's clock [epoch ms].
        speaks_percent: Whether a device (by id) once sent a SOC above 1.

    Returns:
        One entry for each measurement: one for a device's message, one for each element of a gateway's array;
        a single refusal when the message cannot be taken apart.
    """
    source = topics.telemetry_source(topic)
    if source is None:
        return [Refusal(Outcome.INVALID, None, "not a telemetry topic")]
    return decode_from(source, payload, now_ms=now_ms, speaks_percent=speaks_percent)


def decode_from(
    source: TelemetrySource, payload: bytes, *, now_ms: int, speaks_percent: SpeaksPercent
) -> list[Decoded | Refusal]:
    """As `decode_telemetry`, where the topic was taken apart before."""
    try:
        if source.gateway_id is not None:
            return _decode_gateway(payload, source.gateway_id, now_ms, speaks_percent)
        strict.check_size(payload, strict.MAX_MESSAGE_BYTES)
        device_id = source.device_id or ""
        if source.kind is None:
            return [_decode_object(payload, device_id, now_ms, speaks_percent)]
        kind = source.kind
        return [decode_envelope(payload, device_id=device_id, kind=kind, now_ms=now_ms, speaks_percent=speaks_percent)]
    except Refused as refused:
        return [Refusal(refused.outcome, source.device_id, refused.detail)]


def encode_telemetry(topics: Topics, telemetry: Telemetry, dialect: Dialect) -> tuple[str, bytes]:
    """A device's side: the topic and the message of one measurement."""
    match dialect:
        case Dialect.V1:
            return topics.telemetry(telemetry.device_id), _ENCODER.encode(_to_v1(telemetry))
        case Dialect.PLAIN:
            return topics.telemetry(telemetry.device_id), _ENCODER.encode(_to_plain(telemetry))
        case Dialect.ENVELOPE:
            return topics.envelope_telemetry(telemetry.kind, telemetry.device_id), encode_envelope(telemetry)


def _decode_gateway(
    payload: bytes, gateway_id: str, now_ms: int, speaks_percent: SpeaksPercent
) -> list[Decoded | Refusal]:
    strict.check_size(payload, strict.MAX_GATEWAY_BYTES)
    try:
        elements = _ARRAY_DECODER.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(Outcome.MALFORMED, f"not an array of telemetry objects: {str(error)[:100]}") from error
    if not elements:
        raise Refused(Outcome.INVALID, "an empty array")
    if len(elements) > strict.MAX_GATEWAY_SAMPLES:
        detail = f"{len(elements)} measurements, the limit is {strict.MAX_GATEWAY_SAMPLES} a message"
        raise Refused(Outcome.TOO_LARGE, detail)
    messages = _all_v1(payload, elements)
    if messages is not None:
        return [_take_v1(message, gateway_id, now_ms) for message in messages]
    return [_decode_element(bytes(element), gateway_id, now_ms, speaks_percent) for element in elements]


def _all_v1(payload: bytes, elements: Sequence[msgspec.Raw]) -> list[_V1] | None:
    """All elements at once, in two thirds of the time, where all are v1 and nothing is wrong with any; None: not so.

    As every key owns one colon, those of the whole add up only where those of each element do; see `strict`.
    """
    if b"\\" in payload:
        return None
    most = strict.MAX_MESSAGE_BYTES
    if len(payload) > most and any(memoryview(element).nbytes > most for element in elements):
        return None
    try:
        messages = _V1S_DECODER.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return messages if payload.count(b":") == sum(map(_v1_colons, messages)) else None


def _take_v1(message: _V1, gateway_id: str, now_ms: int) -> Decoded | Refusal:
    try:
        return _from_v1(message, None, now_ms, gateway_id)
    except Refused as refused:
        return Refusal(refused.outcome, None, refused.detail)


def _decode_element(element: bytes, gateway_id: str, now_ms: int, speaks_percent: SpeaksPercent) -> Decoded | Refusal:
    try:
        strict.check_size(element, strict.MAX_MESSAGE_BYTES)
        decoded = _decode_object(element, None, now_ms, speaks_percent)
    except Refused as refused:
        return Refusal(refused.outcome, None, refused.detail)
    return Decoded(decoded.telemetry, decoded.spoke_percent, gateway_id)


def _decode_object(payload: bytes, device_id: str | None, now_ms: int, speaks_percent: SpeaksPercent) -> Decoded:
    """Decode v1 or plain, told apart by the key `v`.

    Args:
        payload: A JSON object.
        device_id: The topic's; None: behind a gateway, only the payload names the device.
        now_ms: The controller's clock [epoch ms].
        speaks_percent: See `decode_telemetry`.
    """
    # Without these bytes there is no such key; with them it may still be a value, or deep inside.
    if b'"v"' in payload or b"\\" in payload:
        try:
            return _from_v1(strict.decode(_V1_DECODER, payload, _v1_colons, NUMBERS), device_id, now_ms)
        except Refused:
            if _has_version(payload):
                raise
    plain = strict.decode(_PLAIN_DECODER, payload, _plain_colons, NUMBERS)
    return _from_plain(plain, device_id, now_ms, speaks_percent)


def _has_version(payload: bytes) -> bool:
    try:
        return _PROBE_DECODER.decode(payload).v is not UNSET
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True


def _identify(said: str | None, device_id: str | None) -> str:
    if device_id is not None:
        if said is not None:
            check_identity(said, device_id)
        return device_id
    if said is None or not check_device_id(said):
        raise Refused(Outcome.INVALID, "no well-formed device_id")
    return said


def _from_v1(m: _V1, device_id: str | None, now_ms: int, gateway_id: str | None = None) -> Decoded:
    # The hot path: `given` is written out, which saves a third of it.
    check_version(m.v)
    device_id = _identify(m.device_id, device_id)
    check_time(m.ts, now_ms)
    applied = None if m.applied is UNSET else m.applied
    setpoint_kw = None if m.p_setpoint_kw is UNSET else m.p_setpoint_kw
    return Decoded(
        Telemetry(
            device_id=device_id,
            kind=m.type,
            at_ms=m.ts,
            p_actual_kw=m.p_actual_kw + 0.0,
            p_setpoint_kw=None if setpoint_kw is None else setpoint_kw + 0.0,
            soc=None if m.soc is UNSET else m.soc,
            seq=None if m.seq is UNSET else m.seq,
            site_id=None if m.site_id is UNSET else check_text("site_id", m.site_id),
            feeder_id=None if m.feeder_id is UNSET else check_text("feeder_id", m.feeder_id),
            p_max_kw=None if m.p_max_kw is UNSET else m.p_max_kw,
            capacity_kwh=None if m.capacity_kwh is UNSET else m.capacity_kwh,
            ready_by_ms=None if m.ready_by is UNSET else m.ready_by,
            energy_needed_kwh=None if m.energy_needed_kwh is UNSET else m.energy_needed_kwh,
            status=DeviceStatus.OK if m.status is UNSET or m.status is None else m.status,
            applied_epoch=None if applied is None else applied.epoch,
            applied_seq=None if applied is None else applied.seq,
            fault=None if m.fault is UNSET else check_text("fault", m.fault),
            refused=() if m.refused is UNSET else check_refused(m.refused),
        ),
        gateway_id=gateway_id,
    )


def _from_plain(m: _Plain, device_id: str | None, now_ms: int, speaks_percent: SpeaksPercent) -> Decoded:
    for said in (given(m.deviceId), given(m.device_id)):
        if said is not None:
            device_id = _identify(said, device_id)
    device_id = _identify(None, device_id)
    instant: str | int | UnsetType = m.ts if isinstance(m.timestamp, UnsetType) else m.timestamp
    if isinstance(instant, UnsetType):
        raise Refused(Outcome.INVALID, "neither `timestamp` nor `ts`")
    at_ms = from_iso(instant) if isinstance(instant, str) else instant
    check_time(at_ms, now_ms)
    soc, shows_percent = fraction_of(given(m.soc), speaks_percent(device_id))
    setpoint = given(m.p_setpoint_kw)
    telemetry = Telemetry(
        device_id=device_id,
        kind=m.type,
        at_ms=at_ms,
        p_actual_kw=signed(m.p_actual_kw, m.type),
        p_setpoint_kw=None if setpoint is None else signed(setpoint, m.type),
        soc=soc,
        site_id=check_text("site_id", given(m.site_id)),
        feeder_id=check_text("feeder_id", given(m.feeder_id)),
        p_max_kw=given(m.p_max_kw),
        status=given(m.status) or DeviceStatus.OK,
        fault=check_text("fault", given(m.fault)),
        refused=check_refused(given(m.refused)),
        dialect=Dialect.PLAIN,
    )
    return Decoded(telemetry, shows_percent)


def _v1_colons(m: _V1) -> int:
    fields = astuple(m)
    colons = len(fields) - fields.count(UNSET)
    if m.fault or m.refused:
        colons += _free_colons(m.fault, m.refused)
    return colons + 2 if m.applied else colons


def _plain_colons(m: _Plain) -> int:
    fields = astuple(m)
    times = sum(text.count(":") for text in (m.timestamp, m.ts) if isinstance(text, str))
    return len(fields) - fields.count(UNSET) + times + _free_colons(m.fault, m.refused)


def _free_colons(fault: str | UnsetType | None, refused: dict[str, int] | UnsetType | None) -> int:
    return (given(fault) or "").count(":") + len(given(refused) or ())


def _to_v1(t: Telemetry) -> _V1:
    leased = t.applied_epoch is not None and t.applied_seq is not None
    return _V1(
        v=1,
        device_id=t.device_id,
        type=t.kind,
        ts=t.at_ms,
        p_actual_kw=t.p_actual_kw,
        p_setpoint_kw=t.p_setpoint_kw,
        seq=optional(t.seq),
        soc=optional(t.soc),
        site_id=optional(t.site_id),
        feeder_id=optional(t.feeder_id),
        p_max_kw=optional(t.p_max_kw),
        capacity_kwh=optional(t.capacity_kwh),
        ready_by=optional(t.ready_by_ms),
        energy_needed_kwh=optional(t.energy_needed_kwh),
        status=t.status,
        applied=_Applied(epoch=t.applied_epoch or 0, seq=t.applied_seq or 0) if leased else UNSET,
        fault=optional(t.fault),
        refused=optional(dict(t.refused) or None),
    )


def _to_plain(t: Telemetry) -> _Plain:
    return _Plain(
        deviceId=t.device_id,
        type=t.kind,
        timestamp=to_iso(t.at_ms),
        p_actual_kw=signed(t.p_actual_kw, t.kind),
        p_setpoint_kw=None if t.p_setpoint_kw is None else signed(t.p_setpoint_kw, t.kind),
        soc=optional(t.soc),
        site_id=optional(t.site_id),
        feeder_id=optional(t.feeder_id),
        p_max_kw=optional(t.p_max_kw),
        # said only where there is something to say, so that an ordinary message stays as it always was
        status=UNSET if t.status is DeviceStatus.OK else t.status,
        fault=optional(t.fault),
        refused=optional(dict(t.refused) or None),
    )
