"""The envelope shape of telemetry. Pure.

What the page leaves open is decided here: `powerKw` of a battery or a car is positive when it charges;
what a device can do now is the larger of `maxChargeKw` and `maxDischargeKw`.
"""

import uuid
from collections.abc import Callable

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import astuple

from derms.contract import strict
from derms.contract.fields import (
    MAX_TEXT,
    NUMBERS,
    Decoded,
    Magnitude,
    Millis,
    Percent,
    Power,
    Whole,
    check_identity,
    check_refused,
    check_text,
    check_time,
    check_version,
    fraction_of,
    given,
    optional,
    signed,
)
from derms.contract.strict import Refused
from derms.model import DeviceKind, DeviceStatus, Dialect, Outcome, Telemetry


class _Readings(msgspec.Struct, gc=False, kw_only=True):
    powerKw: Power
    soc: Percent | UnsetType | None = UNSET
    energyKwh: float | UnsetType | None = UNSET


class _Status(msgspec.Struct, gc=False, kw_only=True):
    online: bool | UnsetType = UNSET
    faultCode: str | int | UnsetType | None = UNSET
    refused: dict[str, Whole] | UnsetType | None = UNSET


class _Capabilities(msgspec.Struct, gc=False, kw_only=True):
    maxChargeKw: Magnitude | UnsetType | None = UNSET
    maxDischargeKw: Magnitude | UnsetType | None = UNSET
    capacityKwh: Magnitude | UnsetType | None = UNSET


class _Payload(msgspec.Struct, gc=False, kw_only=True):
    readings: _Readings
    status: _Status | UnsetType | None = UNSET
    capabilities: _Capabilities | UnsetType | None = UNSET
    siteId: str | UnsetType | None = UNSET
    feederId: str | UnsetType | None = UNSET


class _Envelope(msgspec.Struct, gc=False, kw_only=True):
    v: int
    messageType: str
    deviceId: str
    deviceType: DeviceKind
    timestampMs: Millis
    payload: _Payload
    messageId: str | UnsetType = UNSET
    sentAtMs: Millis | UnsetType = UNSET
    source: str | UnsetType | None = UNSET


_DECODER = msgspec.json.Decoder(_Envelope)
_ENCODER = msgspec.json.Encoder()


def decode_envelope(
    payload: bytes, *, device_id: str, kind: DeviceKind, now_ms: int, speaks_percent: Callable[[str], bool]
) -> Decoded:
    """Decode one message; `device_id` and `kind` are the topic's.

    Raises:
        Refused: It breaks a rule of the contract.
    """
    message = strict.decode(_DECODER, payload, _colons, NUMBERS)
    check_version(message.v)
    if message.messageType != "telemetry":
        raise Refused(Outcome.INVALID, f"messageType is {message.messageType[:20]!r}, not 'telemetry'")
    check_identity(message.deviceId, device_id)
    check_identity(message.deviceType.value, kind.value)
    check_time(message.timestampMs, now_ms)
    body = message.payload
    soc, shows_percent = fraction_of(given(body.readings.soc), speaks_percent(device_id))
    capabilities = given(body.capabilities) or _Capabilities()
    powers = [p for p in (given(capabilities.maxChargeKw), given(capabilities.maxDischargeKw)) if p is not None]
    telemetry = Telemetry(
        device_id=device_id,
        kind=kind,
        at_ms=message.timestampMs,
        p_actual_kw=signed(body.readings.powerKw, kind),
        soc=soc,
        site_id=check_text("siteId", given(body.siteId)),
        feeder_id=check_text("feederId", given(body.feederId)),
        p_max_kw=max(powers, default=None),
        capacity_kwh=given(capabilities.capacityKwh),
        status=_status(given(body.status)),
        fault=_fault(given(body.status)),
        refused=check_refused(given(status.refused)) if (status := given(body.status)) is not None else (),
        dialect=Dialect.ENVELOPE,
        source=check_text("source", given(message.source)),
    )
    return Decoded(telemetry, shows_percent)


def encode_envelope(telemetry: Telemetry) -> bytes:
    """The message of one measurement; its id follows from its content."""
    t = telemetry
    name = f"{t.device_id}/{t.at_ms}/{t.seq}"
    p_max_kw = optional(t.p_max_kw)
    charges = t.kind is not DeviceKind.PV
    discharges = t.kind in (DeviceKind.PV, DeviceKind.BATTERY)
    return _ENCODER.encode(
        _Envelope(
            v=1,
            messageType="telemetry",
            messageId=str(uuid.uuid5(uuid.NAMESPACE_OID, name)),
            deviceId=t.device_id,
            deviceType=t.kind,
            timestampMs=t.at_ms,
            sentAtMs=t.at_ms,
            source=t.source or "pi-agent",
            payload=_Payload(
                readings=_Readings(
                    powerKw=signed(t.p_actual_kw, t.kind),
                    soc=optional(t.soc),
                ),
                status=_Status(
                    online=t.status is not DeviceStatus.UNAVAILABLE,
                    faultCode=(t.fault or "fault") if t.status is DeviceStatus.FAULT else UNSET,
                    refused=optional(dict(t.refused) or None),
                ),
                capabilities=_Capabilities(
                    maxChargeKw=p_max_kw if charges else UNSET,
                    maxDischargeKw=p_max_kw if discharges else UNSET,
                    capacityKwh=optional(t.capacity_kwh),
                ),
                siteId=optional(t.site_id),
                feederId=optional(t.feeder_id),
            ),
        )
    )


def _status(status: _Status | None) -> DeviceStatus:
    if status is None:
        return DeviceStatus.OK
    if given(status.faultCode) not in (None, "", 0):
        return DeviceStatus.FAULT
    return DeviceStatus.UNAVAILABLE if status.online is False else DeviceStatus.OK


def _fault(status: _Status | None) -> str | None:
    code = None if status is None else given(status.faultCode)
    if code in (None, "", 0):
        return None
    # Agents in the field put anything there, and always could: what cannot be shown is a fault all the same.
    text = str(code)[:MAX_TEXT]
    return text if text.isprintable() else "fault"


def _colons(message: _Envelope) -> int:
    body = message.payload
    parts = (body, body.readings, given(body.status), given(body.capabilities))
    status = given(body.status)
    free = 0
    if status is not None:
        free = str(given(status.faultCode) or "").count(":") + len(given(status.refused) or ())
    return _present(message) + sum(_present(part) for part in parts if part is not None) + free


def _present(part: msgspec.Struct) -> int:
    fields = astuple(part)
    return len(fields) - fields.count(UNSET)
