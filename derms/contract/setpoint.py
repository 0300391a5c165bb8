"""Setpoints: a lease out in the device's dialect, and in again on the device's side. Pure.

A message with `v` is a lease in the load convention. One without is the plain shape: the same keys, but for PV
`p_setpoint_kw` is a generation cap >= 0. So a retained message means the same to whoever finds it later.
In the envelope shape `targetPowerKw` is signed (PV: a generation cap >= 0) and `mode` always agrees with it; where
they disagree in what is received, `mode` gives the direction. `reason` carries `epoch` and `seq` there.
"""

import uuid
from dataclasses import dataclass
from enum import StrEnum

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import astuple

from derms.contract import strict
from derms.contract.fields import (
    NUMBERS,
    Millis,
    Power,
    Refusal,
    Whole,
    check_identity,
    check_text,
    check_version,
    given,
    optional,
)
from derms.contract.strict import Refused
from derms.contract.topics import Topics
from derms.model import DeviceKind, Dialect, Outcome, Setpoint


@dataclass(frozen=True, slots=True)
class Order:
    """A setpoint without epoch and seq, as older controllers send it: nothing in it tells late from new."""

    device_id: str
    kind: DeviceKind
    p_setpoint_kw: float
    """[kW], load convention."""
    valid_until_ms: int | None = None
    """[epoch ms]; None: the sender did not say."""


class _Mode(StrEnum):
    CHARGE = "charge"
    DISCHARGE = "discharge"
    IDLE = "idle"


class _V1(msgspec.Struct, gc=False, kw_only=True):
    v: int | UnsetType = UNSET
    device_id: str | UnsetType = UNSET
    p_setpoint_kw: Power
    issued_at: Millis | UnsetType = UNSET
    valid_until: Millis | UnsetType = UNSET
    epoch: Whole | UnsetType = UNSET
    seq: Whole | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    deviceId: str | UnsetType = UNSET


class _Command(msgspec.Struct, gc=False, kw_only=True):
    targetPowerKw: Power
    mode: _Mode | UnsetType = UNSET
    validUntilMs: Millis | UnsetType | None = UNSET


class _Reason(msgspec.Struct, gc=False, kw_only=True):
    allocator: str | UnsetType = UNSET
    epoch: Whole | UnsetType = UNSET
    seq: Whole | UnsetType = UNSET


class _Constraints(msgspec.Struct, gc=False):
    pass


class _Payload(msgspec.Struct, gc=False, kw_only=True):
    command: _Command
    constraints: _Constraints | UnsetType | None = UNSET
    reason: _Reason | UnsetType | None = UNSET


class _Envelope(msgspec.Struct, gc=False, kw_only=True):
    v: int
    messageType: str
    messageId: str | UnsetType = UNSET
    deviceId: str
    deviceType: DeviceKind
    timestampMs: Millis | UnsetType = UNSET
    sentAtMs: Millis | UnsetType = UNSET
    source: str | UnsetType = UNSET
    payload: _Payload


_V1_DECODER = msgspec.json.Decoder(_V1)
_ENVELOPE_DECODER = msgspec.json.Decoder(_Envelope)
_ENCODER = msgspec.json.Encoder()


def encode_setpoint(topics: Topics, setpoint: Setpoint, dialect: Dialect) -> tuple[str, bytes]:
    """The topic and the message of a lease, in the dialect of the device it is for."""
    topic = topics.setpoint(setpoint.kind, setpoint.device_id, dialect)
    match dialect:
        case Dialect.V1:
            return topic, _ENCODER.encode(_to_v1(setpoint, v=1, p_kw=setpoint.p_setpoint_kw + 0.0))
        case Dialect.PLAIN:
            return topic, _ENCODER.encode(_to_v1(setpoint, v=UNSET, p_kw=_outward(setpoint)))
        case Dialect.ENVELOPE:
            return topic, _ENCODER.encode(_to_envelope(setpoint))


def decode_setpoint(topics: Topics, topic: str, payload: bytes, *, kind: DeviceKind) -> Setpoint | Order | Refusal:
    """A device's side: understand a setpoint of any dialect, or say why not. Never raises, whatever the bytes.

    Args:
        topics: Under which prefix.
        topic: Where it came.
        payload: What came.
        kind: What the device is; the older shapes count PV the other way round.
    """
    target = topics.setpoint_target(topic)
    if target is None:
        return Refusal(Outcome.INVALID, None, "not a setpoint topic")
    device_id, topic_kind = target
    try:
        strict.check_size(payload, strict.MAX_MESSAGE_BYTES)
        if topic_kind is None:
            return _from_v1(strict.decode(_V1_DECODER, payload, _v1_colons, NUMBERS), device_id, kind)
        check_identity(topic_kind.value, kind.value)
        return _from_envelope(strict.decode(_ENVELOPE_DECODER, payload, _envelope_colons, NUMBERS), device_id, kind)
    except Refused as refused:
        return Refusal(refused.outcome, device_id, refused.detail)


def _outward(setpoint: Setpoint) -> float:
    """The power as the older shapes want it [kW]: PV as a generation cap >= 0."""
    if setpoint.kind is DeviceKind.PV:
        return max(0.0, 0.0 - setpoint.p_setpoint_kw)
    return setpoint.p_setpoint_kw + 0.0


