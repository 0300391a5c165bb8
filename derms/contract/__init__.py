"""The wire contract: topics, signs, units, and JSON to and from domain values. Pure.

Every `decode_*` answers with a value whatever the bytes: what was understood, or a `Refusal` with its one outcome.
`docs/wire-contract.md` is this package in words.

::

    __init__     the names below
    telemetry    setpoint    presence      one module a direction
    envelope                               the third shape of telemetry
    fields       topics                    ranges, conversions, identifiers
    strict                                 bytes -> typed message, or refused
"""

from derms.contract.fields import FUTURE_TOLERANCE_MS, MAX_AGE_MS, MAX_POWER_KW, MAX_TEXT, Decoded, Refusal
from derms.contract.presence import (
    ControllerPresence,
    DeviceOnline,
    SimulationProfile,
    decode_controller,
    decode_profile,
    decode_status,
    encode_controller,
    encode_profile,
    encode_status,
)
from derms.contract.setpoint import Order, decode_setpoint, encode_setpoint
from derms.contract.strict import MAX_DEPTH, MAX_GATEWAY_BYTES, MAX_GATEWAY_SAMPLES, MAX_MESSAGE_BYTES
from derms.contract.telemetry import decode_from, decode_telemetry, encode_telemetry
from derms.contract.topics import TelemetrySource, Topics, check_device_id

__all__ = [
    "FUTURE_TOLERANCE_MS",
    "MAX_AGE_MS",
    "MAX_DEPTH",
    "MAX_GATEWAY_BYTES",
    "MAX_GATEWAY_SAMPLES",
    "MAX_MESSAGE_BYTES",
    "MAX_POWER_KW",
    "MAX_TEXT",
    "ControllerPresence",
    "Decoded",
    "DeviceOnline",
    "Order",
    "Refusal",
    "SimulationProfile",
    "TelemetrySource",
    "Topics",
    "check_device_id",
    "decode_controller",
    "decode_from",
    "decode_profile",
    "decode_setpoint",
    "decode_status",
    "decode_telemetry",
    "encode_controller",
    "encode_profile",
    "encode_setpoint",
    "encode_status",
    "encode_telemetry",
]