def _inward(p_kw: float, kind: DeviceKind) -> float:
    """The other way round."""
    if kind is not DeviceKind.PV:
        return p_kw + 0.0
    if p_kw < 0:
        raise Refused(Outcome.INVALID, "a generation cap is >= 0 in this shape")
    return 0.0 - p_kw


def _to_v1(s: Setpoint, *, v: int | UnsetType, p_kw: float) -> _V1:
    return _V1(
        v=v,
        device_id=s.device_id,
        p_setpoint_kw=p_kw,
        issued_at=s.issued_at_ms,
        valid_until=s.valid_until_ms,
        epoch=s.epoch,
        seq=s.seq,
        reason=optional(s.reason or None),
    )


def _from_v1(m: _V1, device_id: str, kind: DeviceKind) -> Setpoint | Order:
    plain = isinstance(m.v, UnsetType)
    if not isinstance(m.v, UnsetType):
        check_version(m.v)
        if m.device_id is UNSET:
            raise Refused(Outcome.INVALID, "no device_id")
    for said in (given(m.device_id), given(m.deviceId)):
        if said is not None:
            check_identity(said, device_id)
    p_kw = _inward(m.p_setpoint_kw, kind) if plain else m.p_setpoint_kw + 0.0
    issued_at, valid_until, epoch, seq = given(m.issued_at), given(m.valid_until), given(m.epoch), given(m.seq)
    if issued_at is None or valid_until is None or epoch is None or seq is None:
        if not plain:
            raise Refused(Outcome.INVALID, "a lease needs issued_at, valid_until, epoch and seq")
        return Order(device_id, kind, p_kw, valid_until)
    return _lease(device_id, kind, p_kw, issued_at, valid_until, epoch, seq, check_text("reason", given(m.reason)))


def _lease(
    device_id: str,
    kind: DeviceKind,
    p_kw: float,
    issued_at: int,
    valid_until: int,
    epoch: int,
    seq: int,
    reason: str | None,
) -> Setpoint:
    if valid_until <= issued_at:
        raise Refused(Outcome.INVALID, "valid_until is not after issued_at")
    return Setpoint(
        device_id=device_id,
        kind=kind,
        p_setpoint_kw=p_kw,
        issued_at_ms=issued_at,
        valid_until_ms=valid_until,
        epoch=epoch,
        seq=seq,
        reason=reason or "",
    )


def _to_envelope(s: Setpoint) -> _Envelope:
    p_kw = _outward(s)
    outwards = p_kw < 0 or s.kind is DeviceKind.PV
    mode = _Mode.IDLE if p_kw == 0 else _Mode.DISCHARGE if outwards else _Mode.CHARGE
    name = f"{s.device_id}/{s.epoch}/{s.seq}"
    return _Envelope(
        v=1,
        messageType="setpoint",
        messageId=str(uuid.uuid5(uuid.NAMESPACE_OID, name)),
        deviceId=s.device_id,
        deviceType=s.kind,
        timestampMs=s.issued_at_ms,
        sentAtMs=s.issued_at_ms,
        source="backend",
        payload=_Payload(
            command=_Command(targetPowerKw=p_kw, mode=mode, validUntilMs=s.valid_until_ms),
            constraints=_Constraints(),
            reason=_Reason(allocator=s.reason, epoch=s.epoch, seq=s.seq),
        ),
    )


def _from_envelope(m: _Envelope, device_id: str, kind: DeviceKind) -> Setpoint | Order:
    check_version(m.v)
    if m.messageType != "setpoint":
        raise Refused(Outcome.INVALID, f"messageType is {m.messageType[:20]!r}, not 'setpoint'")
    check_identity(m.deviceId, device_id)
    check_identity(m.deviceType.value, kind.value)
    command = m.payload.command
    p_kw = _with_mode(command.targetPowerKw, given(command.mode), kind)
    reason = given(m.payload.reason) or _Reason()
    issued_at, valid_until = given(m.sentAtMs) or given(m.timestampMs), given(command.validUntilMs)
    epoch, seq = given(reason.epoch), given(reason.seq)
    if issued_at is None or valid_until is None or epoch is None or seq is None:
        return Order(device_id, kind, p_kw, valid_until)
    text = check_text("reason", given(reason.allocator))
    return _lease(device_id, kind, p_kw, issued_at, valid_until, epoch, seq, text)


def _with_mode(p_kw: float, mode: _Mode | None, kind: DeviceKind) -> float:
    if kind is DeviceKind.PV:
        return _inward(p_kw, kind)
    match mode:
        case None:
            return p_kw + 0.0
        case _Mode.IDLE:
            return 0.0
        case _Mode.CHARGE:
            return abs(p_kw)
        case _Mode.DISCHARGE:
            return 0.0 - abs(p_kw)


def _v1_colons(m: _V1) -> int:
    return _present(m) + (m.reason.count(":") if isinstance(m.reason, str) else 0)


def _envelope_colons(m: _Envelope) -> int:
    body = m.payload
    parts = (m, body, body.command, given(body.reason))
    return sum(_present(part) for part in parts if part is not None)


def _present(part: msgspec.Struct) -> int:
    fields = astuple(part)
    return len(fields) - fields.count(UNSET)
